"""What is done to nodes under a real systemd, and what came of it: runs inside its namespaces.

    python -m tests.scenarios NAME

prints one line of JSON. Three binders, and a server of type 1 (echo); see tests/systemd.py.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from prr import Client, NoSuchService
from tests.inside import (
    ECHO,
    FOUND,
    INSTANCES,
    LOOKUP,
    NAMES,
    asking,
    eventually,
    is_active,
    kill,
    knows_a_service,
    main_pid,
    settle,
    show,
)
from tests.storms import lookups, rolling, storm


def time_to_answer(number: int) -> float:
    """Seconds from a signal to the first binder to its answer, which was asked for meanwhile."""
    with asking() as asker:
        pid = main_pid("prr-binder@one")
        began_at = time.monotonic()
        os.kill(pid, number)
        asker.send(LOOKUP)
        answer = asker.recv(99)
        took = time.monotonic() - began_at
    assert answer[0] == FOUND, answer
    eventually(lambda: is_active("prr-binder@one"))
    return took


def time_to_load() -> float:
    """Seconds in which an interpreter starts and loads what a binder is made of: what any restart
    takes on this machine, just now."""
    began_at = time.monotonic()
    subprocess.run([sys.executable, "-c", "import prr.cli.roles"], check=True)
    return time.monotonic() - began_at


def faults() -> dict:
    """How long a killed and a hanging binder takes to answer; ten kills in a row; the server."""
    settle(3)
    killed, loaded = [], []
    for _ in range(7):
        loaded.append(time_to_load())
        killed.append(time_to_answer(signal.SIGKILL))
    hung = time_to_answer(signal.SIGSTOP)
    before = main_pid("prr-binder@one")
    for unit in ("prr-binder@one", "prr-server@one"):
        last = None
        for _ in range(10):
            eventually(lambda last=last, unit=unit: main_pid(unit) not in (0, last))
            last = kill(unit)
    units = [
        f"prr-{one}@one.{kind}" for one in ("binder", "server") for kind in ("service", "socket")
    ]
    eventually(lambda: all(is_active(unit) for unit in units))
    restarts = {unit: int(show(unit, "NRestarts")) for unit in units[::2]}
    assert main_pid("prr-binder@one") != before
    return {
        "killed_s": [round(one, 3) for one in killed],
        "loaded_s": [round(one, 3) for one in loaded],
        "hung_s": round(hung, 3),
        "restarts": restarts,
        "hardened": hardened(),
        "complaints": complaints(),
    }


def hardened() -> list[str]:
    """What the kernel keeps the binder from."""
    eventually(lambda: main_pid("prr-binder@one") > 0)
    lines = Path(f"/proc/{main_pid('prr-binder@one')}/status").read_text().splitlines()
    names = ("NoNewPrivs:", "Seccomp:", "CapBnd:")
    return sorted(line for line in lines if line.startswith(names))


def complaints() -> list[str]:
    """What the log says of a system, or a sandbox, that keeps a node from its short ways."""
    lines = Path("/run/prr-binder@one.log").read_text().splitlines()
    return [line for line in lines if "cannot sort" in line or "Traceback" in line]


def reload() -> dict:
    """systemctl reload: a peer less, a mistake in the file, and the peer again."""
    settle(3)
    path = Path("/etc/prr/one.toml")
    text = path.read_text()
    log = Path("/run/prr-binder@one.log")
    pid = main_pid("prr-binder@one")
    for changed, code, line in (
        (text.replace(', "127.0.0.1:2224"]', "]"), 0, "peer removed 127.0.0.1:2224"),
        ("[binder]\nlease = no", 1, "prr: /etc/prr/one.toml"),
        (text, 0, "peer added 127.0.0.1:2224"),
    ):
        path.write_text(changed)
        done = subprocess.run(["systemctl", "reload", "prr-binder@one"], check=False)
        assert done.returncode == code, line
        eventually(lambda line=line: line in log.read_text())
        eventually(lambda: is_active("prr-binder@one"))
    eventually(lambda: "2 of 2 peers heard" in show("prr-binder@one", "StatusText"))
    return {"same_process": main_pid("prr-binder@one") == pid}


def mistake() -> dict:
    """A wrong setting: it gives up, with its socket; corrected, it is started again."""
    settle(3)
    path = Path("/etc/prr/one.toml")
    text = path.read_text()
    path.write_text("[binder]\nwire = 7")
    kill("prr-binder@one")
    eventually(lambda: show("prr-binder@one", "ActiveState") == "failed")
    eventually(lambda: not is_active("prr-binder@one.socket"))
    path.write_text(text)
    subprocess.run(["systemctl", "start", "prr-binder@one"], check=True)
    settle(3)
    subprocess.run(["systemctl", "stop", "prr-binder@one.socket"], check=True)
    return {"stopped": not is_active("prr-binder@one")}


def server() -> dict:
    """A killed server serves again, in the turns of all binders, and nobody had to subscribe it."""
    settle(3)
    log = Path("/run/prr-server@one.log")
    client = Client(NAMES)
    kill("prr-server@one")
    began_at = time.monotonic()
    answer = client.call(ECHO, b"salut")  # waits in the queue
    took = time.monotonic() - began_at
    eventually(lambda: log.read_text().count("confirmed") == 2)
    settle(3)
    return {"answer": answer.decode(), "took_s": round(took, 3)}


ETCD = "127.0.0.1:2379"

WEB = """
[run]
command = ["/opt/prr/.venv/bin/python", "-m", "http.server", "--bind", "127.0.0.1", "8080"]
type = "web"
port = 8080
restart = true
check_interval = 0.2
grace = 0.1
"""
OTHERS = """
[[announce]]
type = "web-too"
at = "127.0.0.1:8080"
check = "http://127.0.0.1:8080/"
check_interval = 0.2
"""


def run() -> dict:
    """A program behind an agent: started, killed, its agent killed, stopped; and one announced."""
    settle(3)
    for name, text in (("web", WEB), ("others", OTHERS)):
        Path(f"/etc/prr/{name}.toml").write_text(text)
    subprocess.run(["systemctl", "start", "prr-run@web", "prr-announce@others"], check=True)
    client, log = Client(NAMES), Path("/run/prr-run@web.log")
    found = [client.lookup("web")]  # systemctl has waited for that
    eventually(lambda: is_known(client, "web-too"))
    agent = main_pid("prr-run@web")
    program = int(Path(f"/proc/{agent}/task/{agent}/children").read_text())
    os.kill(program, signal.SIGKILL)
    eventually(lambda: log.read_text().count("INFO confirmed") == 2)
    found.append(client.lookup("web"))
    last = kill("prr-run@web")
    eventually(lambda: main_pid("prr-run@web") not in (0, last))
    eventually(lambda: log.read_text().count("INFO confirmed") == 3)
    found.append(client.lookup("web"))
    subprocess.run(["systemctl", "stop", "prr-run@web"], check=True)
    eventually(lambda: not is_known(client, "web"))
    eventually(lambda: not is_known(client, "web-too"))
    return {
        "found": found,
        "result": show("prr-run@web", "Result"),
        "announcer": is_active("prr-announce@others"),
    }


def keys() -> dict:
    """A cluster with keys, whose files root alone may read; then one of them is missing."""
    settle(3)
    cluster = make_key("new")
    for name in INSTANCES:
        write_key(f"binder-{name}.key", cluster)
    made = make_key("server", "--type", "echo", "--id", "one", "/etc/prr/binder-one.key")
    write_key("server-one.key", made)
    for name in INSTANCES:
        path = Path(f"/etc/prr/{name}.toml")
        text = path.read_text().replace("[binder]", f'[binder]\nkey = "binder-{name}.key"')
        path.write_text(text.replace("[server]", f'[server]\nkey = "server-{name}.key"'))
    units = [*(f"prr-binder@{name}" for name in INSTANCES), "prr-server@one"]
    subprocess.run(["systemctl", "restart", *units], check=True)
    settle(3)
    found = {
        "keyed": [Path(f"/run/{unit}.log").read_text().count("\nkey: ") for unit in units],
        "core": [core_limit(unit) for unit in units],
    }
    Path("/etc/prr/binder-one.key").unlink()
    subprocess.run(["systemctl", "restart", "prr-binder@one"], check=False)
    eventually(lambda: show("prr-binder@one", "ActiveState") == "failed")
    log = Path("/run/prr-binder@one.log").read_text()
    return found | {"missing": log.splitlines()[-1]}


def etcd_away() -> dict:
    """A binder starts alone while its etcd is away, with what its disk has; then etcd comes."""
    settle(3)
    path, log = Path("/etc/prr/one.toml"), Path("/run/prr-binder@one.log")
    path.write_text(path.read_text().replace("[binder]", f'[binder]\nstore = "etcd://{ETCD}"'))
    others = ("prr-binder@two.socket", "prr-binder@three.socket")
    subprocess.run(["systemctl", "stop", *others], check=True)
    subprocess.run(["systemctl", "restart", "prr-binder@one"], check=True)  # waits for READY=1
    found = {"active": is_active("prr-binder@one"), "served": knows_a_service()}
    eventually(lambda: "etcd is away" in log.read_text())
    urls = ("--listen-client-urls", f"http://{ETCD}", "--advertise-client-urls", f"http://{ETCD}")
    etcd = subprocess.Popen(["etcd", "--data-dir", "/run/etcd", *urls], stderr=subprocess.DEVNULL)
    eventually(lambda: f"etcd at {ETCD} answers" in log.read_text())
    found |= {"restarts": show("prr-binder@one", "NRestarts"), "etcd": etcd.poll()}
    etcd.kill()
    etcd.wait()
    return found


def make_key(*arguments: str) -> str:
    """What `key` prints."""
    command = [sys.executable, "/opt/prr/node.py", "key", *arguments]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def write_key(name: str, text: str) -> None:
    """A file in /etc/prr that root alone may read."""
    path = Path("/etc/prr", name)
    path.touch(mode=0o600)
    path.write_text(text)


def core_limit(unit: str) -> str:
    """Bytes that a core dump of its process may have."""
    lines = Path(f"/proc/{main_pid(unit)}/limits").read_text().splitlines()
    return next(line.split()[4] for line in lines if line.startswith("Max core file size"))


def is_known(client: Client, service: str) -> bool:
    """Some binder returns an instance of it."""
    try:
        client.lookup(service)
    except NoSuchService:
        return False
    return True


SCENARIOS = {
    one.__name__: one
    for one in (lookups, faults, rolling, reload, mistake, server, run, keys, etcd_away, storm)
}

if __name__ == "__main__":
    print(json.dumps(SCENARIOS[sys.argv[1]]()))
