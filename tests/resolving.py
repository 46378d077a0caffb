"""A binder's DNS behind a resolver, as a host has it: runs in namespaces of its own, as root.

    python -m tests.resolving DIRECTORY

has unbound ask the binder for `prr.`, and the C library ask unbound. Prints one line of JSON.
"""

import json
import socket
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path

from tests.nodes import NODE, Cluster, Node, eventually

UNBOUND = """\
server:
    interface: 127.0.0.1
    do-daemonize: no
    username: ""
    chroot: ""
    directory: "{directory}"
    pidfile: ""
    use-syslog: no
    module-config: "iterator"
    do-not-query-localhost: no
    num-threads: 1
forward-zone:
    name: "prr."
    forward-addr: 127.0.0.1@5353
stub-zone:
    name: "other."
    stub-addr: 127.0.0.1@5354
"""


def listed(name: str) -> list[str]:
    """The addresses that the C library finds, in its order; none where it finds no name."""
    try:
        found = socket.getaddrinfo(name, None, socket.AF_INET, socket.SOCK_DGRAM)
    except socket.gaierror as error:
        return [error.strerror or ""]
    return [row[4][0] for row in found]


def dig(*words: str) -> list[str]:
    """The lines of `dig +short`, without what it says itself."""
    command = ["dig", "+short", "+tries=1", "+time=5", *words]
    said = subprocess.run(command, capture_output=True, text=True).stdout.splitlines()
    return sorted(line for line in said if not line.startswith(";"))


def main(directory: Path) -> None:
    """Set all of it up, and see what comes out."""
    subprocess.run(["ip", "link", "set", "lo", "up"], check=True)
    resolver = directory / "resolv.conf"
    resolver.write_text("nameserver 127.0.0.1\noptions attempts:1\n")
    subprocess.run(["mount", "--bind", resolver, "/etc/resolv.conf"], check=True)
    settings = directory / "unbound.conf"
    settings.write_text(UNBOUND.format(directory=directory))
    cluster = Cluster()
    with ExitStack() as stack:
        stack.callback(cluster.close)
        for port, domain in ((5353, "prr"), (5354, "other")):
            own = ("--listen", f"127.0.0.1:{port - 3000}", "--dns", f"127.0.0.1:{port}")
            cluster.nodes.append(Node("binder", *own, "--dns-domain", domain, program=NODE))
        for binder in cluster.nodes[:2]:
            for ip in ("127.0.0.1", "127.0.0.2"):
                own = ("--type", "web", "--listen", f"{ip}:0", "--binder", binder.name)
                cluster.start("server", *own).wait_for("confirmed")
        unbound = subprocess.Popen(["unbound", "-c", settings], stderr=subprocess.DEVNULL)
        stack.callback(unbound.wait)
        stack.callback(unbound.kill)
        eventually(lambda: bool(dig("web.prr")))
        found = {
            "library": [listed("web.prr") for _ in range(4)],
            "no such name": listed("none.prr"),
            "srv": dig("_web._udp.prr", "SRV"),
            "stub": dig("_web._udp.other", "SRV"),
            "target": dig("127-0-0-2.ip.prr"),
        }
        cluster.nodes[2].terminate()
        found["after one has left"] = listed("web.prr")
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
