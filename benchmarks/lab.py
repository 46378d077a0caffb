"""The timing of the legacy (2016) programs, simulated, to compare prr with.

A binder, services and clients on loopback, in one process. The client waits 2 s for a service; then
it complains, and the binder asks the service, waits 2 s for it, and serves nobody meanwhile. The
dead one is silent, and refuses nothing. Kind to them: a complaint about what is gone costs nothing,
and a client whose lookup is not answered waits on without harm.
"""

import time
from collections import Counter
from dataclasses import dataclass, field

import gevent
import gevent.socket

from benchmarks.arguments import HERE
from benchmarks.callers import REQUEST, answers
from prr.wire.instance import Address, decode_address, make_instance

CLIENT_WAIT = 2.0
BINDER_WAIT = 2.0
SERVERS = 3
CALLERS = 4
CALL_PAUSE = 0.01  # seconds between two calls of a client
ASK_PAUSE = 0.005  # between the lookups of one who only looks up
TYPE = 1
BYTES = 1024


@dataclass(slots=True)
class Scene:
    """One kill, and what followed it: seconds from then on, and counts."""

    binder: gevent.socket.socket
    servers: list[gevent.socket.socket]
    dead: Address | None = None
    killed_at: float = 0.0
    seen: Counter[str] = field(default_factory=Counter)


def play(kills: int) -> list[Counter[str]]:
    """What is seen in that many scenes side by side, a kill in each: most of the time all wait."""
    scenes = [gevent.spawn(_play_scene) for _ in range(kills)]
    gevent.joinall(scenes, raise_error=True)
    return [scene.value for scene in scenes]


def _play_scene() -> Counter[str]:
    scene = Scene(_bound(), [_bound() for _ in range(SERVERS)])
    running = [gevent.spawn(_serve, server) for server in scene.servers]
    running += [gevent.spawn(_look_up, scene, CALL_PAUSE, True) for _ in range(CALLERS)]
    running += [gevent.spawn(_bind, scene), gevent.spawn(_look_up, scene, ASK_PAUSE, False)]
    try:
        gevent.sleep(0.1)  # under way
        scene.dead = scene.servers[0].getsockname()
        scene.killed_at = time.monotonic()
        running[0].kill()
        gevent.sleep(CLIENT_WAIT + BINDER_WAIT + 0.2)
    finally:
        gevent.killall(running)
        for one in (scene.binder, *scene.servers):
            one.close()
    return scene.seen


def _bound() -> gevent.socket.socket:
    one = gevent.socket.socket(type=gevent.socket.SOCK_DGRAM)
    one.bind((HERE, 0))
    return one


def _bind(scene: Scene) -> None:
    held = [server.getsockname() for server in scene.servers]
    while True:
        data, source = scene.binder.recvfrom(BYTES)
        if data[0] == 2:
            held.append(held.pop(0))
            scene.binder.sendto(b"\3" + make_instance(TYPE, held[-1])[1:], source)
        elif data[0] == 4:
            for server in [one for one in held if make_instance(TYPE, one) == data[1:]]:
                if not answers(server, b"\x0b", BINDER_WAIT):  # serving nobody meanwhile
                    held.remove(server)


def _serve(own: gevent.socket.socket) -> None:
    while True:
        data, source = own.recvfrom(BYTES)
        own.sendto(b"\x0c" if data[0] == 11 else b"\1" + data[1:], source)


def _look_up(scene: Scene, pause: float, calls: bool) -> None:
    with _bound() as own:
        own.connect(scene.binder.getsockname())
        while True:
            gevent.sleep(pause)
            asked_at = time.monotonic()
            own.send(bytes((2, TYPE)))
            server = decode_address(own.recv(BYTES)[1:])
            now = time.monotonic()
            scene.seen["nobody_served"] = max(scene.seen["nobody_served"], now - asked_at)
            if server == scene.dead:
                scene.seen["last_named"] = now - scene.killed_at
            if calls and not answers(server, REQUEST, CLIENT_WAIT):
                scene.seen["failed_calls"] += 1
                own.send(b"\4" + make_instance(TYPE, server))
