"""The settings of `--store`: what is of no use is told with what to use instead, at `--check` too;
and a unit is ready although its etcd is away."""

import re
import signal

import pytest

from prr.cli.main import main
from tests.etcd import Tls
from tests.nodes import NODE, PATIENCE, Node, run
from tests.test_http import probe
from tests.test_systemd import Listener

STORE = "etcd://127.0.0.1:2379"


@pytest.fixture
def fails(capsys, monkeypatch):
    """The one line that a binder with some flags prints, one that only checks them first."""
    monkeypatch.setattr("prr.cli.roles.log_to_stderr", lambda: None)

    def check(*flags):
        said = []
        for more in (["--check"], []):
            assert main(["binder", "--listen", "127.0.0.1:0", *map(str, flags), *more]) == 2
            said.append(capsys.readouterr().err)
        assert said[0] == said[1]
        assert said[0].startswith("prr: ") and said[0].count("\n") == 1
        return said[0]

    return check


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "use etcd://HOST:PORT"),
        ("etcd://", "use etcd://HOST:PORT"),
        ("etcd:127.0.0.1:2379", "use etcd://HOST:PORT"),
        ("redis://127.0.0.1:2379", "use etcd://HOST:PORT"),
        ("etcd://127.0.0.1", "HOST:PORT"),
        ("etcd://127.0.0.1:0", "port"),
        ("etcd://127.0.0.1:70000", "port"),
        ("etcd://0.0.0.0:2379", "use the host's address"),
        ("etcd://a:1,,b:2", "HOST:PORT"),
        ("etcd://" + ",".join(f"h{number}:2379" for number in range(17)), "use 16 at most"),
    ],
)
def test_what_is_no_store_is_told(fails, text, says):
    said = fails("--store", text)
    assert "--store" in said and says in said


@pytest.mark.parametrize("text", ["", "prr", "/a b/", "/ä/", "/" + "x" * 200 + "/"])
def test_what_is_no_prefix_is_told(fails, text):
    assert "such as /prr/" in fails("--store", STORE, "--store-prefix", text)


@pytest.mark.smoke
def test_settings_that_do_not_go_together_are_told(fails, tmp_path):
    tls, password = Tls(tmp_path / "tls"), tmp_path / "password"
    password.write_text("secret\n")
    user = ("--store-user", "u")
    assert "use --store-user with --store-password" in fails("--store", STORE, *user)
    assert "use --store-user with" in fails("--store", STORE, "--store-password", password)
    missing = tmp_path / "missing"
    said = fails("--store", STORE, *user, "--store-password", missing)
    assert f"--store-password {missing} cannot be read: No such file" in said
    ca, cert = ("--store-ca", tls.ca), ("--store-cert", tls.client_cert)
    key = ("--store-key", tls.client_key)
    assert "--store-cert FILE with --store-key FILE" in fails("--store", STORE, *ca, *cert)
    assert "--store-cert FILE with --store-key FILE" in fails("--store", STORE, *ca, *key)
    assert "add --store-ca" in fails("--store", STORE, *cert, *key)
    assert "--store-ca" in fails("--store", STORE, "--store-ca", tmp_path)  # a directory
    assert "not valid" in fails("--store", STORE, "--store-ca", password)
    assert "not valid" in fails("--store", STORE, "--store-ca", tls.client_key)
    wrong_key = ("--store-key", tls.key)
    assert "not valid" in fails("--store", STORE, *ca, *cert, *wrong_key)
    done = run("binder", "--store", STORE, *map(str, (*ca, *cert, *key)), "--check")
    assert (done.returncode, done.stderr) == (0, "")


def test_what_is_of_use_only_with_a_store_is_told_without_one(fails, tmp_path):
    password = tmp_path / "password"
    password.write_text("secret\n")
    flags = ("--store-user", "u", "--store-password", password)
    assert "add --store etcd://HOST:PORT" in fails(*flags)
    assert "add --store etcd://HOST:PORT" in fails("--store-prefix", "/other/")


@pytest.mark.smoke
@pytest.mark.parametrize(("missing", "named"), [("h2", "h2"), ("google", "protobuf")])
def test_a_package_that_is_missing_is_told_with_how_to_install_it(missing, named):
    done = probe({missing}, False, "binder", "--listen", "127.0.0.1:0", "--store", STORE)
    assert done.stdout.startswith("2 ")
    assert re.search(f"cannot load the package {named} .*pip install", done.stderr)


@pytest.mark.smoke
def test_a_binder_on_loopback_whose_etcd_is_elsewhere_is_told():
    done = run("binder", "--listen", "127.0.0.1:0", "--store", "etcd://192.0.2.1:2379")
    assert done.returncode == 2
    assert "use --listen with an address of this host" in done.stderr


@pytest.mark.smoke
def test_a_unit_is_ready_although_its_etcd_is_away(tmp_path, monkeypatch):
    """Else systemd would start it again and again for that."""
    listener = Listener(tmp_path / "notify")
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    flags = ("--listen", "127.0.0.1:0", "--store", "etcd://127.0.0.1:1", "--state", str(tmp_path))
    node = Node("binder", *flags, program=NODE)
    try:
        said = listener.next("READY=1")
        assert "STATUS=DEGRADED: etcd away for" in said
        assert "not ready: it waits for etcd" in said
        node.process.send_signal(signal.SIGTERM)
        assert node.process.wait(PATIENCE) == 0
    finally:
        node.close()
        listener.socket.close()
