"""docs/programs.md: its programs are short, and do what they say, where there is what they need."""

import ast
import re
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = (Path(__file__).parents[1] / "docs" / "programs.md").read_text()
LINES_MAX = 20


def blocks(language: str) -> list[str]:
    """The page's programs in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE, re.M | re.S)


HOW = {
    "bash": ("bash", "ask.sh", ["bash", "ask.sh"]),
    "c": ("gcc", "ask.c", ["sh", "-c", "gcc -Wall -Werror -o ask ask.c && ./ask"]),
    "go": ("go", "ask.go", ["go", "run", "ask.go"]),
    "js": ("node", "ask.js", ["node", "ask.js"]),
}
"""For each language what it needs, the program's file, and how it is run."""


@pytest.mark.parametrize("language", HOW)
def test_a_program_in_another_language_finds_a_service(language, cluster, tmp_path):
    needs, file, command = HOW[language]
    if shutil.which(needs) is None:
        pytest.skip(f"{needs} is not installed")
    binder = cluster.binder()
    server = cluster.server(7, binder)
    (source,) = blocks(language)
    port = binder.address[1]
    assert "2222" in source
    (tmp_path / file).write_text(source.replace("2222", str(port)))
    environment = {"PATH": "/usr/local/bin:/usr/bin:/bin", "HOME": str(tmp_path)}
    done = subprocess.run(
        command,
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == (server.name, "")


@pytest.mark.parametrize("language", HOW)
def test_they_are_short(language):
    (source,) = blocks(language)
    assert len(source.splitlines()) <= LINES_MAX


def test_the_python_programs_are_valid_and_use_what_there_is():
    import prr
    import prr.aio

    for source in blocks("python"):
        tree = compile(
            source, "programs.md", "exec", ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST
        )
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom):
                module = prr.aio if node.module == "prr.aio" else prr
                assert {name.name for name in node.names} <= set(module.__all__)
