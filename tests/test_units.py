"""The systemd units: well-formed, hardened, and back at once after a SIGKILL."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import gevent
import pytest

from tests.nodes import ROOT

UNITS = sorted((ROOT / "conf" / "systemd").glob("*.service"))
EXPOSURE_MAX = 2.0
SYSTEMD = Path("/lib/systemd/systemd")

CHECK = """
set -euo pipefail

node() { /opt/prr/.venv/bin/python /opt/prr/node.py "$@"; }

main_pid() { systemctl show --value --property MainPID "$1"; }

within_10_s() {  # COMMAND...: again and again, until it succeeds
    for _ in {1..100}; do
        "$@" && return
        sleep 0.1
    done 2>/dev/null
    echo "not within 10 s: $*" >&2
    return 1
}

is_back() { systemctl is-active --quiet "$1" && [ "$(main_pid "$1")" != "$2" ]; }

answers() { [ "$(node client --type echo --binder "$1" --message salut)" = salut ]; }

for unit in prr-binder@one prr-server@one; do
    within_10_s answers 127.0.0.1:2222
    within_10_s answers 127.0.0.1:2223
    pid=$(main_pid "$unit")
    grep -E '^(NoNewPrivs|Seccomp|CapBnd):' "/proc/$pid/status"
    kill -KILL "$pid"
    within_10_s is_back "$unit" "$pid"
    within_10_s answers 127.0.0.1:2222
    echo "$unit is back"
done
"""
"""Run beside the units. Binder one has to be told again who gives what: binder two knows. The name
of a binder must be found, too, with the few things that a hardened unit may do."""

SETTINGS = {
    "one": """
        [binder]
        listen = "127.0.0.1:2222"
        peers = ["127.0.0.1:2222", "127.0.0.1:2223"]
        [server]
        type = "echo"
        binders = ["localhost:2222", "127.0.0.1:2223"]
        """,
    "two": """
        [binder]
        listen = "127.0.0.1:2223"
        peers = ["127.0.0.1:2222", "127.0.0.1:2223"]
        """,
}

needs_analyze = pytest.mark.skipif(
    not shutil.which("systemd-analyze"), reason="systemd-analyze is not installed"
)


@pytest.fixture(params=UNITS, ids=lambda path: path.name)
def unit(request, tmp_path):
    """A unit as it would be if the checkout were what is installed under /opt/prr."""
    text = request.param.read_text().replace("/opt/prr/.venv/bin/python", sys.executable)
    path = tmp_path / request.param.name
    path.write_text(text.replace("/opt/prr", str(ROOT)))
    return path


def test_there_is_a_unit_for_each_role_that_stays():
    assert [path.name for path in UNITS] == ["prr-binder@.service", "prr-server@.service"]


def test_every_option_has_its_reason(unit):
    """A comment in every paragraph with options, but for those that say it themselves."""
    for paragraph in unit.read_text().split("\n\n"):
        names = {line.partition("=")[0] for line in paragraph.splitlines() if line[0] not in "#["}
        if names - {"Description", "Documentation", "ExecStart"}:
            assert re.search(r"^# \w", paragraph, re.MULTILINE), paragraph


@needs_analyze
def test_systemd_finds_nothing_to_complain_about(unit):
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", unit], capture_output=True, text=True, timeout=30
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@needs_analyze
def test_the_exposure_is_low(unit):
    done = subprocess.run(
        ["systemd-analyze", "security", "--offline=yes", "--no-pager", unit],
        capture_output=True,
        text=True,
        timeout=30,
    )
    if done.returncode:
        pytest.skip(f"systemd-analyze security --offline=yes: {done.stderr.strip()}")
    exposure = re.search(r"Overall exposure level for .*: ([\d.]+)", done.stdout)
    assert float(exposure[1]) <= EXPOSURE_MAX


@pytest.fixture
def installed(tmp_path):
    """What is to be seen where: the node under /opt/prr, as README installs it, and its settings.

    Homes and temporary directories do not exist for the units, so the interpreter moves too.
    """
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    prr = tmp_path / "prr"
    for name in ("prr", "conf"):
        shutil.copytree(ROOT / name, prr / name)
    shutil.copy(ROOT / "node.py", prr)
    (prr / ".venv" / "bin").mkdir(parents=True)
    (prr / ".venv" / "pyvenv.cfg").write_text("home = /opt/python/bin\n")
    (prr / ".venv" / "bin" / "python").symlink_to(f"/opt/python/bin/{version}")
    settings = tmp_path / "settings"
    settings.mkdir()
    for name, text in SETTINGS.items():
        (settings / f"{name}.toml").write_text(text)
    return {
        prr: "/opt/prr",
        sys.base_prefix: "/opt/python",
        Path(gevent.__file__).parents[1]: f"/opt/prr/.venv/lib/{version}/site-packages",
        settings: "/etc/prr",
    }


@pytest.fixture
def unit_directory(tmp_path):
    """The units as they are, without the host's targets, which are not there."""
    directory = tmp_path / "units"
    directory.mkdir()
    alone = "[Unit]\nDefaultDependencies=no\n"
    for path in UNITS:
        shutil.copy(path, directory)
        (directory / f"{path.name}.d").mkdir()
        (directory / f"{path.name}.d" / "alone.conf").write_text(alone)
    wants = "prr-binder@one.service prr-binder@two.service prr-server@one.service"
    (directory / "test.target").write_text(f"{alone}Wants={wants}\n")
    return directory


@pytest.mark.slow
@pytest.mark.skipif(os.geteuid() != 0, reason="only root may make namespaces for a systemd")
@pytest.mark.skipif(not SYSTEMD.exists(), reason="systemd is not installed")
def test_a_killed_node_is_back_at_once(installed, unit_directory):
    binds = [f"{source}={target}" for source, target in installed.items()]
    done = subprocess.run(
        [ROOT / "tests" / "sdtest.sh", unit_directory, *binds, "--", "bash", "-c", CHECK],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    hardened = ["CapBnd:\t0000000000000000", "NoNewPrivs:\t1", "Seccomp:\t2"]
    lines = done.stdout.splitlines()
    assert sorted(lines[:3]) == sorted(lines[4:7]) == hardened
    assert [lines[3], lines[7]] == ["prr-binder@one is back", "prr-server@one is back"]
