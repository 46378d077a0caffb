"""docs/programs.md: its programs are valid, and use what there is."""

import ast
import re
from pathlib import Path

import prr
import prr.aio

PAGE = (Path(__file__).parents[1] / "docs" / "programs.md").read_text()
FLAGS = ast.PyCF_ALLOW_TOP_LEVEL_AWAIT | ast.PyCF_ONLY_AST


def test_the_python_programs_are_valid_and_use_what_there_is():
    sources = re.findall(r"^```python\n(.*?)^```", PAGE, re.M | re.S)
    assert len(sources) >= 4
    for source in sources:
        for node in ast.walk(compile(source, "programs.md", "exec", FLAGS)):
            if isinstance(node, ast.ImportFrom):
                module = prr.aio if node.module == "prr.aio" else prr
                assert {name.name for name in node.names} <= set(module.__all__)
