"""Who imports whom, read from the sources: strictly downward, and the pure rooms stay pure."""

import ast
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

pytestmark = pytest.mark.elsewhere

ROOT = Path(__file__).parents[1]

IN_A_PROGRAM = {
    *("prr.wire", "prr.config", "prr.text", "prr.addresses", "prr.core", "prr.particulars"),
    *("prr.shell", "prr.client", "prr.trust"),
}
"""What a node in a program's own process is made of."""

ROOMS = {
    "prr.record": set(),
    "prr.wire": {"prr.wire", "prr.trust"},
    "prr.trust": {"prr.wire.instance", "prr.trust"},
    "prr.config": {"prr.trust"},
    "prr.text": {"prr.wire", "prr.trust", "prr.config"},
    "prr.key_files": {"prr.wire", "prr.trust"},
    "prr.particulars": {"prr.wire", "prr.config"},
    "prr.services": {"prr.config"},
    "prr.core": {"prr.wire", "prr.trust", "prr.config", "prr.core"},
    "prr.addresses": {"prr.wire", "prr.config"},
    "prr.client": {
        *("prr.wire", "prr.config", "prr.text", "prr.services", "prr.addresses", "prr.core"),
        *("prr.particulars", "prr.client", "prr.trust", "prr.key_files"),
    },
    "prr.shell": {
        *("prr.wire", "prr.config", "prr.text", "prr.addresses", "prr.core", "prr.particulars"),
        *("prr.shell", "prr.trust"),
    },
    "prr.shell.admin": {
        *("prr.wire", "prr.config", "prr.core", "prr.shell.admin", "prr.shell.binder_node"),
        *("prr.shell.loop_lag", "prr.shell.udp.names", "prr.trust"),
    },
    "prr.shell.admin.calls": {"prr.wire", "prr.core.lease"},
    "prr.shell.http": {
        *("prr.wire", "prr.text", "prr.core.lease", "prr.core.metrics", "prr.shell.http"),
        *("prr.core.directory.changes", "prr.core.liveness.verdicts", "prr.shell.admin.calls"),
        *("prr.shell.log", "prr.shell.loop_lag", "prr.shell.parent_death"),
    },
    **{
        f"prr.shell.dns.{name}": {"prr.wire", "prr.text", "prr.core", "prr.shell.dns"}
        for name in ("queries", "records", "zone", "answers", "budgets")
    },
    "prr.client.beside": {"prr.client", "prr.core", "prr.shell"},
    "prr.client.service": IN_A_PROGRAM,
    "prr.client.announcement": IN_A_PROGRAM,
    "prr.aio": {
        *("prr.wire", "prr.config", "prr.addresses", "prr.core", "prr.aio"),
        *("prr.client.arguments", "prr.client.errors", "prr.client.failures"),
        *("prr.client.known_binders", "prr.client.instances", "prr.client.exchange_core"),
        *("prr.particulars", "prr.trust"),
    },
    "prr.demo": {"prr"},
    "prr.cli": {"prr"},
    "prr.__main__": {"prr.cli"},
    "prr": {"prr.client"},  # the package itself: what programs import
}
"""Each room, and what of ours it may import, besides BASE."""

BASE = "prr.record"

ROLES = {
    *("prr.core.binder", "prr.core.server", "prr.core.client", "prr.core.agent.agent"),
    "prr.core.keyed_server",
}
BUILT_UPON = {
    "prr.core.agent.agent": {"prr.core.server"},
    "prr.core.keyed_server": {"prr.core.server"},
}
"""Roles that another one is made of: an agent has a server subscribe for it."""
HIDDEN = {"prr.core.directory": {"prr.core.directory.table", "prr.core.directory.rotation"}}
"""Modules that only those of their own folder may import: how a directory is made is its own."""
PURE_ROOMS = (
    *("prr.wire", "prr.trust", "prr.core", "prr.shell.dns.queries", "prr.shell.dns.records"),
    *("prr.shell.dns.zone", "prr.shell.dns.answers", "prr.shell.dns.budgets"),
)
IMPURE = {
    *("asyncio", "datetime", "gevent", "importlib", "logging", "os", "random", "secrets"),
    *("select", "signal", "socket", "subprocess", "sys", "threading", "time"),
}
THE_TYPE_ONLY = "random.Random"  # the RNG comes in as an argument


def within(module: str, rooms) -> bool:
    """`module` is one of `rooms`, or lies in one of them."""
    return any(module == room or module.startswith(f"{room}.") for room in rooms)


def imports_of(module: str, source: str) -> set[str]:
    """Full names of all that `source` imports, wherever in the file; of `from a import b`, a.b."""
    package = module.split(".")[:-1]
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parents = package[: len(package) + 1 - node.level] if node.level else []
            start = [*parents, node.module] if node.module else parents
            found |= {".".join([*start, alias.name]) for alias in node.names}
    return found


def room_of(module: str) -> str:
    """The room of a module; the longest name wins."""
    return max((room for room in ROOMS if within(module, [room])), key=len)


def breaches(module: str, source: str) -> list[str]:
    """What a module imports and must not."""
    imported = imports_of(module, source)
    ours = {name for name in imported if within(name, ["prr"])}
    room = room_of(module)
    bad = {name for name in ours if not within(name, [*ROOMS[room], BASE])}
    if room == "prr.core":
        bad |= {
            name for name in ours if within(name, ROLES - {module} - BUILT_UPON.get(module, set()))
        }
    for folder, modules in HIDDEN.items():
        if not within(module, [folder]):
            bad |= {name for name in ours if within(name, modules)}
    if room in PURE_ROOMS:
        bad |= {name for name in imported - {THE_TYPE_ONLY} if within(name, IMPURE)}
    return [f"{module} imports {name}" for name in sorted(bad)]


def sources() -> dict[str, str]:
    """Every module under prr, and its text."""
    paths = sorted((ROOT / "prr").rglob("*.py"))
    names = [".".join(path.relative_to(ROOT).with_suffix("").parts) for path in paths]
    return {
        name.removesuffix(".__init__"): path.read_text()
        for name, path in zip(names, paths, strict=True)
    }


@pytest.mark.parametrize(("module", "source"), sources().items(), ids=sources())
def test_a_module_imports_downward_only(module, source):
    assert breaches(module, source) == []


def test_no_two_modules_import_each_other():
    imported = {module: imports_of(module, source) for module, source in sources().items()}
    graph = {
        # Of a name out of a module, the module.
        module: imported.keys() & {*names, *(name.rpartition(".")[0] for name in names)}
        for module, names in imported.items()
    }
    assert graph["prr.wire.codec"] >= {"prr.wire.frames", "prr.wire.errors"}  # it does see them
    TopologicalSorter(graph).prepare()  # CycleError if there is a circle


def private_names(source: str) -> set[str]:
    """The private attributes and methods of the classes in `source`."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.ClassDef):
            names |= {one.name for one in node.body if isinstance(one, ast.FunctionDef)}
        elif isinstance(node, ast.Attribute) and _is_own(node):
            names.add(node.attr)
    return {name for name in names if name[0] == "_" and not name.endswith("__")}


def reached_into(source: str, names: set[str]) -> list[str]:
    """Where `source` takes one of `names` of anything but its own objects. A rule that is switched
    off is a method for a while, and may take what that one may."""
    return [
        f"line {node.lineno}: {ast.unparse(node)}"
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Attribute) and node.attr in names and not _is_own(node)
    ]


def _is_own(node: ast.Attribute) -> bool:
    return isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")


CORE_PRIVATE = set[str]().union(
    *(private_names(source) for name, source in sources().items() if within(name, PURE_ROOMS))
)
TESTS = sorted((ROOT / "tests").rglob("*.py")) + sorted((ROOT / "benchmarks").rglob("*.py"))


REACHING = {
    "tests/test_anti_entropy.py": 2,  # lets a binder know what nobody has told it
    "tests/test_address_index.py": 1,  # puts in a container that counts how often it is looked at
    "tests/test_table.py": 2,  # likewise
    "tests/test_brake_cluster.py": 1,  # switches a rule off
    "tests/test_sim_drains.py": 1,  # likewise
    "tests/test_library.py": 4,  # the library's client, which is no core
    "tests/test_ports.py": 2,  # the demo's ports
}
"""Files that do, or have names that a core has as well; and how often. It may become less."""


@pytest.mark.parametrize("path", TESTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_test_reaches_into_a_core(path):
    """What tests need to see of a core is what `inspect` shows."""
    found = reached_into(path.read_text(), CORE_PRIVATE)
    assert len(found) == REACHING.get(str(path.relative_to(ROOT)), 0), found


def test_a_test_that_reaches_into_a_core_is_found():
    assert {"_detector", "_versioned", "_tables", "_rotation", "_step_aside"} - CORE_PRIVATE == {
        "_step_aside"
    }
    source = "self._own = 1\nassert binder._detector.inner and net.binders[A]._other\n"
    assert reached_into(source, CORE_PRIVATE) == ["line 2: binder._detector"]
    assert private_names("class A:\n    def _b(self): self._c = other._d\n") == {"_b", "_c"}


def test_the_core_never_throws_dice_of_its_own():
    for module, source in sources().items():
        calls = [node.func for node in ast.walk(ast.parse(source)) if isinstance(node, ast.Call)]
        if room_of(module) in PURE_ROOMS:
            assert "Random" not in {call.id for call in calls if isinstance(call, ast.Name)}


@pytest.mark.parametrize(
    ("module", "source", "found"),
    [
        ("prr.wire.codec", "import prr.config", "prr.config"),
        ("prr.wire.codec", "from prr import config", "prr.config"),
        (
            "prr.wire.codec",
            "from prr.core.directory.ring import Ring",
            "prr.core.directory.ring.Ring",
        ),
        ("prr.wire.codec", "from ..core import ring", "prr.core.ring"),
        ("prr.wire.codec", "def f():\n    import time", "time"),
        ("prr.config", "from prr.wire.instance import Address", "prr.wire.instance.Address"),
        ("prr.text", "import prr", "prr"),
        ("prr.core.directory.ring", "from prr.core.binder import Binder", "prr.core.binder.Binder"),
        ("prr.core.directory.ring", "from prr.core import server", "prr.core.server"),
        ("prr.core.binder", "from prr.core.client import Client", "prr.core.client.Client"),
        ("prr.core.binder", "from .server import Server", "prr.core.server.Server"),
        ("prr.core.binder", "import gevent.socket", "gevent.socket"),
        ("prr.core.binder", "import random", "random"),
        ("prr.core.binder", "from random import Random, random", "random.random"),
        ("prr.core.binder", "from os import path", "os.path"),
        ("prr.core.binder", "if True:\n    import logging as log", "logging"),
        ("prr.core.binder", "from prr.shell import log", "prr.shell.log"),
        ("prr.shell.node", "from prr.cli.exits import YES", "prr.cli.exits.YES"),
        ("prr.shell.node", "from prr import Client", "prr.Client"),
        (
            "prr.shell.node",
            "from prr.core.directory.rotation import Rotation",
            "prr.core.directory.rotation.Rotation",
        ),
        ("prr", "from prr.cli import main", "prr.cli.main"),
    ],
)
def test_the_check_sees_a_breach(module, source, found):
    assert breaches(module, source) == [f"{module} imports {found}"]


def test_the_check_lets_pass_what_is_allowed():
    core = "from random import Random\nfrom prr.wire.codec import decode\nimport prr.core.effects"
    assert breaches("prr.core.client", core) == []
    assert breaches("prr.shell.node", "import time, gevent\nfrom prr.core import binder") == []
    assert breaches("prr.cli.main", "from prr.shell.node import Node\nimport prr.text") == []


def takes_apart(source: str) -> bool:
    """A module looks into an instance, or counts its bytes."""
    nodes = list(ast.walk(ast.parse(source)))
    names = {name.name for node in nodes if isinstance(node, ast.ImportFrom) for name in node.names}
    parts = [node.value for node in nodes if isinstance(node, ast.Subscript)]
    return bool(names & {"INSTANCE_BYTES", "ADDRESS_BYTES"}) or "instance" in {
        part.id for part in parts if isinstance(part, ast.Name)
    }


def test_nobody_but_the_wire_knows_what_an_instance_is_made_of():
    known = {module for module, source in sources().items() if takes_apart(source)}
    assert known
    assert all(within(module, ["prr.wire"]) for module in known), known
