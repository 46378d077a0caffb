"""The documents say what the code does, and what they show works."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from dataclasses import MISSING, fields
from pathlib import Path

import pytest

from prr.cli import exits
from prr.cli.parser import parser_of
from prr.cli.settings_table import SETTINGS
from prr.core.liveness.lifecycle import TABLE as LIFECYCLE
from prr.core.liveness.states import State, Trigger
from prr.core.metrics import Metric
from prr.demo.ports import free_port
from prr.shell.http.routes import ROUTES
from prr.wire.forms import TABLE
from prr.wire.frames import ServiceList, messages_of
from prr.wire.keys import KEYS
from prr.wire.messages import Hello, Plain
from tests.netns import Network, why_not
from tests.nodes import NODE, ROOT, Node, eventually, run

DOCUMENTS = sorted(
    [
        *(ROOT / name for name in ("README.md", "SECURITY.md", "benchmarks/README.md")),
        *(ROOT / "docs").glob("*.md"),
    ]
)
README = (ROOT / "README.md").read_text()
README_LINES_MAX = 150


BANNED = [
    *("is no HOST:PORT", "not heeded", "look-up", "search for garbage", "outbids"),
    *("said so itself", "takes its leave", "gone mad", "thousand million", "is it me"),
    *(
        "clockwork",
        "words? about",
        "of 2016",
        "the brake",
        "in good order",
        "of one moment",
        "dice",
    ),
]
"""What reads as translated, or is a coined word where the field has a term."""


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


def keys():
    return table(
        ["key", "name", "form", "meaning"],
        [[key.number, key.field, key.form, key.meaning] for key in KEYS],
    )


def messages():
    """What may stand behind each frame, but for what may stand behind all."""
    rows = []
    for form in TABLE:
        for message in messages_of(form.frame):
            if message is Plain or (message is Hello and form.frame is not ServiceList):
                continue
            needed = [one.name for one in fields(message) if one.default is MISSING]
            others = [one.name for one in fields(message) if one.name not in (*needed, "binder")]
            says = " ".join(message.__doc__.split())
            keys = [*needed, *(f"({name})" for name in others)]
            rows.append([form.code, form.name, message.__name__, ", ".join(keys), says])
    return table(["code", "behind", "message", "keys (that may be missing)", "says"], rows)


def settings():
    rows = [
        [f"`[{role}]`", f"`{one.flag}`", f"`{one.variable}`", f"`{one.key}`", one.help]
        for role, settings_of_role in SETTINGS.items()
        for one in settings_of_role
    ]
    return table(["role", "flag", "variable", "key", "meaning"], rows)


def metrics():
    rows = [[f"`{one.key}`", one.unit, one.help] for one in sorted(Metric, key=lambda one: one.key)]
    return table(["counter", "unit", "what"], rows)


def asked_over_http():
    rows = [
        [
            one.method,
            f"`{one.path}`",
            ", ".join(f"`{parameter.name}`" for parameter in one.parameters),
            "operators" if one.is_for_operators else "anybody",
            one.summary,
        ]
        for one in ROUTES
    ]
    return table(["method", "path", "parameters", "who", "answers"], rows)


def ways():
    """The lifecycle table, a line for each row."""
    rows = [
        [
            ", ".join(state for state in State if state in row.states),
            ", ".join(trigger for trigger in Trigger if trigger in row.triggers),
            row.guard or "",
            row.after or "",
            "; ".join(row.actions),
            row.why,
        ]
        for row in LIFECYCLE
    ]
    return table(["state", "what happens", "if", "then", "done", "why"], rows)


def diagram():
    """The lifecycle table's changes of state, as Mermaid draws them."""
    arrows = {}
    for row in LIFECYCLE:
        for state in (state for state in State if row.after and state in row.states):
            if state is not row.after:
                names = arrows.setdefault((state, row.after), [])
                names += [one for one in Trigger if one in row.triggers and one not in names]
    lines = [f"    {one} --> {other}: {', '.join(names)}" for (one, other), names in arrows.items()]
    return "\n".join(["```mermaid", "stateDiagram-v2", *lines, "```", ""])


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        ("docs/architecture.md", diagram()),
        ("docs/architecture.md", ways()),
        ("docs/protocol.md", frames()),
        ("docs/protocol.md", keys()),
        ("docs/protocol.md", messages()),
        ("docs/settings.md", settings()),
        ("docs/operations.md", metrics()),
        ("docs/http.md", asked_over_http()),
    ],
    ids=[
        "lifecycle's diagram",
        "lifecycle",
        "frames",
        "trailer keys",
        "messages",
        "settings",
        "metrics",
        "HTTP",
    ],
)
def test_a_table_of_a_document_is_the_code_s(document, expected):
    if expected not in (ROOT / document).read_text():
        pytest.fail(f"{document} should have this table:\n\n{expected}")


@pytest.mark.parametrize("code", [code for name, code in vars(exits).items() if name.isupper()])
def test_the_operator_is_told_every_exit_code(code):
    assert f"\n| {code} | " in (ROOT / "docs" / "operations.md").read_text()


def test_readme_stays_short():
    assert len(README.splitlines()) <= README_LINES_MAX


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_what_a_document_points_to_is_there(document):
    text = document.read_text()
    links = re.findall(r"\]\(([^):#]+)[^):]*\)", text)
    paths = re.findall(r"`((?:prr|tests|conf|benchmarks|docs)/[\w./-]+)`", text)
    assert links
    assert [one for one in links if not (document.parent / one).exists()] == []
    assert [one for one in paths if not (ROOT / one).exists()] == []


def test_the_runbook_names_what_the_program_says():
    """The longest stretch of each quoted message that has nothing variable in it."""
    source = "".join(path.read_text() for path in (ROOT / "prr").rglob("*.py"))
    runbook = (ROOT / "docs" / "operations.md").read_text().partition("## When something")[2]
    quoted = re.findall(r"^\| [^|`]*[`\"]([^`\"]+)[`\"]", runbook, re.MULTILINE)
    fixed = [
        max(re.split(r"\.\.\.|[0-9]+(?: s\b)?|[A-Z]{2,}", one), key=len).strip(" ():;")
        for one in quoted
    ]
    assert len(fixed) >= 10
    assert [one for one in fixed if one not in source] == []


def blocks(text, language):
    """What stands in the fenced blocks of one language."""
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def commands(text):
    """The arguments of every `node.py` in the shell blocks, and in code within a sentence."""
    lines = [one for block in blocks(text, "sh") for one in block.replace("\\\n", "").splitlines()]
    lines += re.findall(r"`([^`\n]*node\.py [^`\n]+)`", text)
    for line in lines:
        found = re.match(r"\s*(?:\S*python )?node\.py (.+)", line)
        if found:
            yield shlex.split(found[1].partition(" > ")[0], comments=True)


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_that_is_shown_is_one(document):
    for command in commands(document.read_text()):
        command = [re.sub("^(IP|127.0.0.1):PORT$", "127.0.0.1:4242", word) for word in command]
        assert parser_of("node.py").parse_args(command), command


def in_shell(command):
    """What a shell prints that runs a command in the clone."""
    done = subprocess.run(["sh", "-c", command], cwd=ROOT, capture_output=True, timeout=20)
    return done.stdout.decode()


def section(heading):
    """A section of README."""
    return README.partition(f"\n## {heading}\n")[2].partition("\n## ")[0]


@pytest.mark.smoke
def test_the_first_minute_goes_as_readme_says(cluster):
    first, one, other, calls, lists, why, status = commands(section("One minute"))
    binder = cluster.start(*first, "--listen", "127.0.0.1:0")
    servers = [cluster.start(*each, "--binder", binder.name) for each in (one, other)]
    for server in servers:
        server.wait_for("confirmed")
    client = cluster.start(*calls, "--binder", binder.name, "--interval", "0.05")
    client.wait_for("found", 2)
    why = [servers[0].name if "PORT" in word else word for word in why]
    # Else that question might be refused, before the client has anything to say.
    eventually(lambda: "the first question" in run(*why, "--binder", binder.name).stdout)
    servers[0].kill()
    client.wait_for("was told")
    assert client.process.wait(5) == 4
    binder.wait_for("evicted")
    listed = run(*lists, "--binder", binder.name).stdout
    assert servers[1].name in listed and servers[0].name not in listed
    events = run(*why, "--binder", binder.name).stdout
    assert "complaint" in events and "evicted" in events
    assert run(*status, "--binder", binder.name).stdout.startswith("OK\n")
    again = [word.replace("1000", "3") for word in calls]
    called = run(*again, "--binder", binder.name, "--interval", "0")
    assert (called.returncode, called.stdout) == (0, "hello\n" * 3)


def test_a_program_behind_prr_is_found_and_called_as_is_shown(cluster):
    binder = cluster.binder()
    own = str(free_port())
    (service,) = blocks((ROOT / "docs" / "protocol.md").read_text(), "python")
    (finding,) = blocks(section("Find it"), "python")
    service = service.replace("4242", own).replace("2222", str(binder.address[1]))
    process = subprocess.Popen([sys.executable, "-c", service])
    try:
        binder.wait_for("subscribed type 7")
        found = {}
        exec(finding.replace("2222", str(binder.address[1])), found)
    finally:
        process.kill()
        process.wait()
    assert (found["ip"], found["port"]) == ("127.0.0.1", int(own))
    assert f'b"{found["answer"].decode()}"' in finding


@pytest.mark.smoke
@pytest.mark.skipif(not shutil.which("curl"), reason="needs curl")
def test_an_unchanged_web_server_is_found_killed_gone_and_back_as_readme_says(cluster):
    binder, port = cluster.binder(), str(free_port())
    running, asking = blocks(section("Put your service behind it"), "sh")[0].splitlines()
    (run_it,) = commands(f"```sh\n{running.replace('8080', port)}\n```")
    run_it = [sys.executable if word == "python3" else word for word in run_it]
    first, rest = run_it[0], run_it[1:]
    node = Node(first, "--binder", binder.name, *rest, program=NODE)
    try:
        node.wait_for("INFO confirmed")
        asking = asking.replace("python node.py lookup", f"{sys.executable} node.py lookup")
        asking = asking.replace("--format", f"--binder {binder.name} --format")
        assert "Directory listing" in in_shell(asking)
        pid = node.process.pid
        os.kill(int(Path(f"/proc/{pid}/task/{pid}/children").read_text()), signal.SIGKILL)
        binder.wait_for("deregistered web")
        node.wait_for("INFO confirmed", 2)
        assert "Directory listing" in in_shell(asking)
    finally:
        node.terminate()
        node.close()


@pytest.mark.smoke
@pytest.mark.skipif(not (shutil.which("curl") and shutil.which("dig")), reason="needs curl, dig")
def test_the_page_is_shown_and_lists_and_names_are_had_as_readme_says(cluster):
    text = section("See it")
    assert "](docs/page.png)" in text
    for port in ("8081", "5353"):
        text = text.replace(port, str(free_port()))
    start, *_ = commands(text)
    binder = cluster.start(*start, "--listen", "127.0.0.1:0")
    binder.wait_for("HTTP at")
    server = cluster.server(1, binder)
    _, lists, names = blocks(text, "sh")[0].splitlines()
    assert f'"address": "{server.name}"' in in_shell(lists.replace("services ", "services/echo "))
    assert '"service": "echo"' in in_shell(lists)
    assert f" {server.address[1]} " in in_shell(names)


@pytest.mark.slow
def test_three_hosts_are_one_cluster_as_readme_says(tmp_path):
    if reason := why_not():
        pytest.skip(reason)
    text = section("Three hosts").replace("10.0.0.", "10.99.0.")
    with Network(3) as network:
        for host in network.hosts:
            listens = text.replace("--listen 10.99.0.1", f"--listen {host.ip}")
            binder, _, _ = commands(listens.replace("/var/lib/prr", str(tmp_path / host.ip)))
            host.start(*binder)
        for host in network.hosts:
            host.nodes[0].wait_for("synced")
        _, server, client = commands(text)
        network.hosts[2].start(*server).wait_for("confirmed")
        calls = network.hosts[1].start(*client)
        assert calls.process.wait(10) == 0
        listing = ("list", "--binder", "10.99.0.3:2222")
        eventually(lambda: "echo" in network.hosts[2].asked(*listing)[1])


@pytest.mark.smoke
def test_the_simulator_is_started_as_the_contributor_is_told():
    (block,) = [
        one for one in blocks((ROOT / "docs" / "contributing.md").read_text(), "sh") if "sim" in one
    ]
    first, _ = block.splitlines()
    done = subprocess.run(
        [sys.executable, *shlex.split(first, comments=True)[1:]], cwd=ROOT, capture_output=True
    )
    assert done.returncode == 0


@pytest.mark.smoke
def test_words_are_the_field_s():
    files = [*(ROOT / "prr").rglob("*.py"), *(ROOT / "conf").rglob("*.*"), *DOCUMENTS]
    texts = {
        path.relative_to(ROOT): " ".join(re.split(r"[\s#]+", path.read_text())) for path in files
    }
    found = [
        f"{path}: {phrase}"
        for path, text in texts.items()
        for phrase in BANNED
        if re.search(rf"\b{phrase}\b", text, re.IGNORECASE)
    ]
    assert found == []


def test_what_the_security_document_says_points_to_tests_that_there_are():
    text = (ROOT / "SECURITY.md").read_text()
    named = re.findall(r"`(test_\w+)(?: -k (\w+|\"[^\"]+\"))?`", text)
    assert len(named) > 20
    for name, choice in named:
        source = (ROOT / "tests" / f"{name}.py").read_text()
        tests = re.findall(r"(?m)^def (test_\w+)", source)
        for word in choice.strip('"').split(" or ") if choice else ():
            assert any(word in test for test in tests), (name, word)
