"""prr installed as docs/operations.md says, under a real systemd, and what came of it: runs
inside its namespaces, with the Python of the system.

    python3 -m tests.installing NAME

prints one line of JSON; see run_installed in tests/systemd.py.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.inside import is_active, show

ROOT = Path(__file__).parents[1]  # with the standard library only: this Python has nothing else

BINDER = "prr-binder@main"
SERVER = "prr-server@main"
LOG = Path("/run/prr-binder@main.log")


def commands(heading: str) -> str:
    """The first commands below a heading of docs/operations.md."""
    text = (ROOT / "docs" / "operations.md").read_text().partition(f"\n## {heading}\n")[2]
    return re.search(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def install(leave_out: str = "") -> int:
    """Do what that says, from the root of the checkout, but for the command `leave_out`; the
    exit code."""
    text = commands("As a service")
    assert leave_out in text
    text = text.replace(leave_out, "true") if leave_out else text
    return subprocess.run(
        ["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, check=False
    ).returncode


def status(unit: str) -> dict:
    """How a unit is."""
    names = ("ActiveState", "SubState", "NRestarts", "ExecMainStatus", "StatusText")
    return {name: show(unit, name) for name in names}


def alone() -> dict:
    """A binder alone, with the settings as they are installed; then with an empty file; then a
    server beside it."""
    assert install() == 0
    found = {"binder": status(BINDER)}
    settings = Path("/etc/prr/main.toml")
    settings.write_text("")
    subprocess.run(["systemctl", "restart", BINDER], check=True)
    found["with an empty file"] = status(BINDER)
    done = subprocess.run(["systemctl", "start", SERVER], check=False, capture_output=True)
    found["a server with an empty file"] = {"exit": done.returncode, **status(SERVER)}
    settings.write_text("[server]\ntype = 1\n")
    subprocess.run(["systemctl", "start", SERVER], check=True)
    found["server"] = status(SERVER)
    return found


def starts(seconds: float) -> dict:
    """Have the binder started, and see how often it is within some seconds, and how it is then."""
    subprocess.run(["systemctl", "reset-failed", BINDER], check=False, capture_output=True)
    subprocess.run(["systemctl", "start", "--no-block", BINDER], check=True)
    time.sleep(seconds)
    found = {**status(BINDER), "socket": is_active(f"{BINDER}.socket"), "log": LOG.read_text()}
    subprocess.run(["systemctl", "stop", BINDER, f"{BINDER}.socket"], check=True)
    LOG.write_text("")
    return found


def broken() -> dict:
    """Installations that are no good: without packages; with an interpreter that the unit may not
    read; with a directory that is not there; with a program that crashes."""
    assert install(leave_out="/opt/prr/.venv/bin/pip install --requirement requirements.txt") != 0
    found = {"packages": {**status(BINDER), "log": LOG.read_text()}}
    LOG.write_text("")
    python = Path("/opt/prr/.venv/bin/python")
    target = python.readlink()
    python.unlink()
    python.symlink_to("/root/hidden/python3")
    found["interpreter"] = starts(3.0)
    python.unlink()
    python.symlink_to(target)
    drop_in = Path(f"/etc/systemd/system/{BINDER}.service.d/missing.conf")
    drop_in.parent.mkdir()
    drop_in.write_text("[Service]\nBindPaths=/opt/not-there\n")
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    found["directory"] = starts(3.0)
    drop_in.unlink()
    subprocess.run(["systemctl", "daemon-reload"], check=True)
    Path("/opt/prr/node.py").write_text("import os\nos.abort()\n")
    found["crash"] = starts(3.0)
    return found


SCENARIOS = {one.__name__: one for one in (alone, broken)}

if __name__ == "__main__":
    found = SCENARIOS[sys.argv[1]]()
    sys.stdout.flush()
    print(json.dumps(found))
