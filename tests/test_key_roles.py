"""Every role, verb and part of the library with a key, against binders that require one."""

import asyncio
import signal
import socket
import time
from pathlib import Path

import pytest

from prr import Client, NoBinderAnswered, NoSuchService, Service, announce
from prr.aio import AsyncClient
from prr.aio import announce as announce_in_asyncio
from prr.demo.ports import free_port
from prr.key_files import load_held
from prr.trust.credential import Credential, Holder
from tests.keys import APP, BILLING, ME, OTHER, write_credential, write_keyring
from tests.nodes import eventually, run
from tests.test_service import in_a_thread


@pytest.fixture
def keys(tmp_path):
    """The files of all kinds of keys."""
    web = Credential(Holder.SERVER, "web-1", "web")
    made = {one.id: str(write_credential(tmp_path, one)) for one in (BILLING, APP, ME, web)}
    stranger = Credential(Holder.CLIENT, "stranger")
    made["stranger"] = str(write_credential(tmp_path, stranger, OTHER))
    return made | {"cluster": str(write_keyring(tmp_path))}


def to(*binders):
    """The flags that name them."""
    return [word for binder in binders for word in ("--binder", binder.name)]


def serve(cluster, keys, *binders):
    server = cluster.start("server", "--type", "billing", *to(*binders), "--key", keys["web-7"])
    server.wait_for("confirmed")
    return server


@pytest.mark.smoke
def test_who_has_a_key_is_served_and_who_has_none_is_not(cluster, keys):
    binders = cluster.binders(2, "--key", keys["cluster"])
    assert [one.matching("require = on") for one in binders] == [["require = on"]] * 2
    server = serve(cluster, keys, *binders)
    assert server.matching("key: credential of server web-7; service: billing; of secret ")
    for binder in binders:
        eventually(lambda one=binder: run("lookup", "billing", *to(one)).returncode == 0)
    for binder, key in zip(binders, ("app", "me"), strict=True):
        done = run("client", "--type", "billing", *to(binder), "--key", keys[key])
        assert (done.returncode, done.stdout) == (0, "hello\n")
    where = ("billing", server.name, *to(binders[1]))
    assert run("drain", *where, "--last").returncode == 3
    assert run("drain", *where, "--last", "--key", keys["me"]).returncode == 0
    assert "drained" in run("list", *to(binders[0]), "--key", keys["app"]).stdout
    assert "drained" in run("why", *where, "--key", keys["me"]).stdout
    assert run("health", *to(*binders), "--key", keys["me"]).returncode == 0


@pytest.mark.smoke
def test_a_complaint_counts_from_who_has_a_key(cluster, keys):
    binder = cluster.binder("--key", keys["cluster"])
    server = serve(cluster, keys, binder)
    failing = ("exec", "billing", "--complain-on", "1", *to(binder))
    for key, seen in (((), 0), (("--key", keys["app"]), 1)):
        assert run(*failing, *key, "--", "false", "{}").returncode == 1
        binder.wait_for("not believed Complaint" if not key else "INFO verified")
        assert len(binder.matching("INFO complaint")) == seen
    time.sleep(0.3)  # one that comes sooner is put off, and told as the one before
    Client(binder.name, key=keys["app"]).complain("billing", server.address, "slow")
    binder.wait_for("INFO verified", 2)
    assert binder.matching("slow")


@pytest.mark.smoke
def test_no_server_without_a_key_is_taken_in(cluster, keys):
    binder = cluster.binder("--key", keys["cluster"])
    done = run("server", "--type", "billing", *to(binder), timeout=20)
    assert done.returncode == 3
    binder.wait_for("not believed Alive")
    assert run("lookup", "billing", *to(binder)).returncode == 1


@pytest.mark.smoke
@in_a_thread
def test_the_library_with_keys(cluster, keys):
    binder = cluster.binder("--key", keys["cluster"], "--require-lookup")
    own = ("127.0.0.1", 4242)
    with Service("billing", bytes.upper, binders=binder.name, key=keys["web-7"]) as service:
        client = Client(binder.name, key=keys["app"])
        assert client.call("billing", b"a") == b"A"
        assert [one.address for one in client.instances("billing")] == [service.address]
        with announce("web", port=own[1], host=own[0], binders=binder.name, key=keys["web-1"]):
            eventually(lambda: looked_up(client, "web") == own)
        for key in (None, keys["stranger"]):
            with pytest.raises(NoBinderAnswered):
                Client(binder.name, key=key).lookup("billing", timeout=0.5)


def looked_up(client, service):
    """Its address; None if there is none."""
    try:
        return client.lookup(service)
    except NoSuchService:
        return None


@pytest.mark.smoke
def test_asyncio_with_keys(cluster, keys):
    binder = cluster.binder("--key", keys["cluster"], "--require-lookup")
    serve(cluster, keys, binder)
    held = load_held(keys["app"], Holder.CLIENT)

    async def use():
        client = AsyncClient(binder.name, key=held)
        assert await client.call("billing", b"a") == b"a"
        assert len(await client.instances("billing")) == 1
        where = {"port": 4243, "host": "127.0.0.1", "binders": binder.name}
        async with announce_in_asyncio("web", key=keys["web-1"], **where):
            for _ in range(100):
                try:
                    assert await client.lookup("web") == ("127.0.0.1", 4243)
                    break
                except NoSuchService:
                    await asyncio.sleep(0.05)
            else:
                raise AssertionError("not announced")
        with pytest.raises(NoBinderAnswered):
            await AsyncClient(binder.name).lookup("billing", timeout=0.5)

    asyncio.run(use())


@pytest.mark.smoke
def test_agents_with_keys(cluster, keys, tmp_path):
    binder = cluster.binder("--key", keys["cluster"])
    with socket.create_server(("127.0.0.1", 0)) as own:
        port = own.getsockname()[1]
        text = (
            "[[announce]]\ntype = '{}'\nat = '127.0.0.1:{}'\nkey = '{}'\nbinders = ['{}']\n"
        ).format
        path = tmp_path / "announce.toml"
        both = [("web", "web-1"), ("billing", "web-7")]
        rows = [text(type_, port, keys[key], binder.name) for type_, key in both]
        path.write_text("".join(rows))
        agents = cluster.start("announce", "--config", str(path))
        for type_, _ in both:
            agents.wait_for(f"confirmed {type_}")
        run("key", "rotate", keys["cluster"])
        binder.process.send_signal(signal.SIGHUP)
        binder.wait_for("is still believed")
        remade = run("key", "server", "--type", "web", "--id", "web-1", keys["cluster"]).stdout
        Path(keys["web-1"]).write_text(remade)
        path.write_text(rows[0])
        agents.process.send_signal(signal.SIGHUP)
        agents.wait_for("settings reloaded")
        binder.wait_for("deregistered billing")
        run("key", "prune", keys["cluster"])
        binder.process.send_signal(signal.SIGHUP)
        binder.wait_for("settings reloaded", 2)
        assert agents.terminate() == 0  # it is heard with its new key, and was not before
        binder.wait_for("deregistered web")
        assert len(binder.matching("deregistered web")) == 1


@pytest.mark.parametrize(
    ("make", "key", "why"),
    [
        (lambda key: Client(key=key), "web-7", "use a client's or an operator's key"),
        (lambda key: Client(key=key), "cluster", "is a keyring"),
        (lambda key: AsyncClient(key=key), "web-7", "use a client's or an operator's key"),
        (lambda key: Service("billing", key=key), "app", "use a server's key"),
        (lambda key: Service("echo", key=key), "web-7", "is for billing, not for type 1"),
        (lambda key: announce("billing", port=1, key=key), "me", "use a server's key"),
        (lambda key: announce("web", port=1, key=key), "web-7", "is for billing, not for web"),
        (lambda key: announce_in_asyncio("web", port=1, key=key), "web-7", "not for web"),
    ],
)
def test_the_library_refuses_a_key_that_does_not_fit(make, key, why, keys):
    for given in (keys[key], load_held(keys[key], *Holder) if key != "cluster" else keys[key]):
        with pytest.raises(ValueError, match=why):
            make(given)


def is_ignored(key, binder):
    """A client with this key has no answer."""
    try:
        Client(binder.name, key=key).lookup("billing", timeout=0.5)
    except NoBinderAnswered:
        return True
    return False


@pytest.mark.smoke
def test_keyrings_are_read_again_one_by_one_while_all_are_served(cluster, keys, tmp_path):
    """Rotated at one binder after the other, then the keys of all others, then pruned."""
    paths = [write_keyring(tmp_path, f"binder-{number}.key") for number in range(2)]
    ports = [free_port() for _ in range(2)]
    binders = [
        cluster.start(
            *("binder", "--listen", f"127.0.0.1:{port}", "--key", str(path), "--require-lookup"),
            *(
                word
                for other in ports
                if other != port
                for word in ("--peer", f"127.0.0.1:{other}")
            ),
        )
        for port, path in zip(ports, paths, strict=True)
    ]
    for binder in binders:
        binder.wait_for("synced")
    server = serve(cluster, keys, *binders)
    asked = ("lookup", "billing", *to(*binders), "--key")

    def reread(node, pattern):
        node.process.send_signal(signal.SIGHUP)
        node.wait_for(pattern)
        assert run(*asked, keys["app"]).stdout.strip() == server.name

    assert run("key", "rotate", str(paths[0])).returncode == 0
    reread(binders[0], "is still believed")
    paths[1].write_text(paths[0].read_text())
    reread(binders[1], "is still believed")
    for name, flags in (("app", ("client",)), ("web-7", ("server", "--type", "billing"))):
        made = run("key", *flags, "--id", name, str(paths[0]))
        Path(keys[name]).write_text(made.stdout)
    reread(server, "settings reloaded: binders, weight, zone, tags, key")
    for path, binder in zip(paths, binders, strict=True):
        assert run("key", "prune", str(path)).returncode == 0
        reread(binder, "INFO key: keyring: secret [0-9a-f]{8} signs; revoked: none")
    assert is_ignored(keys["me"], binders[0])  # his is of the old secret
    assert not any(one.matching("not believed Alive|evicted|removed") for one in binders)


@pytest.mark.smoke
def test_a_mistake_in_the_keyring_changes_nothing(cluster, keys, tmp_path):
    path = write_keyring(tmp_path, "binder.key")
    settings = tmp_path / "prr.toml"
    settings.write_text(f"[binder]\nkey = '{path}'\nlisten = '127.0.0.1:0'\n")
    binder = cluster.start("binder", "--config", str(settings))
    serve(cluster, keys, binder)
    before, table = path.read_text(), settings.read_text()
    for wrong, why in (
        (lambda: path.write_text(before.replace("secrets", "secret")), "no key file has 'secret'"),
        (lambda: path.write_text(before) and path.chmod(0o644), "others may read"),
        (lambda: path.chmod(0o600) or settings.write_text("[binder]\n"), "only with a restart"),
    ):
        wrong()
        binder.process.send_signal(signal.SIGHUP)
        binder.wait_for(f"settings not reloaded: .*{why}")
    settings.write_text(table)
    assert run("lookup", "billing", *to(binder), "--key", keys["app"]).returncode == 0


@pytest.mark.smoke
def test_a_key_that_is_revoked_is_not_believed_any_more(cluster, keys):
    binder = cluster.binder("--key", keys["cluster"], "--require-lookup")
    serve(cluster, keys, binder)
    assert Client(binder.name, key=keys["app"]).lookup("billing")
    path = Path(keys["cluster"])
    path.write_text(path.read_text().replace("revoked = []", 'revoked = ["app"]'))
    binder.process.send_signal(signal.SIGHUP)
    binder.wait_for("revoked: app")
    assert is_ignored(keys["app"], binder)
    binder.wait_for("not believed .*its credential is revoked")
