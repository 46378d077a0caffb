"""Servers in wide use, behind `run` and `announce`: killed, hung, ill, restarted, found by lookups.

Each where it is installed, from Debian's packages nginx-light, redis-server and postgresql.
"""

import os
import pwd
import shutil
import signal
import subprocess

import pytest

from prr import Client, NoSuchService
from prr.demo.ports import free_port
from tests.nodes import NODE, Node, eventually

FAST = ("--check-interval", "0.1", "--check-timeout", "0.3")

NGINX = """
user root; worker_processes 1; error_log {0}/error.log; pid {0}/nginx.pid;
events {{}}
http {{
    access_log off;
    client_body_temp_path {0}; proxy_temp_path {0}; fastcgi_temp_path {0}; uwsgi_temp_path {0};
    scgi_temp_path {0};
    server {{
        listen 127.0.0.1:{1};
        location / {{ root {0}; if (-f {0}/ill) {{ return 500; }} return 200; }}
    }}
}}
"""


class Nginx:
    """One process for connections, which serves on when the first one is killed alone."""

    needs = ("nginx",)

    def __init__(self, directory, port):
        (directory / "nginx.conf").write_text(NGINX.format(directory, port))
        self.command = ["nginx", "-p", str(directory), "-c", str(directory / "nginx.conf")]
        self.command += ["-e", str(directory / "error.log"), "-g", "daemon off;"]
        self.check = f"http://127.0.0.1:{port}/"
        self.user = None


class Redis:
    """One process. While it hangs, the kernel accepts its connections: so it is pinged."""

    needs = ("redis-server", "redis-cli")

    def __init__(self, directory, port):
        self.command = ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--save", ""]
        self.command += ["--dir", str(directory)]
        self.check = f"exec:redis-cli -p {port} ping"
        self.user = None


class Postgres:
    """Several processes, and none of them root's."""

    needs = ("postgres", "initdb", "pg_isready")

    def __init__(self, directory, port):
        data = str(directory / "data")
        self.user = None if os.getuid() else "postgres"
        if self.user:
            os.chown(directory, pwd.getpwnam(self.user).pw_uid, -1)
            for above in (directory, *directory.parents[:2]):
                above.chmod(0o755)
        made = ["initdb", "--no-sync", "--auth", "trust", data]
        subprocess.run(made, check=True, user=self.user, stdout=subprocess.DEVNULL, cwd=directory)
        self.command = ["postgres", "-D", data, "-p", str(port), "-h", "127.0.0.1", "-k", data]
        self.command += ["-c", "fsync=off"]
        self.check = f"exec:pg_isready -q -h 127.0.0.1 -p {port}"


def program(of, directory, port):
    """Skips the test where it is not installed."""
    if missing := [name for name in of.needs if shutil.which(name) is None]:
        pytest.skip(f"needs {missing[0]}")
    return of(directory, port)


class Agent:
    """An agent, and what lookups say of its service, which has no other instance."""

    def __init__(self, binder, verb, port, check, command=()):
        flags = ["--binder", binder.name, "--type", "it", "--check", check, *FAST]
        flags += ["--port", str(port), "--grace", "0", "--restart"] if verb == "run" else []
        flags += ["--at", f"127.0.0.1:{port}"] if verb == "announce" else []
        self.node = Node(verb, *flags, *(("--", *command) if command else ()), program=NODE)
        self._address, self._client = ("127.0.0.1", port), Client(binder.name)

    @property
    def program(self):
        """The process id of what it runs."""
        pid = self.node.process.pid
        with open(f"/proc/{pid}/task/{pid}/children") as children:
            return next(
                int(child) for child in children.read().split() if os.getpgid(int(child)) != pid
            )

    def is_found(self):
        try:
            return self._client.lookup("it") == self._address
        except NoSuchService:
            return False

    def goes_and_comes_back(self, fault, repair):
        eventually(self.is_found)
        fault()
        eventually(lambda: not self.is_found())
        repair()
        eventually(self.is_found)


@pytest.mark.smoke
@pytest.mark.parametrize("of", [Nginx, Redis])
def test_it_is_run(cluster, tmp_path, of):
    binder, port = cluster.binder(), free_port()
    its = program(of, tmp_path, port)
    agent = Agent(binder, "run", port, its.check, its.command)
    try:
        agent.node.wait_for("INFO confirmed")
        first = agent.program
        os.kill(first, signal.SIGKILL)  # the first of its processes alone
        binder.wait_for("deregistered it")
        agent.node.wait_for("INFO confirmed", 2)  # its port was free
        eventually(agent.is_found)
        second = agent.program
        agent.goes_and_comes_back(
            lambda: os.killpg(second, signal.SIGSTOP), lambda: os.killpg(second, signal.SIGCONT)
        )
        if of is Nginx:
            agent.goes_and_comes_back((tmp_path / "ill").touch, (tmp_path / "ill").unlink)
            assert agent.node.matching("check failed .*500")
        assert agent.node.terminate() == 0
        assert not agent.is_found()
        for group in (first, second):
            with pytest.raises(ProcessLookupError):
                os.killpg(group, 0)
    finally:
        agent.node.close()


@pytest.mark.smoke
@pytest.mark.parametrize("of", [Nginx, Redis, pytest.param(Postgres, marks=pytest.mark.slow)])
def test_it_is_announced(cluster, tmp_path, of):
    binder, port = cluster.binder(), free_port()
    its = program(of, tmp_path, port)
    agent = Agent(binder, "announce", port, its.check)
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}

    def start():
        return subprocess.Popen(its.command, user=its.user, cwd=tmp_path, process_group=0, **quiet)

    def end(server, number):
        os.killpg(server.pid, number)
        server.wait()

    server = start()
    try:
        eventually(agent.is_found)
        end(server, signal.SIGKILL)
        eventually(lambda: not agent.is_found())
        (tmp_path / "data" / "postmaster.pid").unlink(missing_ok=True)
        server = start()
        agent.goes_and_comes_back(
            lambda: os.killpg(server.pid, signal.SIGSTOP),
            lambda: os.killpg(server.pid, signal.SIGCONT),
        )
        if of is Nginx:
            agent.goes_and_comes_back((tmp_path / "ill").touch, (tmp_path / "ill").unlink)
        server.terminate()
        server.wait()
        eventually(lambda: not agent.is_found())
    finally:
        if server.poll() is None:
            end(server, signal.SIGKILL)
        agent.node.terminate()
        agent.node.close()
