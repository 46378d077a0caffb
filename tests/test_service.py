"""`prr.Service`: a program that answers requests, in a thread, beside greenlets, or alone."""

import signal
import socket
import subprocess
import sys
import threading
import time
from concurrent.futures import Future
from functools import wraps

import pytest

from prr import (
    CannotServe,
    Client,
    NoBinderAnswered,
    NoSuchService,
    Service,
    ServiceDidNotAnswer,
    ServiceFailed,
)
from prr.wire.call_messages import CallNumber
from prr.wire.codec import Codec
from prr.wire.frames import Request, Role
from tests.nodes import PATIENCE, seldom_late


def in_a_thread(test):
    """The test, in a thread where nobody has run greenlets yet: as in a program without them."""

    @wraps(test)
    def run(*args, **kwargs):
        done: Future[None] = Future()

        def finish():
            try:
                done.set_result(test(*args, **kwargs))
            except BaseException as error:
                done.set_exception(error)

        threading.Thread(target=finish, daemon=True).start()
        done.result(10 * PATIENCE)

    return run


def greet(message: bytes) -> bytes:
    return b"hello " + message


@in_a_thread
def test_a_thread_serves_beside_the_program_and_is_gone_at_its_end(cluster):
    binder = cluster.binder().name
    client = Client(binder)
    with Service("greeting", greet, binders=binder) as service:
        assert client.lookup("greeting") == service.address
        assert client.call("greeting", b"world") == b"hello world"
    with pytest.raises(NoSuchService) as raised:
        client.lookup("greeting")
    assert raised.value.service == "greeting"
    assert raised.value.binder == ("127.0.0.1", int(binder.rpartition(":")[2]))
    service.stop()  # no error
    with pytest.raises(CannotServe, match="started before"):
        service.start()


@in_a_thread
def test_what_the_handler_raises_is_what_the_client_raises_and_it_lives_on(cluster):
    binder = cluster.binder().name
    client = Client(binder)

    def fail(message):
        return {b"raise": lambda: int("x"), b"long": lambda: bytes(256), b"text": lambda: "no"}[
            message
        ]()

    with Service(7, fail, binders=binder) as service:
        for message, said in (
            (b"raise", "ValueError: invalid literal"),
            (b"long", "256 bytes; a frame holds 255"),
            (b"text", "returned str; return bytes"),
            (b"other", "KeyError: b'other'"),
        ):
            with pytest.raises(ServiceFailed, match=said) as raised:
                client.call(7, message)
            assert raised.value.address == service.address
        assert client.lookup(7) == service.address


@pytest.mark.smoke
@in_a_thread
def test_a_repeated_request_is_handled_once(cluster):
    handled = []

    def slow(message):
        import gevent

        handled.append(message)
        gevent.sleep(0.3)
        return message

    with (
        Service("slow", slow, binders=cluster.binder().name) as service,
        socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking,
    ):
        asking.connect(service.address)
        asking.settimeout(5)
        request = Codec(Role.CLIENT).encode(Request(b"once", trailer=CallNumber(nonce=7)))
        asking.send(request)
        asking.send(request)
        first = asking.recv(999)
        asking.send(request)
        assert asking.recv(999) == first
        asking.settimeout(0.4)
        with pytest.raises(TimeoutError):
            asking.recv(999)
    assert handled == [b"once"]


@pytest.mark.smoke
@in_a_thread
def test_requests_wait_for_each_other_only_beyond_the_limit(cluster):
    under_way, most = [0], [0]

    def busy(message):
        import gevent

        under_way[0] += 1
        most[0] = max(most[0], under_way[0])
        ends_at = time.monotonic() + PATIENCE
        while most[0] < 3 and time.monotonic() < ends_at:  # callers may be late
            gevent.sleep(0.01)
        gevent.sleep(0.05)  # for one more than may be
        under_way[0] -= 1
        return message

    binder = cluster.binder().name
    with Service(7, busy, binders=binder, at_once=3):
        callers = [
            threading.Thread(target=Client(binder).call, args=(7, b"%d" % n)) for n in range(9)
        ]
        for caller in callers:
            caller.start()
        for caller in callers:
            caller.join(PATIENCE)
    assert most == [3]


@pytest.mark.smoke
@in_a_thread
def test_what_is_under_way_at_the_end_is_answered(cluster):
    binder = cluster.binder().name
    begun, answers = threading.Event(), []

    def slow(message):
        import gevent

        begun.set()
        gevent.sleep(0.5)
        return b"done"

    service = Service(7, slow, binders=binder)
    service.start()
    caller = threading.Thread(target=lambda: answers.append(Client(binder).call(7, b"x")))
    caller.start()
    assert begun.wait(5)
    service.stop()
    caller.join(5)
    assert answers == [b"done"]


@pytest.mark.smoke
@in_a_thread
def test_a_call_takes_as_long_as_it_is_told_and_no_longer(cluster):
    binder = cluster.binder().name

    def slow(message):
        import gevent

        gevent.sleep(2.5)
        return b"late"

    with Service(7, slow, binders=binder):

        def given_up():
            began_at = time.monotonic()
            with pytest.raises(ServiceDidNotAnswer, match=r"within 0\.3 s"):
                Client(binder).call(7, b"short", timeout=0.3)
            return time.monotonic() - began_at

        seldom_late(given_up, 1.0)
        assert Client(binder).call(7, b"long", timeout=10) == b"late"
    with pytest.raises(ValueError, match="more than 0"):
        Client(binder).lookup(7, timeout=0)


@pytest.mark.smoke
@in_a_thread
def test_without_a_binder_a_handler_or_a_place_it_says_so():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        silent = f"127.0.0.1:{nobody.getsockname()[1]}"
        with pytest.raises(NoBinderAnswered, match="no binder confirmed"):
            Service(7, greet, binders=silent).start()
        with pytest.raises(CannotServe, match="cannot listen"):
            Service(7, greet, binders=silent, listen=silent).start()
    with pytest.raises(CannotServe, match=r"@service\.request"):
        Service(7).start()
    with pytest.raises(ValueError, match="use 1 or more"):
        Service(7, greet, at_once=0)
    with pytest.raises(ValueError, match="is not a service"):
        Service("No Service", greet)


BESIDE = """
import gevent, gevent.hub, sys
from prr import Client, Service
gevent.sleep(0)
ticks = []
def tick():
    while True:
        ticks.append(1)
        gevent.sleep(0.01)
gevent.spawn(tick)
client = Client(sys.argv[1])
with Service("greeting", lambda message: message.upper(), binders=sys.argv[1]):
    before = len(ticks)
    assert client.call("greeting", b"hello") == b"HELLO"
    gevent.sleep(0.1)
    assert len(ticks) > before
print("done")
"""


@pytest.mark.smoke
def test_it_runs_beside_other_greenlets(cluster):
    command = [sys.executable, "-c", BESIDE, cluster.binder().name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")


ALONE = """
import sys
from prr import Service
service = Service("greeting", binders=sys.argv[1])
@service.request
def greet(message):
    return b"hello " + message
service.run()
print("over")
"""


def wait_until(ask, expected):
    """Ask until the service is there."""
    ends_at = time.monotonic() + 10
    while True:
        try:
            assert ask() == expected
            return
        except NoSuchService:
            assert time.monotonic() < ends_at
            time.sleep(0.01)


@pytest.mark.smoke
def test_alone_it_serves_until_a_signal(cluster):
    binder = cluster.binder().name
    command = [sys.executable, "-c", ALONE, binder]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    ) as one:
        try:
            first = one.stderr.readline()
            assert first.startswith("greeting listening on 127.0.0.1:")
            wait_until(lambda: Client(binder).call("greeting", b"you"), b"hello you")
        finally:
            one.send_signal(signal.SIGTERM)
        assert one.wait(10) == 0
        assert one.stdout.read() == "over\n"
    with pytest.raises(NoSuchService):
        Client(binder).lookup("greeting")


@in_a_thread
def test_in_an_event_loop_the_client_that_waits_is_refused():
    import asyncio

    async def ask():
        with pytest.raises(RuntimeError, match="AsyncClient"):
            Client("127.0.0.1:1").lookup(7)

    asyncio.run(ask())


@pytest.mark.smoke
@in_a_thread
def test_each_call_is_one_whatever_port_it_comes_from(cluster):
    binder, handled = cluster.binder().name, []

    def count(message):
        handled.append(message)
        return b"%d" % len(handled)

    client = Client(binder)
    with Service("counter", count, binders=binder):
        assert [int(client.call("counter", b"next")) for _ in range(1500)] == [*range(1, 1501)]


@in_a_thread
def test_whatever_a_handler_raises_the_service_goes_on(cluster):
    import gevent

    binder = cluster.binder().name

    def fail(message):
        if message == b"exit":
            sys.exit(3)
        if message == b"timeout":
            raise gevent.Timeout(1)
        if message == b"odd":
            raise ValueError("\udc80")
        return b"well"

    client = Client(binder)
    with Service(7, fail, binders=binder, at_once=1):
        for message in (b"exit", b"timeout", b"odd", b"exit"):
            with pytest.raises(ServiceFailed):
                client.call(7, message)
        assert client.call(7, b"") == b"well"


@in_a_thread
def test_a_handler_may_stop_its_service_and_run_ends_where_it_is_stopped(cluster):
    binder = cluster.binder().name
    service = Service(7, lambda message: service.stop() or b"bye", binders=binder)
    service.start()
    assert Client(binder).call(7, b"stop") == b"bye"
    service.stop()
    wait_until_gone(Client(binder), 7)


def wait_until_gone(client, service):
    ends_at = time.monotonic() + 10
    while time.monotonic() < ends_at:
        try:
            client.lookup(service)
        except NoSuchService:
            return
        time.sleep(0.01)
    raise AssertionError("still there")


STOPPED = """
import signal, sys, threading, time
from prr import Client, Service
before = signal.getsignal(signal.SIGINT)
service = Service("brief", lambda message: message, binders=sys.argv[1])
def stop():
    while True:
        try:
            Client(sys.argv[1]).call("brief", b"x")
            break
        except Exception:
            time.sleep(0.01)
    service.stop()
threading.Thread(target=stop).start()
service.run()
assert signal.getsignal(signal.SIGINT) is before
print("over")
"""


@pytest.mark.smoke
def test_run_ends_where_it_is_stopped_and_signals_are_as_before(cluster):
    binder = cluster.binder().name
    command = [sys.executable, "-c", STOPPED, binder]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stdout) == (0, "over\n"), done.stderr


ENDED = """
import os, sys
from prr import Service
Service("ended", lambda message: message, binders=sys.argv[1]).start()
if (child := os.fork()) == 0:
    sys.exit(0)  # has no service to stop
os.waitpid(child, 0)
"""


@pytest.mark.smoke
def test_a_program_that_ends_deregisters(cluster):
    binder = cluster.binder()
    command = [sys.executable, "-c", ENDED, binder.name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    with pytest.raises(NoSuchService):
        Client(binder.name).lookup("ended")
    binder.wait_for("deregistered ended")


PATCHED = """
from gevent import monkey
monkey.patch_all()
import sys
from prr import Client, Service
with Service("patched", lambda message: message, binders=sys.argv[1]):
    print(Client(sys.argv[1]).call("patched", b"x"))
import gevent
gevent.sleep(0.01)
print("done")
"""


@pytest.mark.smoke
def test_in_a_patched_program_it_runs_beside_the_other_greenlets(cluster):
    command = [sys.executable, "-c", PATCHED, cluster.binder().name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("b'x'\ndone\n", "")
