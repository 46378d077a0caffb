"""`prr.aio`: the client, and announcing, in asyncio's event loop."""

import asyncio
import socket
import subprocess
import sys
import time

import pytest

from prr import Client, NoBinderAnswered, NoSuchService, Service, ServiceDidNotAnswer, ServiceFailed
from prr.aio import AsyncClient, announce
from tests.nodes import PATIENCE
from tests.test_service import in_a_thread


def shout(message: bytes) -> bytes:
    if message == b"fail":
        raise ValueError("no")
    return message.upper()


async def in_time(ask, expected, seconds=PATIENCE):
    """Ask until the answer is as expected; seconds that took."""
    began_at = time.monotonic()
    while True:
        try:
            found = await ask()
        except NoSuchService:
            found = None
        if found == expected:
            return time.monotonic() - began_at
        assert time.monotonic() < began_at + seconds, found
        await asyncio.sleep(0.005)


@pytest.mark.smoke
@in_a_thread
def test_it_finds_and_calls_and_raises_what_the_client_raises(cluster):
    binder = cluster.binder().name

    async def use(service):
        client = AsyncClient(binder)
        assert await client.lookup("shouting") == service.address
        answers = await asyncio.gather(*(client.call("shouting", b"%d a" % n) for n in range(50)))
        assert answers == [b"%d A" % n for n in range(50)]
        with pytest.raises(ServiceFailed, match="ValueError: no"):
            await client.call("shouting", b"fail")
        with pytest.raises(NoSuchService):
            await client.lookup("nothing")
        with pytest.raises(ValueError, match="is not a service"):
            await client.lookup("No")
        assert await AsyncClient(binder, zone="eu").lookup("shouting") == service.address
        (one,) = await client.instances("shouting")
        assert (one.address, one.weight, one.zone) == (service.address, 3, "eu")
        assert one.tags == {"disk": "ssd"}

    said = {"weight": 3, "zone": "eu", "tags": {"disk": "ssd"}}
    with Service("shouting", shout, binders=binder, **said) as service:
        asyncio.run(use(service), debug=True)


@pytest.mark.smoke
def test_silence_is_an_error_in_time_and_the_event_loop_goes_on():
    ticks = []

    async def tick():
        while True:
            ticks.append(1)
            await asyncio.sleep(0.01)

    async def ask(silent):
        beside = asyncio.create_task(tick())
        with pytest.raises(NoBinderAnswered, match=r"within 0\.4 s"):
            await AsyncClient(silent).lookup(7, timeout=0.4)
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(AsyncClient(silent).lookup(7), 0.1)
        beside.cancel()

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as nobody:
        nobody.bind(("127.0.0.1", 0))
        asyncio.run(ask(f"127.0.0.1:{nobody.getsockname()[1]}"))
    assert len(ticks) > 10


def test_a_service_that_is_gone_is_reported(cluster):
    binder = cluster.binder()
    server = cluster.server("gone", binder)
    server.process.kill()
    server.process.wait(5)

    async def call():
        with pytest.raises(ServiceDidNotAnswer, match="was told") as raised:
            await AsyncClient(binder.name).call("gone", b"x", timeout=2)
        assert raised.value.address == server.address
        await in_time(lambda: AsyncClient(binder.name).lookup("gone"), None)

    asyncio.run(call())


@pytest.mark.smoke
def test_announced_it_is_found_out_of_turn_while_its_check_fails_and_gone_at_the_end(cluster):
    binder = cluster.binder().name
    state = {"works": True}

    async def works():
        if state["works"] == "hangs":
            await asyncio.sleep(60)
        if state["works"] == "cancelled":
            raise asyncio.CancelledError
        return state["works"]

    async def serve():
        client = AsyncClient(binder)
        with socket.create_server(("127.0.0.1", 0)) as own:
            own_address = own.getsockname()
            made = announce(
                "web",
                port=own_address[1],
                check=works,
                binders=binder,
                interval=0.1,
                timeout=0.3,
            )
            async with made:
                await in_time(lambda: client.lookup("web"), own_address)
                took = []
                while not took or took[-1] >= 1.0:
                    assert len(took) < 5, took  # a busy machine may be late, but not each time
                    state["works"] = False
                    took.append(await in_time(lambda: client.lookup("web"), None))
                    state["works"] = True
                    await in_time(lambda: client.lookup("web"), own_address)
                state["works"] = "cancelled"
                await in_time(lambda: client.lookup("web"), None)
                state["works"] = True
                await in_time(lambda: client.lookup("web"), own_address)
                state["works"] = "hangs"
                await in_time(lambda: client.lookup("web"), None)
        await in_time(lambda: client.lookup("web"), None)

    asyncio.run(serve())


@pytest.mark.smoke
def test_whoever_stops_at_once_leaves_nothing_behind(cluster):
    binder = cluster.binder().name

    async def come_and_go():
        with socket.create_server(("127.0.0.1", 0)) as own:
            port = own.getsockname()[1]
            async with announce("brief", port=port, binders=binder):
                pass
            async with announce("brief", port=port, binders=binder, zone="eu"):
                await in_time(lambda: AsyncClient(binder).lookup("brief"), own.getsockname())

                async def zones():
                    return [one.zone for one in await AsyncClient(binder).instances("brief")]

                await in_time(zones, ["eu"])  # once it has subscribed again

    asyncio.run(come_and_go())
    with pytest.raises(NoSuchService):
        Client(binder).lookup("brief")


WITHOUT_GEVENT = """
import sys
sys.modules["gevent"] = None  # importing it fails
import prr, prr.aio, asyncio
client = prr.Client(sys.argv[1])
try:
    client.lookup(7)
except prr.NoSuchService:
    pass
async def ask():
    try:
        await prr.aio.AsyncClient(sys.argv[1]).lookup(7)
    except prr.NoSuchService:
        print("done")
asyncio.run(ask())
"""


@pytest.mark.smoke
def test_clients_run_where_gevent_is_not_installed(cluster):
    command = [sys.executable, "-c", WITHOUT_GEVENT, cluster.binder().name]
    done = subprocess.run(command, capture_output=True, text=True, timeout=30, check=False)
    assert (done.stdout, done.stderr) == ("done\n", "")
