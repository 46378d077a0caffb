"""Who a binder is to etcd: certificates, a user and a password. What is wrong is said in the log
and in `status`, and when it is mended the binder goes on."""

import time

import pytest

from tests.etcd import Tls, needs_etcd
from tests.etcd_load import etcd_status, held, status
from tests.nodes import UNASKED, eventually

pytestmark = [needs_etcd, pytest.mark.smoke]


@pytest.fixture
def password(tmp_path):
    """Where a user's password stands."""
    path = tmp_path / "password"
    path.write_text("binders-secret\n")
    return path


def as_user(etcd, password, user="binders"):
    """The flags of a binder that is a user of etcd."""
    return ("--store", etcd.url, "--store-user", user, "--store-password", str(password))


def is_told(binder, why):
    """It says why in its log, and in its status."""
    binder.wait_for(f"etcd is away.*{why}")
    return why in etcd_status(binder)["why"] and why in status(binder)["degraded"][0]


def test_certificates_of_both_sides(cluster, etcd, peers, tmp_path):
    tls = Tls(tmp_path / "tls")
    made = etcd(3, tls=tls)
    flags = ("--store", made.url, "--store-ca", str(tls.ca))
    own = ("--store-cert", str(tls.client_cert), "--store-key", str(tls.client_key))
    one, other = [cluster.binder(*flags, *own) for _ in range(2)]
    other.wait_for("peer added")
    server = peers()
    assert server.ask(b"\x05\x07", one.address) == b"\x06"
    eventually(lambda: held(other) == made.up() == {f"7/{server.name}"})
    # What is wrong with the others.
    plain = cluster.binder("--store", made.url)
    without = cluster.binder(*flags)
    wrong = cluster.binder("--store", made.url, "--store-ca", str(tls.other_ca), *own)
    assert is_told(plain, "if it wants TLS, use --store-ca FILE")
    assert is_told(without, "certificate")
    assert is_told(wrong, "certificate verify failed")


def test_a_user_whom_a_certificate_names(cluster, etcd, peers, tmp_path):
    tls = Tls(tmp_path / "tls")
    made = etcd(1, tls=tls)
    own = ("--store-cert", str(tls.client_cert), "--store-key", str(tls.client_key))
    binder = cluster.binder("--store", made.url, "--store-ca", str(tls.ca), *own)
    binder.wait_for("etcd at .* answers")
    made.enable_auth({"client": "not used here"}, "/prr/")
    assert peers().ask(b"\x05\x07", binder.address) == b"\x06"


def test_a_name_that_is_not_in_the_certificate(cluster, etcd, tmp_path):
    tls = Tls(tmp_path / "tls")
    made = etcd(1, tls=tls)
    own = ("--store-cert", str(tls.client_cert), "--store-key", str(tls.client_key))
    url = f"etcd://localhost:{made.nodes[0].port}"
    binder = cluster.binder("--store", url, "--store-ca", str(tls.ca), *own)
    assert is_told(binder, "localhost")


def test_users_that_come_while_binders_run(cluster, etcd, peers, password):
    made = etcd()
    named = cluster.binder(*as_user(made, password), limits=UNASKED)
    nobody = cluster.binder("--store", made.url)
    for binder in (named, nobody):
        binder.wait_for("etcd at .* answers")
    made.enable_auth({"binders": "binders-secret"}, "/prr/")
    servers = [peers(), peers()]
    assert servers[0].ask(b"\x05\x07", named.address) == b"\x06"
    assert made.up() == {f"7/{servers[0].name}"}
    assert is_told(nobody, "wants a user; use --store-user")
    assert not named.matching("is away|is refused")


def test_a_password_that_is_wrong_and_mended(cluster, etcd, peers, password):
    made = etcd()
    made.enable_auth({"binders": "binders-secret"}, "/prr/")
    password.write_text("wrong\n")
    binder = cluster.binder(*as_user(made, password))
    assert is_told(binder, "user binders is refused")
    password.unlink()
    eventually(lambda: "password cannot be read" in etcd_status(binder)["why"])
    whole = password.with_suffix(".new")
    whole.write_text("binders-secret\n")
    whole.replace(password)  # at once: the binder reads it again and again
    binder.wait_for("etcd at .* answers")
    server = peers()
    assert server.ask(b"\x05\x07", binder.address) == b"\x06"


def test_a_token_that_has_run_out(cluster, etcd, servers, password):
    made = etcd(1, "--auth-token-ttl=2")
    made.enable_auth({"binders": "binders-secret"}, "/prr/")
    binder = cluster.binder(*as_user(made, password))
    binder.wait_for("etcd at .* answers")
    all_ = servers(binder)
    for number in range(1, 5):
        all_.add(7)
        eventually(lambda number=number: len(all_.confirmed) == number)
        time.sleep(2.5)
    made.log_in()
    assert made.up() == all_.confirmed
    assert not binder.matching("away|refused|not registered")


def test_a_user_who_may_not_write(cluster, etcd, peers, password):
    made = etcd()
    made.enable_auth({"binders": "binders-secret"}, "/prr/")
    binder = cluster.binder(*as_user(made, password), "--store-prefix", "/other/")
    assert is_told(binder, "permission denied")
    flags = (*as_user(made, password), "--store-prefix", "/prr/")
    reader = cluster.binder(*flags, limits=UNASKED)
    reader.wait_for("etcd at .* answers")
    permission = {"permType": "READ", "key": "L3Byci8=", "range_end": "L3BycjA="}
    made.call("/v3/auth/role/grant", {"name": "binders", "perm": permission})
    server = peers()
    server.send(b"\x05\x07", reader.address)
    reader.wait_for("etcd takes no updates .*permission denied")
    assert any("takes no updates" in one for one in status(reader)["degraded"])
    made.call("/v3/auth/role/grant", {"name": "binders", "perm": permission | {"permType": 2}})
    reader.wait_for("etcd takes updates again")
    eventually(lambda: made.up() == {f"7/{server.name}"})
    assert not reader.matching("etcd is away")
