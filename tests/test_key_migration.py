"""A running cluster gets keys, requires them, changes its secret, and no lookup fails meanwhile."""

import signal
import threading
import time

import pytest

from prr import Client, PrrError
from prr.core.pacing import RENEWAL
from prr.demo.ports import free_port
from prr.trust.credential import Credential, Holder
from tests.keys import APP, BILLING, replace_private, write_credential, write_keyring
from tests.nodes import eventually, run

SERVICES = ("billing", "web")


class Asking:
    """Clients that look up and call all the time, without a key and, once there is one, with it."""

    def __init__(self, binders):
        self._binders = binders
        self._clients = [Client(binders)]
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.failures, self.answers = [], 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()

    def use(self, key):
        """Have another client ask with this key from now on."""
        self._clients = [self._clients[0], Client(self._binders, key=str(key))]

    def _run(self):
        while not self._is_over.wait(0.01):
            for client in self._clients:
                self.ask(client)

    def ask(self, client):
        """Look up and call once."""
        try:
            for service in SERVICES:
                client.lookup(service)
            client.call("billing", b"salut")
            self.answers += 1
        except PrrError as error:
            self.failures.append((time.monotonic(), repr(error)))


class Migrating:
    """Two binders with a state each, two servers and an agent, and the files of their settings."""

    def __init__(self, cluster, directory):
        self._cluster = cluster
        self._directory = directory
        self.ports = [free_port(), free_port()]
        self.names = [f"127.0.0.1:{port}" for port in self.ports]
        self.keyring = write_keyring(directory)
        self.binders = [None, None]
        self.servers = [None, None]
        self._to = [word for name in self.names for word in ("--binder", name)]

    def start_binder(self, number, *flags):
        """Stop it, if it runs, and start it with these flags."""
        if self.binders[number] is not None:
            assert self.binders[number].terminate() == 0
        peer = ("--peer", self.names[1 - number])
        state = ("--state", str(self._directory / f"state-{number}"))
        where = ("--listen", self.names[number], *peer, *state)
        self.binders[number] = self._cluster.start("binder", *where, *flags)
        self.binders[number].wait_for("listening on")

    def start_server(self, number, *flags):
        """Start another one, and stop the one that was there, if it was, once that is found."""
        before = self.servers[number]
        self.servers[number] = self._cluster.start("server", "--type", "billing", *self._to, *flags)
        self.servers[number].wait_for("confirmed")
        if before is not None:
            assert before.terminate() == 0

    def reread(self, node, pattern, count=1):
        """Have it read its settings again."""
        node.process.send_signal(signal.SIGHUP)
        node.wait_for(pattern, count)

    def start_agent(self, *key):
        """Announce a program on a port of its own."""
        table = self._directory / f"announce-{len(self._cluster.nodes)}.toml"
        table.write_text(
            f"[[announce]]\ntype = 'web'\nat = '127.0.0.1:{free_port()}'\ncheck = 'none'\n"
            f"binders = {self.names}\n" + "".join(f"key = '{one}'\n" for one in key)
        )
        agent = self._cluster.start("announce", "--config", str(table))
        agent.wait_for("confirmed")
        return agent

    def settle(self, asking, rounds=20):
        """Both binders answer, and as many questions have been answered as to show it."""
        eventually(lambda: all(map(knows_all, self.names)))
        before = asking.answers
        eventually(lambda: asking.answers > before + rounds)


def knows_all(name):
    """A binder hands out an instance of each service."""
    return all(run("lookup", one, "--binder", name).returncode == 0 for one in SERVICES)


@pytest.mark.slow
def test_a_cluster_gets_keys_requires_them_and_changes_its_secret_and_no_lookup_fails(
    cluster, tmp_path
):
    cast = Migrating(cluster, tmp_path)
    web = Credential(Holder.SERVER, "web-1", "web")
    keys = {one.id: write_credential(tmp_path, one) for one in (BILLING, APP, web)}
    for number in range(2):
        cast.start_binder(number)
        cast.start_server(number)
    agent = cast.start_agent()
    eventually(lambda: all(map(knows_all, cast.names)))
    with Asking(cast.names) as asking:
        for number in range(2):  # off -> log
            cast.start_binder(number, "--key", str(cast.keyring), "--require", "log")
            cast.settle(asking)
        for number in range(2):
            cast.start_server(number, "--key", str(keys["web-7"]))
        keyed_agent = cast.start_agent(keys["web-1"])
        assert agent.terminate() == 0
        asking.use(keys["app"])
        cast.settle(asking)
        for number in range(2):  # log -> on
            cast.start_binder(number, "--key", str(cast.keyring))
            cast.settle(asking)
        assert run("key", "rotate", str(cast.keyring)).returncode == 0
        for binder in cast.binders:
            cast.reread(binder, "is still believed")
        for name, flags in (
            ("app", ("client",)),
            ("web-7", ("server", "--type", "billing")),
            ("web-1", ("server", "--type", "web")),
        ):
            text = run("key", *flags, "--id", name, str(cast.keyring)).stdout
            replace_private(keys[name], text)
        for node in (*cast.servers, keyed_agent):
            cast.reread(node, "settings reloaded")
        asking.use(keys["app"])
        cast.settle(asking)
        assert run("key", "prune", str(cast.keyring)).returncode == 0
        for binder in cast.binders:
            cast.reread(binder, "signs; revoked", 2)
        time.sleep(RENEWAL + 1)  # whoever has not been given the new secret's key is told so by now
        cast.settle(asking)
    assert asking.failures == []
    assert asking.answers > 100
    for node in (*cast.binders, *cast.servers, keyed_agent):
        assert node.matching("no confirmation|not believed|evicted") == []
