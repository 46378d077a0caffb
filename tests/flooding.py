"""Floods against a real binder, and what others see meanwhile.

    python -m tests.flooding HOST:PORT complaints SOURCES PER_SECOND SECONDS TYPE,IP,PORT

floods, from addresses of 127.0.0.0/8; the rest is for tests. All of it is on this host's loopback.
"""

import selectors
import socket
import struct
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field

from benchmarks.fleet import Fleet
from prr.text import parse_address
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Role
from prr.wire.instance import (
    Address,
    Instance,
    address_of,
    decode_address,
    describe_address,
    make_instance,
    service_of,
)
from tests.forks import ROOT

TYPE = 7
SERVERS = 10
RENEWALS_APART = 0.2  # seconds between two renewals of one server, to have many of them
AS_USUAL = 5.0  # seconds between those of the accused one: what is heard is in no doubt any more
SERVERS_NET, FLOOD_NET = 50, 60

_IP_PKTINFO = 8  # linux/in.h: with it any address of the loopback can be a source
_CLIENT = Codec(Role.CLIENT)
_OTHERS = 100  # types, from this one on, of those that nobody looks up
_LOOKUP, _FOUND = bytes((2, TYPE)), 3


def flood(
    binder: Address, kind: str, sources: int, rate: float, seconds: float, accused: Instance
) -> None:
    """Send so many datagrams a second from so many hosts in turn, never reading what comes back:
    complaints about one instance, subscriptions of ever new ones, or both in turn."""
    complaint = _CLIENT.encode(Complaint(accused))
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
        sender.bind(("0.0.0.0", 0))
        began, number = time.monotonic(), 0
        print("begins", flush=True)
        while (now := time.monotonic()) < began + seconds:
            while number < (now - began) * rate:
                is_complaint = kind == "complaints" or (kind == "both" and number % 2)
                data = complaint if is_complaint else bytes((5, _OTHERS + number % _OTHERS))
                host = number % sources
                ip = bytes((127, FLOOD_NET, host >> 8, host & 255))
                info = [(socket.IPPROTO_IP, _IP_PKTINFO, struct.pack("=i4s4x", 0, ip))]
                sender.sendmsg([data], info, 0, binder)
                number += 1
            time.sleep(0.0005)


@dataclass
class Seen:
    """What others saw for some seconds."""

    waits: list[float] = field(default_factory=list)  # seconds, of lookups
    lost: int = 0
    found: Counter[Instance] = field(default_factory=Counter)
    renewals: list[float] = field(default_factory=list)  # seconds to their confirmation
    unconfirmed: int = 0
    asked: Counter[int] = field(default_factory=Counter)  # questions to the accused, by second

    def wait_ms(self, share: float) -> float:
        """The wait of a lookup that such a share of them does not exceed, in milliseconds."""
        return 1000 * sorted(self.waits)[int(share * (len(self.waits) - 1))]

    def turns(self, instance: Instance) -> float:
        """How many of its turns an instance has had: of 1, that of each of SERVERS."""
        return self.found[instance] * SERVERS / self.found.total()


class Onlookers:
    """Servers of one type that renew and answer, and a client that looks them up."""

    def __init__(self, binder: Address) -> None:
        self.binder = binder
        self.fleet = Fleet(SERVERS, bytes((TYPE,)), SERVERS_NET)
        self.fleet.say(self.fleet.first, binder)
        self.fleet.say(self.fleet.renewal, binder)
        self._client = socket.socket(socket.AF_INET, socket.SOCK_DGRAM | socket.SOCK_NONBLOCK)
        self._client.connect(binder)
        self.accused = self.fleet.instance(0)

    def close(self) -> None:
        """Give the ports back."""
        self.fleet.close()
        self._client.close()

    def watch(self, seconds: float, rate: float) -> Seen:
        """Look up so often a second, one at a time, and renew, for so long."""
        seen, began = Seen(), time.monotonic()
        renewed: dict[int, float] = {}
        due = [began + number * RENEWALS_APART / SERVERS for number in range(SERVERS)]
        with selectors.DefaultSelector() as selector:
            selector.register(self._client, selectors.EVENT_READ)
            selector.register(self.fleet, selectors.EVENT_READ)
            asked_at, next_at, before = None, began, self.fleet.questions[0]
            while (now := time.monotonic()) < began + seconds:
                if asked_at is not None and now - asked_at > 1.0:
                    seen.lost, asked_at = seen.lost + 1, None
                if asked_at is None and now >= next_at:
                    asked_at, next_at = now, max(next_at + 1 / rate, now)
                    self._client.send(_LOOKUP)
                for number, when in enumerate(due):
                    if now >= when and number not in renewed:
                        pause = RENEWALS_APART if number else AS_USUAL
                        renewed[number], due[number] = now, now + pause
                        self.fleet.send(number, self.fleet.renewal(number), self.binder)
                selector.select(0.0005)
                asked_at = self._hear(seen, asked_at)
                for number in self.fleet.hear(5):
                    if number in renewed:
                        seen.renewals.append(time.monotonic() - renewed.pop(number))
                seen.asked[int(now - began)] += self.fleet.questions[0] - before
                before = self.fleet.questions[0]
        seen.unconfirmed = sum(now - when > 1.0 for when in renewed.values())
        return seen

    def _hear(self, seen: Seen, asked_at: float | None) -> float | None:
        try:
            answer = self._client.recv(64)
        except BlockingIOError:
            return asked_at
        if asked_at is not None and answer[0] == _FOUND:
            seen.waits.append(time.monotonic() - asked_at)
            seen.found[make_instance(TYPE, decode_address(answer[1:7]))] += 1
        return None


def flooding(
    binder: Address, kind: str, sources: int, rate: float, seconds: float, accused: Instance
) -> subprocess.Popen:
    """Another process, which has begun to flood."""
    where = f"{service_of(accused)},{describe_address(address_of(accused))}"
    words = [describe_address(binder), kind, str(sources), str(rate), str(seconds), where]
    command = [sys.executable, "-m", "tests.flooding", *words]
    flooder = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE)
    assert flooder.stdout is not None
    with flooder.stdout as told:
        assert told.readline()
    return flooder


if __name__ == "__main__":
    _binder, _kind, _sources, _rate, _seconds, _accused = sys.argv[1:]
    _type, _, _at = _accused.partition(",")
    flood(
        *(parse_address(_binder), _kind, int(_sources), float(_rate), float(_seconds)),
        make_instance(int(_type), parse_address(_at)),
    )
