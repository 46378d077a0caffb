"""`prr.announce`: a service that a program provides by itself, with a check of its own."""

import gc
import socket
import threading
import time

import pytest

from prr import CannotServe, Client, NoSuchService, announce
from tests.nodes import PATIENCE, seldom_late
from tests.test_service import in_a_thread


def wait_for(client, expected, seconds=PATIENCE):
    """Ask until the answer is as expected; seconds that took."""
    began_at = time.monotonic()
    while True:
        try:
            found = client.lookup("web")
        except NoSuchService:
            found = None
        if found == expected:
            return time.monotonic() - began_at
        assert time.monotonic() < began_at + seconds, found
        time.sleep(0.005)


@pytest.mark.smoke
@in_a_thread
def test_it_is_found_out_of_turn_while_its_check_fails_and_gone_at_the_end(cluster):
    binder = cluster.binder().name
    client, works = Client(binder), [True]

    def check():
        if works[0] is None:
            raise KeyError("lost")
        return works[0]

    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        with announce("web", port=port, check=check, binders=binder, interval=0.1):
            wait_for(client, own.getsockname())

            def out_of_turn():
                works[0] = False
                took = wait_for(client, None)
                works[0] = True
                wait_for(client, own.getsockname())
                return took

            seldom_late(out_of_turn, 1.0)
            works[0] = None
            wait_for(client, None)
    wait_for(client, None)


@pytest.mark.smoke
@in_a_thread
def test_a_check_that_never_returns_fails_and_has_one_thread(cluster):
    binder, hangs, asked = cluster.binder().name, threading.Event(), []

    def check():
        asked.append(1)
        if len(asked) > 1:
            hangs.wait(10)

    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        made = announce("web", port=port, check=check, binders=binder, interval=0.05, timeout=0.2)
        with made:
            wait_for(Client(binder), None)
            time.sleep(1.0)
            assert len(asked) == 2
            hangs.set()
            wait_for(Client(binder), own.getsockname())


@pytest.mark.smoke
@in_a_thread
def test_whatever_a_check_raises_it_is_asked_again(cluster):
    import gevent

    binder, raised = cluster.binder().name, [SystemExit(1), gevent.Timeout(1), KeyError(1), None]

    def check():
        if (error := raised[0]) is not None:
            raise error

    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        with announce("web", port=port, check=check, binders=binder, interval=0.05):
            while len(raised) > 1:
                time.sleep(0.2)
                wait_for(Client(binder), None)
                raised.pop(0)
            wait_for(Client(binder), own.getsockname())


@pytest.mark.smoke
@in_a_thread
def test_without_a_check_it_is_there_as_long_as_the_program_says_so(cluster):
    binder = cluster.binder().name
    with socket.create_server(("127.0.0.1", 0)) as own:
        for _ in range(2):
            with announce("web", port=own.getsockname()[1], binders=binder):
                wait_for(Client(binder), own.getsockname())
            wait_for(Client(binder), None)


def test_what_cannot_be_announced_is_an_error_that_says_so():
    with pytest.raises(ValueError, match="from 1 to 65535"):
        announce("web", port=0)
    for wrong in (0, -1, float("nan"), "1"):
        with pytest.raises(ValueError, match="use seconds"):
            announce("web", port=7, interval=wrong)
    with pytest.raises(ValueError, match="use an IPv4 or IPv6 address"):
        announce("web", port=7, host="localhost")
    with pytest.raises(CannotServe, match="not on this host"):
        announce("web", port=7, host="192.0.2.1").__enter__()
    gc.collect()  # and no socket is left open
