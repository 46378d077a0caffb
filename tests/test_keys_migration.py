"""All kinds of servers and clients go through a migration to keys, and none of them notices."""

import asyncio
import socket
import sys
import threading
import time
from contextlib import ExitStack
from functools import partial

import pytest

from benchmarks.fleet import Fleet
from prr import PrrError, Service
from prr.aio import AsyncClient
from prr.demo.ports import free_port
from prr.text import parse_peer
from prr.trust.credential import Credential, Holder
from tests.keys import APP, BILLING, replace_private, write_credential
from tests.nodes import NODE, Node, eventually, run
from tests.test_key_migration import Asking, Migrating, knows_all
from tests.test_service import in_a_thread

LEGACY_NET, LEGACY_TYPE = 51, 77
LEGACY = ("--legacy", f"127.{LEGACY_NET}.0.0/16")
"""At the binders: where the legacy (2016) programs are."""

RENEWED_EVERY = 0.5
RESENT_AFTER = 0.5
PAUSE = 0.05  # between two rounds of lookups: others here want the processor, too
"""Seconds."""

WAITING = "import socket, time; _ = socket.create_server(('', {})); time.sleep(600)".format


class LegacyServer:
    """A bare server, which knows neither trailers nor keys, of each binder in turn."""

    def __init__(self, binders):
        self._binders = [parse_peer(name) for name in binders]
        self._fleet = Fleet(1, bytes((LEGACY_TYPE,)), LEGACY_NET)
        self._is_over = threading.Event()
        self._thread = threading.Thread(target=self._run)
        self.renewals = self.resent = self.unconfirmed = 0

    def __enter__(self):
        self._thread.start()
        return self

    def __exit__(self, *_):
        self._is_over.set()
        self._thread.join()
        self._fleet.close()

    def _run(self):
        while not self._is_over.is_set():
            self.renewals += 1
            if not self._confirmed(self._binders[0]):
                self.resent += 1
                self.unconfirmed += not self._confirmed(self._binders[1])
            self._binders.reverse()
            self._hear(RENEWED_EVERY)

    def _confirmed(self, binder):
        self._fleet.send(0, self._fleet.first(0), binder)
        return self._hear(RESENT_AFTER, until_confirmed=True)

    def _hear(self, seconds, until_confirmed=False):
        end = time.monotonic() + seconds
        while time.monotonic() < end and not self._is_over.is_set():
            if [*self._fleet.hear(5)] and until_confirmed:
                return True
            time.sleep(0.002)
        return self._is_over.is_set()


class AskingAll(Asking):
    """Clients of the library, in threads and in asyncio, and legacy ones."""

    def __init__(self, binders):
        super().__init__(binders)
        self._key = None
        self._legacy = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._legacy.settimeout(1.0)

    def __exit__(self, *_):
        super().__exit__()
        self._legacy.close()

    def use(self, key):
        super().use(key)
        self._key = str(key)

    def ask(self, client):
        """Look up and call once, and look up in the two other ways."""
        super().ask(client)
        time.sleep(PAUSE)
        try:
            asyncio.run(AsyncClient(self._binders, key=self._key).lookup("billing"))
            self._ask_as_2016()
        except (PrrError, TimeoutError) as error:
            self.failures.append((time.monotonic(), repr(error)))

    def _ask_as_2016(self):
        """Each binder, until one of them answers, that the legacy server is there."""
        for _ in range(2):
            for name in self._binders:
                self._legacy.sendto(bytes((2, LEGACY_TYPE)), parse_peer(name))
                try:
                    answer = self._legacy.recv(64)
                except (TimeoutError, ConnectionRefusedError):
                    continue
                assert answer[0] == 3, answer
                return
        raise TimeoutError("no binder answers a legacy client")


class Everyone(Migrating):
    """The cast, and besides a program that `run` speaks for, and a service in this process."""

    def __init__(self, cluster, directory, stack):
        super().__init__(cluster, directory)
        self._stack = stack
        self._runner = self._service = None

    def start_runner(self, *key):
        """Another one, and then the one before ends."""
        before, port = self._runner, free_port()
        command = (sys.executable, "-c", WAITING(port))
        flags = ("--type", "web", "--port", str(port), *self._to, *key)
        self._runner = Node("run", *flags, "--", *command, program=NODE)
        self._stack.callback(self._runner.close)
        self._stack.callback(self._runner.terminate)
        self._runner.wait_for("INFO confirmed")
        if before is not None:
            assert before.terminate() == 143  # the program's, which was told so, too

    def start_service(self, key=None):
        """Likewise."""
        before = self._service
        self._service = Service("billing", bytes.upper, binders=self.names, key=key)
        self._service.start()
        self._stack.callback(self._service.stop)
        if before is not None:
            before.stop()

    def start_all(self, *key):
        """Those that have no key yet, or an older one, are replaced one by one."""
        flags = [("--key", str(one)) for one in key] or [(), ()]
        self.start_service(*(str(one) for one in key[:1]))
        self.start_runner(*flags[1])
        for number in range(2):
            self.start_server(number, *flags[0])


def migrate(cluster, directory, settle):
    """From no keys to required ones, to another secret; what clients and servers have seen."""
    with ExitStack() as stack:
        cast = Everyone(cluster, directory, stack)
        web = Credential(Holder.SERVER, "web-1", "web")
        keys = {one.id: write_credential(directory, one) for one in (BILLING, APP, web)}
        for number in range(2):
            cast.start_binder(number)
        legacy = stack.enter_context(LegacyServer(cast.names))
        cast.start_all()
        agent = cast.start_agent()
        eventually(lambda: all(map(knows_all, cast.names)))
        asking = stack.enter_context(AskingAll(cast.names))

        def phase(*flags):
            for number in range(2):
                cast.start_binder(number, "--key", str(cast.keyring), *LEGACY, *flags)
                settle(cast, asking)

        phase("--require", "log")
        cast.start_all(keys["web-7"], keys["web-1"])
        keyed_agent = cast.start_agent(keys["web-1"])
        assert agent.terminate() == 0
        asking.use(keys["app"])
        settle(cast, asking)
        phase()
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
        cast.start_all(keys["web-7"], keys["web-1"])
        cast.reread(keyed_agent, "settings reloaded")
        asking.use(keys["app"])
        settle(cast, asking)
        assert run("key", "prune", str(cast.keyring)).returncode == 0
        for binder in cast.binders:
            cast.reread(binder, "signs; revoked", 2)
            settle(cast, asking)
    nodes = (*cluster.nodes, keyed_agent)
    complained = [line for one in nodes for line in one.matching("evicted")]
    return asking, legacy, complained + [one.lines for one in nodes if is_unconfirmed(one)]


def is_unconfirmed(server):
    """Neither binder has confirmed it in time. One of them alone may be late, on a busy machine."""
    late = server.matching("WARNING no confirmation binder ")
    return len({line.split()[5] for line in late}) == 2


def check(asking, legacy, complained):
    """Nobody has noticed."""
    assert asking.failures == []
    assert asking.answers > 30
    assert (legacy.unconfirmed, complained) == (0, [])
    assert legacy.renewals > 10
    print(
        f"{asking.answers} rounds of lookups and calls; {legacy.renewals} legacy renewals,"
        f" {legacy.resent} of them sent twice"
    )


@pytest.mark.smoke
@in_a_thread
def test_all_kinds_of_programs_go_through_a_migration(cluster, tmp_path):
    check(*migrate(cluster, tmp_path, partial(Everyone.settle, rounds=4)))


@pytest.mark.slow
@in_a_thread
def test_all_kinds_of_programs_go_through_a_slow_migration(cluster, tmp_path):
    def settle(cast, asking):
        cast.settle(asking)
        time.sleep(6.0)  # each server has renewed

    check(*migrate(cluster, tmp_path, settle))
