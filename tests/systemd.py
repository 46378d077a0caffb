"""A real systemd for tests: PID 1 of fresh namespaces, with conf/systemd/ as it is."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from prr.shell.udp.steering import LANES
from tests.nodes import ROOT
from tests.wheels import make_wheels

UNITS = sorted((ROOT / "conf" / "systemd").iterdir())
SYSTEMD = Path("/lib/systemd/systemd")
SYSTEM_PYTHON = "/usr/bin/python3"
"""Outside of homes, which do not exist for the units."""

PORTS = {"one": 2222, "two": 2223, "three": 2224}

ALONE = "[Unit]\nDefaultDependencies=no\n"
"""The units without the host's targets, which are not there."""

LOG = "[Service]\nStandardError=append:/run/%N.log\n"
"""There is no journal."""

LIBRARY = "Environment=LD_LIBRARY_PATH=/opt/python/lib\n"
"""Where the interpreter that has moved finds its own library, and none of another version."""

SETTINGS = """
[binder]
peers = ["127.0.0.1:2222", "127.0.0.1:2223", "127.0.0.1:2224"]
[server]
type = "echo"
binders = ["localhost:2222", "127.0.0.1:2223", "127.0.0.1:2224"]
"""
"""One file serves all: a binder skips itself. A name must be found, too, with the few things that
a hardened unit may do."""


def needs_systemd(test):
    """Marks a test that starts a systemd of its own."""
    for mark in (
        pytest.mark.slow,
        pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces for a systemd"),
        pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed"),
    ):
        test = mark(test)
    return test


def needs_system_python(test):
    """Marks a test that installs prr for the Python of the system, with what is installed here."""
    version = "import sys; print(sys.version_info[:2])"
    done = subprocess.run([SYSTEM_PYTHON, "-c", version], capture_output=True, text=True)
    same = done.stdout.strip() == str(sys.version_info[:2])
    reason = f"{SYSTEM_PYTHON} is not of the same version as this Python"
    return pytest.mark.skipif(not same, reason=reason)(needs_systemd(test))


def run_scenario(directory: Path, name: str, timeout: float = 120) -> dict:
    """Have a systemd start three binders and a server, and play a scenario of tests/scenarios.py
    beside them; what it found. `directory` is for what is installed."""
    units = [*(f"prr-binder@{one}.service" for one in PORTS), "prr-server@one.service"]
    binds = [f"{source}={target}" for source, target in _install(directory).items()]
    script = ["/opt/prr/.venv/bin/python", "-m", "tests.scenarios", name]
    return _run(
        [_lay_out(directory, units), *binds, "--", "env", "--chdir=/opt/prr", *script], timeout
    )


def run_installed(directory: Path, name: str, timeout: float = 120) -> dict:
    """Play a scenario of tests/installing.py beside a systemd that knows no unit of prr before it
    is installed; what it found. `directory` is for what that needs."""
    make_wheels(directory / "wheels")
    units = directory / "units"
    units.mkdir()
    for path in UNITS:
        _drop_in(units, path.name, "alone", ALONE + (LOG if path.suffix == ".service" else ""))
    (units / "test.target").write_text(ALONE)
    pip = {"NO_INDEX": "1", "FIND_LINKS": directory / "wheels", "NO_CACHE_DIR": "1"}
    variables = [f"PIP_{key}={value}" for key, value in pip.items()]
    script = [SYSTEM_PYTHON, "-m", "tests.installing", name]
    return _run([units, "--", "env", f"--chdir={ROOT}", *variables, *script], timeout)


def _run(arguments: list, timeout: float) -> dict:
    """Have tests/sdtest.sh run something; the last line that it prints, which is JSON."""
    done = subprocess.run(
        [ROOT / "tests" / "sdtest.sh", *arguments], capture_output=True, text=True, timeout=timeout
    )
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return json.loads(done.stdout.splitlines()[-1])


def _install(directory: Path) -> dict[Path, str]:
    """What is to be seen where: the node under /opt/prr, as docs/operations.md installs it, and
    its settings.

    Homes and temporary directories do not exist for the units, so the interpreter moves too.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    prr = directory / "prr"
    for name in ("prr", "conf", "tests"):
        shutil.copytree(ROOT / name, prr / name)
    shutil.copy(ROOT / "node.py", prr)
    (prr / ".venv" / "bin").mkdir(parents=True)
    (prr / ".venv" / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (prr / ".venv" / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    compiling = [sys.executable, "-m", "compileall", "-q", "--invalidation-mode", "unchecked-hash"]
    subprocess.run([*compiling, prr / "prr"], check=True)
    settings = directory / "settings"
    settings.mkdir()
    for name in PORTS:
        (settings / f"{name}.toml").write_text(SETTINGS)
    return {
        prr: "/opt/prr",
        Path(sys.base_prefix): "/opt/python",
        Path(gevent.__file__).parents[1]: f"/opt/prr/.venv/lib/{version}/site-packages",
        settings: "/etc/prr",
    }


def _lay_out(directory: Path, wanted: list[str]) -> Path:
    """The units as they are, an address for each socket as docs/operations.md says, and what is
    started."""
    units = directory / "units"
    units.mkdir()
    for path in UNITS:
        shutil.copy(path, units)
        more = LOG + LIBRARY if path.suffix == ".service" else ""
        _drop_in(units, path.name, "alone", ALONE + more)
    for number, name in enumerate(PORTS):
        listen = f"ListenDatagram=127.0.0.1:{PORTS[name]}\n"
        text = "[Socket]\nListenDatagram=\n" + len(LANES) * listen
        _drop_in(units, f"prr-binder@{name}.socket", "listen", text)
        text = f"[Socket]\nListenDatagram=\nListenDatagram=127.0.0.1:{2300 + number}\n"
        _drop_in(units, f"prr-server@{name}.socket", "listen", text)
    (units / "test.target").write_text(f"{ALONE}Wants={' '.join(wanted)}\n")
    return units


def _drop_in(units: Path, unit: str, name: str, text: str) -> None:
    directory = units / f"{unit}.d"
    directory.mkdir(exist_ok=True)
    (directory / f"{name}.conf").write_text(text)
