"""The size of things: a module is one idea, a function fits on a screen, every module says what."""

import ast
from pathlib import Path

import pytest

pytestmark = pytest.mark.elsewhere

ROOT = Path(__file__).parents[1]
MODULE_LINES_MAX = 300
FUNCTION_LINES_MAX = 40

EXCEPTIONS: dict[str, int] = {}
"""`path` or `path:function` that is longer, and how long it is. It may shrink, never grow."""

PATHS = [ROOT / "node.py", *sorted((ROOT / "prr").rglob("*.py"))]


def functions(source: str) -> list[tuple[str, int]]:
    """The functions of a module and their lines, decorators not counted."""
    return [
        (node.name, node.end_lineno - node.lineno + 1)
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]


@pytest.mark.parametrize("path", PATHS, ids=lambda path: str(path.relative_to(ROOT)))
def test_a_module_is_short_made_of_short_functions_and_says_what_it_is(path):
    source = path.read_text()
    name = str(path.relative_to(ROOT))
    assert ast.get_docstring(ast.parse(source))
    assert len(source.splitlines()) <= EXCEPTIONS.get(name, MODULE_LINES_MAX)
    for function, lines in functions(source):
        assert lines <= EXCEPTIONS.get(f"{name}:{function}", FUNCTION_LINES_MAX), function


def test_the_exceptions_are_still_needed():
    sizes = {}
    for path in PATHS:
        name, source = str(path.relative_to(ROOT)), path.read_text()
        sizes[name] = len(source.splitlines())
        sizes |= {f"{name}:{function}": lines for function, lines in functions(source)}
    assert {name: sizes.get(name) for name in EXCEPTIONS} == EXCEPTIONS


def test_the_check_counts_lines():
    assert functions("@decorated\ndef f():\n    x = 1\n    return x\n") == [("f", 3)]
