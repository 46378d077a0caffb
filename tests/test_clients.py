"""The clients in other languages that docs/clients.md shows: each is short, and finds a service."""

import re
import shutil
import subprocess

import pytest

from tests.nodes import ROOT, Peer

LINES_MAX = 20
SHOWN = dict(
    re.findall(r"^```(\w+)\n(.*?)^```", (ROOT / "docs" / "clients.md").read_text(), re.M | re.S)
)
COMMANDS = {
    "bash": (["bash"], "client.sh"),
    "c": (["gcc", "-Wall", "-Werror", "-o", "client"], "client.c"),
    "go": (["go", "run"], "client.go"),
    "js": (["node"], "client.js"),
}


@pytest.mark.parametrize("language", COMMANDS)
def test_it_is_short(language):
    assert len(SHOWN[language].splitlines()) < LINES_MAX


def test_no_other_language_is_shown():
    assert list(SHOWN) == list(COMMANDS)


@pytest.mark.smoke
@pytest.mark.parametrize("language", COMMANDS)
def test_it_finds_a_service_and_says_if_there_is_none(cluster, tmp_path, language):
    command, name = COMMANDS[language]
    if shutil.which(command[0]) is None:
        pytest.skip(f"needs {command[0]}")
    binder, peer = cluster.binder(), Peer()
    source = tmp_path / name
    source.write_text(SHOWN[language].replace("2222", str(binder.address[1])))

    def ask():
        compiled = [*command, str(source)]
        if language == "c":
            subprocess.run(compiled, cwd=tmp_path, check=True, timeout=60)
            compiled = [str(tmp_path / "client")]
        return subprocess.run(compiled, cwd=tmp_path, capture_output=True, text=True, timeout=60)

    try:
        nobody = ask()
        assert (nobody.returncode, nobody.stdout) == (1, ""), nobody.stderr
        peer.ask(bytes([5, 7]), binder.address)
        found = ask()
        assert (found.returncode, found.stdout) == (0, f"{peer.name}\n"), found.stderr
    finally:
        peer.close()
