"""prr installed as README says, under a real systemd, and what came of it: runs inside its
namespaces, with the Python of the system.

    python3 -m tests.installing NAME

prints one line of JSON; see run_installed in tests/systemd.py.
"""

import json
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.inside import show
from tests.nodes import ROOT

BINDER = "prr-binder@main"
SERVER = "prr-server@main"


def commands(heading: str) -> str:
    """The first commands below a heading of README."""
    text = (ROOT / "README.md").read_text().partition(f"\n## {heading}\n")[2]
    return re.search(r"^```sh\n(.*?)^```", text, re.MULTILINE | re.DOTALL)[1]


def install(**replaced: str) -> float:
    """Do what README says, from the root of the checkout; seconds that it took. `replaced`, for
    who does something else than that, is text by text."""
    text = commands("As a service")
    for old, new in replaced.items():
        assert old in text
        text = text.replace(old, new)
    began_at = time.monotonic()
    subprocess.run(["bash", "-euo", "pipefail", "-c", text], cwd=ROOT, check=True)
    return round(time.monotonic() - began_at, 3)


def status(unit: str) -> dict:
    """How a unit is."""
    names = ("ActiveState", "SubState", "NRestarts", "ExecMainStatus", "StatusText")
    return {name: show(unit, name) for name in names}


def alone() -> dict:
    """A binder alone, with the settings as they are installed; then with an empty file; then a
    server beside it."""
    install()
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


SCENARIOS = {one.__name__: one for one in (alone,)}

if __name__ == "__main__":
    found = SCENARIOS[sys.argv[1]]()
    sys.stdout.flush()
    print(json.dumps(found))
