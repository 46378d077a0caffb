"""How soon binders are equal and right again after a partition, as a program.

`python -m tests.partitions KIND BINDERS SERVERS [--seconds 60] [--burners 0]` prints how many
living instances each binder lacks over time, and when it lacks none any more. KIND is minority,
halves, one-way or flapping. Needs root and the tools of `tests.netns`.
"""

import argparse
import json
import re
import select
import subprocess
import sys
import time
from collections.abc import Callable

from prr.client.control import fetch_list
from prr.wire.frames import ListRequest, Role
from prr.wire.inquiries import TextQuery
from prr.wire.trailer import PART_BITS, Question
from tests.cores import decode, encode
from tests.netns import Network
from tests.test_network import SETTLING, Crowd, eventually

KINDS = ("minority", "halves", "one-way", "flapping")

TYPES = tuple(range(1, 11))

FLAP = 1.0  # seconds that each state of a flapping cut lasts

LOOK = 0.05  # seconds between two looks after healing: each costs every binder a millisecond

PATIENCE = 0.5  # seconds for which a binder that has not answered is not asked again

WATCHED = 20.0  # seconds for which it is watched after healing

TOLD = re.compile(r'"instances": (\d+), "digest": "(\w+)"')  # in a binder's status

BURNER = "while True: pass"


class Parted:
    """Some binders in two halves, with servers on both sides."""

    def __init__(self, network: Network, kind: str, servers: int) -> None:
        self.network, self.kind = network, kind
        self.hosts = network.hosts
        self._know_each_other()
        size = 1 if kind == "minority" else len(self.hosts) // 2
        self.sides = self.hosts[:size], self.hosts[size:]
        self.nodes = [self._start(host) for host in self.hosts]
        for node in self.nodes:
            node.wait_for("synced")
        time.sleep(SETTLING)
        self.crowds = [Crowd(side[0], side) for side in self.sides]
        self.askers, self.looks = [], 0
        self.told, self.asked = [(0, 0, "")] * len(self.hosts), [(0, 0.0)] * len(self.hosts)
        for host in self.hosts:
            self.askers.append(host.socket())
            self.askers[-1].connect(host.address)
        self.alive = set()
        for crowd, side in zip(self.crowds, self.sides, strict=True):
            count = servers * len(side) // len(self.hosts)
            for number in range(count):
                types = (TYPES[number % len(TYPES)],)
                self.alive.update(crowd.subscribe(1, types, ours=True, renews=True))
        eventually(lambda: self.lacking() == [0] * len(self.hosts), 60)

    def _know_each_other(self) -> None:
        """Every host knows the others' link addresses: after a cut a kernel asks for one only once
        a second, which is not what is measured here."""
        for host in self.hosts:
            (link,) = json.loads(host.run("ip", "-json", "link", "show", "eth0"))
            for other in self.hosts:
                if other is not host:
                    words = ("lladdr", link["address"], "dev", "eth0", "nud", "permanent")
                    other.run("ip", "neigh", "replace", host.ip, *words)

    def _start(self, host):
        peers = [word for one in self.hosts if one is not host for word in ("--peer", one.name)]
        return host.start("binder", "--listen", host.name, *peers)

    def look(self) -> list[tuple[int, str]]:
        """How many instances each binder holds, and the digest of it all, as last told: one that
        is too busy to answer at once is not asked more and more."""
        for number, asker in enumerate(self.askers):
            while select.select([asker], [], [], 0)[0]:
                answer = decode(asker.recv(2048), Role.BINDER)
                if answer.trailer.nonce >= self.told[number][0]:
                    held, digest = TOLD.search(answer.trailer.text.decode()).groups()
                    self.told[number] = answer.trailer.nonce, int(held), digest
            asked, asked_at = self.asked[number]
            now = time.monotonic()
            if self.told[number][0] < asked and now < asked_at + PATIENCE:
                continue
            self.looks += 1
            words = TextQuery(nonce=self.looks << PART_BITS, question=Question.STATUS)
            asker.send(encode(ListRequest(trailer=words)))
            self.asked[number] = words.nonce, now
        return [(held, digest) for _, held, digest in self.told]

    def look_anew(self) -> None:
        """Until each binder has told how it is now, and not only how it was."""
        asked = self.looks << PART_BITS
        eventually(lambda: self.look() and min(nonce for nonce, _, _ in self.told) > asked, 20)

    def lacking(self) -> list[int]:
        """How many of the living each binder lacks; none has died, so nothing is held in vain."""
        return [len(self.alive) - count for count, _ in self.look()]

    def part(self, seconds: float, until: Callable[[], bool] = lambda: True) -> None:
        """Be parted for so long, and until that is so, and heal."""
        one_way = self.kind == "one-way"
        ends_at = time.monotonic() + seconds
        while (left := ends_at - time.monotonic()) > 0:
            self.network.cut(*self.sides, one_way=one_way)
            time.sleep(min(left, FLAP) if self.kind == "flapping" else left)
            if self.kind == "flapping" and time.monotonic() < ends_at:
                self.network.heal()
                time.sleep(FLAP)
        self.look_anew()
        eventually(until)
        print("lacking before healing:", self.lacking())
        self.network.heal()

    def detector(self) -> float:
        """Seconds from now until all are equal and nothing is lacking, for good."""
        began, right_at, worst = time.monotonic(), None, 0
        last = None
        self.look_anew()
        while time.monotonic() - began < WATCHED:
            seen = self.look()
            now = time.monotonic() - began
            lacks = [len(self.alive) - count for count, _ in seen]
            is_right = not any(lacks) and len({digest for _, digest in seen}) == 1
            if any(lacks):
                right_at = None
            elif is_right and right_at is None:  # a later renewal makes a difference for a moment
                right_at = now
            worst = max(worst, sum(lacks))
            if lacks != last:
                print(f"  {now:6.2f} s: lacking {lacks}", "equal" if is_right else "")
            last = lacks
            if right_at is not None and now > right_at + 3:
                break
            time.sleep(LOOK)
        for host in self.hosts:
            with host.entered():
                assert right_at is None or set(fetch_list(host.address) or ()) <= self.alive
        print(f"right after {right_at} s; most lacking, all binders together: {worst}")
        return float("inf") if right_at is None else right_at

    def close(self) -> None:
        """What was opened here; the network ends the binders."""
        for one in (*self.crowds, *self.askers):
            one.close()


def main() -> None:
    """Run one."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("kind", choices=KINDS)
    parser.add_argument("binders", type=int)
    parser.add_argument("servers", type=int)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--burners", type=int, default=0, help="processes that take the CPU")
    parser.add_argument("--log", action="store_true", help="print the binders' logs at the end")
    options = parser.parse_args()
    burners = []
    with Network(options.binders) as network:
        play = Parted(network, options.kind, options.servers)
        try:
            burners = [
                subprocess.Popen([sys.executable, "-c", BURNER]) for _ in range(options.burners)
            ]
            play.part(options.seconds)
            play.detector()
            for number, node in enumerate(play.nodes, 1):
                words = (
                    "evicted",
                    "removed",
                    "eviction limiter",
                    "late:",
                    "kept",
                    "verified",
                    "adopted",
                )
                counts = {word: len(node.matching(f" {word}")) for word in words}
                print(f"binder {number}:", counts)
                if options.log:
                    print(*node.lines, sep="\n")
        finally:
            for burner in burners:
                burner.kill()
                burner.wait()
            play.close()


if __name__ == "__main__":
    main()
