"""Calls through `prr.Client` over real sockets, in each kind of program that may use it."""

import subprocess
import sys
from pathlib import Path

import pytest

from tests.samples import sample

ROOT = Path(__file__).parents[1]

PROGRAM = """
import sys
kind = sys.argv[1]
if kind == "patched":
    from gevent import monkey
    monkey.patch_all()
if kind != "plain":
    import gevent
    gevent.sleep(0)
import socket, threading, time
from prr import Client, ServiceDidNotAnswer
from prr.wire.codec import Codec
from prr.wire.frames import Complaint, Found, Lookup, Request, Response, Role
from prr.wire.instance import address_of
from tests.nodes import seldom_late

def udp():
    opened = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    opened.bind(("127.0.0.1", 0))
    return opened

def refusing():
    with udp() as opened:
        return opened.getsockname()

silent, quick = udp(), udp()
heard = []

def serve():
    while True:
        data, source = quick.recvfrom(2048)
        request = Codec(Role.SERVER).decode(data)
        quick.sendto(Codec(Role.SERVER).encode(Response(request.message.upper())), source)

def bind(binder, first):
    named = [first, quick.getsockname()]
    while True:
        data, source = binder.recvfrom(2048)
        frame = Codec(Role.BINDER).decode(data)
        heard.append(frame)
        if isinstance(frame, Lookup):
            binder.sendto(Codec(Role.BINDER).encode(Found(named.pop(0))), source)

def client_of(first):
    heard.clear()
    binder = udp()
    threading.Thread(target=bind, args=(binder, first), daemon=True).start()
    return Client("127.0.0.1:%d" % binder.getsockname()[1])

threading.Thread(target=serve, daemon=True).start()
ran = [0]
def count():
    while True:
        gevent.sleep(0.01)
        ran[0] += 1
if kind != "plain":
    gevent.spawn(count)

def hedged(first):
    began = time.monotonic()
    assert client_of(first).call(2, b"hello", hedge=True) == b"HELLO"
    return time.monotonic() - began

def after_silence():
    took = hedged(silent.getsockname())
    assert 0.45 < took, took
    told = [address_of(frame.instance) for frame in heard if isinstance(frame, Complaint)]
    assert told == [silent.getsockname()], heard
    assert kind == "plain" or ran[0] > 20, ran
    return took

seldom_late(after_silence, 1.5)
seldom_late(lambda: hedged(refusing()), 0.4)
try:
    client_of(refusing()).call(2, b"hello")
except ServiceDidNotAnswer as error:
    assert "refused" in str(error)
else:
    raise AssertionError("a call that is not hedged fails")
print("passed")
"""


@pytest.mark.parametrize("kind", sample(0, ["plain", "gevent", "patched"]))
def test_a_hedged_call_survives_a_silent_service_and_one_that_is_gone(kind):
    command = [sys.executable, "-c", PROGRAM, kind]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=30)
    assert (done.returncode, done.stdout) == (0, "passed\n"), done.stderr
