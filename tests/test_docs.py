"""What the documents say of frames, trailer keys, settings and exit codes is what the code does."""

import pytest

from prr.cli import exits
from prr.cli.settings import SETTINGS
from prr.wire.frames import TABLE
from prr.wire.trailer import KEYS
from tests.nodes import ROOT


def table(header, rows):
    """A table as Markdown has it."""
    lines = [header, ["---"] * len(header), *rows]
    return "\n".join("| " + " | ".join(map(str, line)) + " |" for line in lines) + "\n"


def layout(form):
    """The fields of a frame, its code first."""
    return ", ".join(["code", *(field.layout for field in form.fields)])


def routes(form):
    """Who sends it to whom, and what makes the receiver believe that."""
    return ", ".join(f"{route.sender} → {route.receiver} ({route.claim})" for route in form.routes)


def frames():
    return table(
        ["code", "name", "layout", "from → to (believed if)", "when"],
        [[form.code, form.name, layout(form), routes(form), form.when] for form in TABLE],
    )


def frames_in_short():
    return table(
        ["code", "name", "from → to (believed if)", "when"],
        [[form.code, form.name, routes(form), form.when] for form in TABLE],
    )


def keys():
    return table(
        ["key", "name", "form", "meaning"],
        [[key.number, key.field, key.form, key.meaning] for key in KEYS],
    )


def settings():
    rows = [
        [f"`[{role}]`", f"`{one.flag}`", f"`{one.variable}`", f"`{one.key}`", one.help]
        for role, settings_of_role in SETTINGS.items()
        for one in settings_of_role
    ]
    return table(["role", "flag", "variable", "key", "meaning"], rows)


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("PROTOCOL.md", frames()),
        ("PROTOCOL.md", keys()),
        ("README.md", frames_in_short()),
        ("README.md", settings()),
    ],
    ids=["frames", "trailer keys", "frames in short", "settings"],
)
def test_a_table_of_a_document_is_the_code_s(document, expected):
    if expected not in (ROOT / document).read_text():
        pytest.fail(f"{document} should have this table:\n\n{expected}")


@pytest.mark.parametrize("code", [code for name, code in vars(exits).items() if name.isupper()])
def test_readme_tells_every_exit_code(code):
    assert f"\n| {code} | " in (ROOT / "README.md").read_text()
