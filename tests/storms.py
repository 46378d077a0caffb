"""Nodes under a real systemd that are killed and restarted while others use them."""

import os
import random
import resource
import select
import signal
import socket
import subprocess
import threading
import time

from prr import Client, PrrError
from prr.client.control import fetch_list
from prr.wire.instance import make_instance
from tests.inside import (
    BINDERS,
    ECHO,
    FOUND,
    INSTANCES,
    LOOKUP,
    NAMES,
    PATIENCE,
    asking,
    eventually,
    kill,
    main_pid,
    settle,
)


def lookups() -> dict:
    """3,000 lookups at 1,000/s over one restart and two kill -9."""
    settle(3)
    pid = main_pid("prr-binder@one")
    restart = subprocess.Popen(["true"])
    answers, refused = [], 0
    with asking() as asker:
        asker.setblocking(False)
        began_at = time.monotonic()
        sent = 0
        while len(answers) < 3000 and time.monotonic() < began_at + PATIENCE:
            if sent < 3000 and time.monotonic() >= began_at + sent / 1000:
                if sent == 500:
                    restart = subprocess.Popen(["systemctl", "restart", "prr-binder@one"])
                if sent in (1500, 2200):
                    while (other := main_pid("prr-binder@one")) in (0, pid):
                        time.sleep(0.001)
                    pid = other
                    os.kill(pid, signal.SIGKILL)
                asker.send(LOOKUP)
                sent += 1
            readable, _, _ = select.select([asker], [], [], 0.0005)
            while readable:
                try:
                    answers.append(asker.recv(99)[0])
                except BlockingIOError:
                    break
                except ConnectionRefusedError:
                    refused += 1
    assert restart.wait(PATIENCE) == 0
    found = answers.count(FOUND)
    return {"sent": sent, "found": found, "other": len(answers) - found, "refused": refused}


class Lookups(threading.Thread):
    """Programs that look up through the library, one after the other, at a rate."""

    def __init__(self, per_second: float) -> None:
        super().__init__(daemon=True)
        self._pause = 1 / per_second
        self._over = threading.Event()
        self.took: list[float] = []
        self.failed: list[str] = []

    def run(self) -> None:
        """Until it is told to end."""
        client = Client(NAMES)
        while not self._over.wait(self._pause):
            began_at = time.monotonic()
            try:
                client.lookup(ECHO)
            except PrrError as error:
                self.failed.append(str(error))
            self.took.append(time.monotonic() - began_at)

    def end(self) -> dict:
        """No more; what came of them."""
        self._over.set()
        self.join()
        count = len(self.took)
        return {"lookups": count, "failed": self.failed, "longest_s": round(max(self.took), 3)}


def rolling() -> dict:
    """All three binders restarted, one by one, while programs look up."""
    settle(3)
    threads = [Lookups(50) for _ in range(4)]
    for thread in threads:
        thread.start()
    for name in ("one", "two", "three"):
        so_far = len(threads[0].took)
        eventually(lambda so_far=so_far: len(threads[0].took) > so_far + 20)
        subprocess.run(["systemctl", "restart", f"prr-binder@{name}"], check=True)
    results = [thread.end() for thread in threads]
    return {
        "lookups": sum(one["lookups"] for one in results),
        "failed": [why for one in results for why in one["failed"]],
        "longest_s": max(one["longest_s"] for one in results),
    }


class Subscribers:
    """Programs of 2016, each of which subscribes once, and answers when it is asked."""

    def __init__(self) -> None:
        self.confirmed: list[tuple[str, int]] = []
        self.resends: list[int] = []
        self._epoll = select.epoll()
        self._open: dict[int, list] = {}  # by descriptor: socket, type, binders left, ask at, asked
        self._waiting: dict[int, None] = {}

    def add(self, type_: int) -> None:
        """One more."""
        one = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        one.bind(("127.0.0.1", 0))
        one.setblocking(False)
        self._epoll.register(one, select.EPOLLIN)
        self._open[one.fileno()] = [one, type_, random.sample(BINDERS, 3), 0.0, 0]
        self._waiting[one.fileno()] = None

    def serve(self) -> None:
        """Ask for those that wait, and answer what has come."""
        now = time.monotonic()
        for number in list(self._waiting):
            one, type_, binders, ask_at, asked = self._open[number]
            if now >= ask_at:
                one.sendto(bytes((5, type_)), binders[asked % 3])
                self._open[number][3:] = [now + 0.1 * 2**asked, asked + 1]
        for number, _ in self._epoll.poll(0.002):
            one, type_, *_, asked = self._open[number]
            data, source = one.recvfrom(2048)
            if data[0] == 11:
                one.sendto(b"\x0c", source)
            elif data[0] == 6 and number in self._waiting:
                del self._waiting[number]
                self.confirmed.append((type_, *one.getsockname()))
                self.resends.append(asked - 1)


def storm(seconds: float = 60.0) -> dict:
    """A binder killed every half to two seconds, under 200 subscriptions a second."""
    settle(3)
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (limit, limit))
    subscribers, lookups_, kills = Subscribers(), Lookups(20), 0
    lookups_.start()
    began_at = time.monotonic()
    kill_at, added = 1.0, 0
    while (passed := time.monotonic() - began_at) < seconds:
        while added < passed * 200:
            subscribers.add(10 + added % 200)
            added += 1
        if passed >= kill_at:
            threading.Thread(target=kill, args=[f"prr-binder@{random.choice(INSTANCES)}"]).start()
            kills += 1
            kill_at = passed + random.uniform(0.5, 2.0)
        subscribers.serve()
    looked_up = lookups_.end()
    missing = [added] * 3
    ends_at = time.monotonic() + 30
    while any(missing) and time.monotonic() < ends_at:
        for _ in range(100):
            subscribers.serve()
        missing = [missing_at(binder, subscribers) for binder in BINDERS]
    return looked_up | {
        "added": added,
        "confirmed": len(subscribers.confirmed),
        "kills": kills,
        "missing": missing,
        "most_resends": max(subscribers.resends),
        "resent": sum(number > 0 for number in subscribers.resends),
    }


def missing_at(binder, subscribers: Subscribers) -> int:
    """How many of the confirmed a binder does not know."""
    known = set(fetch_list(binder))
    return sum(make_instance(one[0], one[1:]) not in known for one in subscribers.confirmed)
