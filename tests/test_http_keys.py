"""HTTP of a binder that has keys: an operator's token is needed, and is enough from anywhere."""

import re
import signal
from pathlib import Path

import pytest

from prr import Client, NoBinderAnswered
from prr.client import watch as watching
from prr.shell.http.routes import ROUTES
from prr.trust.token import token_of
from tests.http_of import ask, binder_with_http, where
from tests.keys import APP, BILLING, ME, held, write_credential, write_keyring
from tests.nodes import run


@pytest.fixture
def keys(tmp_path):
    """The files of all kinds of keys."""
    made = {one.id: str(write_credential(tmp_path, one)) for one in (BILLING, APP, ME)}
    return made | {"cluster": str(write_keyring(tmp_path))}


def token_in(path):
    """As a person copies it out of the file."""
    return re.search(r'(?m)^token = "(\S+)"', Path(path).read_text())[1]


def as_operator(keys):
    return {"Authorization": f"Bearer {token_in(keys['me'])}"}


def serve(cluster, keys, binder):
    where_to = ("--binder", binder.name, "--key", keys["web-7"])
    server = cluster.start("server", "--type", "billing", *where_to)
    server.wait_for("confirmed")
    return server


@pytest.mark.smoke
def test_who_has_an_operator_s_token_changes_things_and_nobody_else(cluster, keys):
    binder = binder_with_http(cluster, "--key", keys["cluster"])
    server = serve(cluster, keys, binder)
    body = {"service": "billing", "address": server.name, "seconds": 60, "last": True}
    client = {"Authorization": f"Bearer {token_of(held(APP))}"}
    for sent in (None, client, {"Authorization": "Bearer x"}):
        answer = ask(binder, "/v1/drains", "POST", body, sent)
        assert (answer.status, answer.headers["WWW-Authenticate"]) == (401, "Bearer")
        assert ask(binder, "/v1/status", headers=sent).status == 401
    (row,) = ask(binder, "/v1/services/billing").json["instances"]  # reading is open
    assert row["state"] == "up"
    sent = as_operator(keys)
    assert ask(binder, "/v1/drains", "POST", body, sent).status == 200
    binder.wait_for("by operator me over HTTP")
    assert ask(binder, "/v1/status", headers=sent).json["instances"] == 1
    complaint = {"service": "billing", "address": server.name}
    assert ask(binder, "/v1/complaints", "POST", complaint, sent).status == 200
    binder.wait_for("INFO verified")
    assert ask(binder, f"/v1/drains/billing/{server.name}", "DELETE", None, sent).status == 200


@pytest.mark.smoke
def test_who_is_revoked_is_none_any_more_once_the_binder_reads_its_keyring_again(
    cluster, keys, tmp_path
):
    binder = binder_with_http(cluster, "--key", keys["cluster"])
    sent = as_operator(keys)
    assert ask(binder, "/v1/status", headers=sent).status == 200
    path = Path(keys["cluster"])
    path.write_text(path.read_text().replace("revoked = []", 'revoked = ["me"]'))
    assert '["me"]' in path.read_text()
    binder.process.send_signal(signal.SIGHUP)
    binder.wait_for("revoked: me")
    assert ask(binder, "/v1/status", headers=sent).status == 401


@pytest.mark.smoke
def test_where_lookups_need_a_key_nothing_is_read_without_a_token(cluster, keys, monkeypatch):
    binder = binder_with_http(cluster, "--key", keys["cluster"], "--require-lookup")
    server = serve(cluster, keys, binder)
    sent = as_operator(keys)
    paths = ("/v1/services", "/v1/services/billing", "/v1/lookup/billing", "/metrics")
    for path in paths:
        assert ask(binder, path).status == 401, path
        assert ask(binder, path, headers=sent).status == 200, path
    document = ask(binder, "/openapi.json").json["paths"]
    for route in ROUTES:
        path = route.path.format(service="billing", address=server.name)
        status = ask(binder, path, route.method, {} if route.body else None).status
        assert (route.path, status) == (route.path, 200 if route.says_nothing else 401)
        assert str(status) in document[route.path][route.method.lower()]["responses"], path
    assert ask(binder, "/v1/lookup/billing", headers=sent).json["address"] == server.name
    http = "{}:{}".format(*where(binder))
    changes = Client(binder.name, key=keys["me"]).watch("billing", http=http)
    assert next(changes).address == server.address
    changes.close()
    monkeypatch.setattr(watching, "GIVE_UP", 0.1)
    for key in (None, keys["app"]):
        with pytest.raises(NoBinderAnswered, match="operator's credential"):
            next(Client(binder.name, key=key).watch("billing", http=http))
    limits = {f"{watching.__name__}.GIVE_UP": 0.1}
    done = run("watch", "billing", "--http", http, limits=limits)
    assert (done.returncode, "operator's credential" in done.stderr) == (3, True)


def test_with_keys_other_hosts_are_served_without_more_ado(cluster, keys):
    arguments = ("--listen", "127.0.0.1:0", "--http", "0.0.0.0:0", "--key", keys["cluster"])
    cluster.start("binder", *arguments).wait_for("HTTP at http://0.0.0.0:")
