"""HTTP: what is answered, who may change something, what is refused."""

import json
import re
import subprocess
import sys
import time
from random import Random
from types import SimpleNamespace

import jsonschema
import pytest
from openapi_spec_validator import validate
from werkzeug.test import Client as Asking
from werkzeug.wrappers import Request, Response

from prr.config import Limits
from prr.core.binder import Binder
from prr.core.effects import Report
from prr.core.pacing import LEASE
from prr.shell.admin.authorizer import HostOnly
from prr.shell.admin.interface import Interface
from prr.shell.admin.turns import Turns
from prr.shell.http.application import Application
from prr.shell.http.asked import Reader, Who
from prr.shell.http.changing import Changing
from prr.shell.http.pages import FRESH
from prr.shell.http.problems import Problem
from prr.shell.http.routes import ROUTES
from prr.shell.http.served import Served
from prr.wire.frames import Subscribe
from tests.http_of import ask, binder_with_http, where
from tests.nodes import PATIENCE, ROOT, UNASKED, eventually, run, wire

MANY = 25


@pytest.fixture
def binder(cluster):
    return binder_with_http(cluster)


def listed(binder):
    done = run("list", "--binder", binder.name, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def subscribe(peers, binder, type_, count=1):
    """Servers that a test plays itself; they never answer a question."""
    made = [peers() for _ in range(count)]
    for peer in made:
        assert peer.ask(bytes([5, type_]), binder.address) == b"\x06"
    return made


def checked(document, answer, path, method="get"):
    """The JSON of an answer, which is what the document says."""
    operation = document["paths"][path][method]
    said = operation["responses"][str(answer.status)]["content"]
    media_type = answer.headers["Content-Type"].partition(";")[0]
    schema = said[media_type]["schema"]
    if media_type.endswith("json"):
        whole = {"$ref": schema["$ref"], "components": document["components"]}
        jsonschema.Draft202012Validator(whole).validate(answer.json)
        return answer.json
    return answer.body


def takes(document, path, body):
    """The document says that this may be sent along."""
    schema = document["paths"][path]["post"]["requestBody"]["content"]["application/json"]["schema"]
    whole = {"$ref": schema["$ref"], "components": document["components"]}
    return jsonschema.Draft202012Validator(whole).is_valid(body)


@pytest.mark.smoke
def test_every_route_is_in_the_document_and_answers_as_it_says(cluster, binder):
    server = cluster.server(2, binder)
    document = ask(binder, "/openapi.json").json
    validate(document)
    sending = {
        "complain": {"service": "2", "address": server.name, "why": "slow"},
        "drain": {"service": "2", "address": server.name, "seconds": 30, "last": True},
    }
    seen = set()
    for route in ROUTES:
        if route.view == "watch":
            continue  # it never ends
        for service, address in (("2", server.name), ("9", "127.0.0.1:9"), ("?", "nowhere")):
            path = route.path.format(service=service.replace("?", "%3F"), address=address)
            body = dict(sending[route.view]) if route.body else None
            if body and service != "2":
                body |= {"service": service, "address": address}
            assert not body or takes(document, route.path, body)
            answer = ask(binder, path, route.method, body)
            checked(document, answer, route.path, route.method.lower())
            seen.add((route.view, answer.status))
            assert answer.headers["X-Content-Type-Options"] == "nosniff"
            assert answer.headers["Cache-Control"] == "no-store"
    assert {view for view, status in seen if status == 200} == {
        route.view for route in ROUTES if route.view != "watch"
    }
    for view in ("instances", "lookup", "history", "complain", "drain", "undrain"):
        assert {(view, 200), (view, 404), (view, 400)} <= seen, view


def shows_the_same_as_status(binder):
    status = json.loads(run("status", "--binder", binder.name, "--output", "json").stdout)
    told, binders = ask(binder, "/v1/status").json, ask(binder, "/v1/binders").json
    assert told.keys() | {"binders"} == status.keys()
    changing = {"uptime_s", "counters", "binders", "verifications", "types", "loop_lag"}
    are_same = [told[key] == status[key] for key in told.keys() - changing]
    return all([*are_same, *(binders[key] == status[key] for key in binders)])


def tells_the_same_as_why(binder, address):
    told = run("why", "2", address, "--binder", binder.name, "--output", "json").stdout
    history = ask(binder, f"/v1/history/2/{address}").json
    return len(history["events"]) >= 2 and history["events"] == json.loads(told)["events"]


@pytest.mark.smoke
def test_lists_agree_with_what_the_commands_show(cluster, binder):
    servers = [cluster.server(2, binder) for _ in range(2)]
    flags = ("--zone", "eu", "--tag", "disk=ssd", "--weight", "3", "--binder", binder.name)
    cluster.start("server", "--type", "billing", *flags).wait_for("confirmed")
    body = {"service": "2", "address": servers[0].name, "seconds": 60, "why": "upgrade"}
    assert ask(binder, "/v1/drains", "POST", body).status == 200
    services = ask(binder, "/v1/services").json["services"]
    told = {row["service"]: (row["up"], row["drained"], row["suspect"]) for row in services}
    assert told == {"time": (1, 1, 0), "billing": (1, 0, 0)}
    rows = [
        row
        for service in services
        for row in ask(binder, f"/v1/services/{service['service']}").json["instances"]
    ]
    by_command = {row["address"]: row for row in listed(binder)}
    assert len(rows) == len(by_command) == 3
    for row in rows:
        other = by_command[row["address"]]
        until, other_until = row.pop("drained_until"), other.pop("drained_until")
        assert until == other_until or abs(until - other_until) <= 1
        assert {key: row[key] for key in other.keys() - {"not_at"}} == {
            key: value for key, value in other.items() if key != "not_at"
        }
    eventually(lambda: shows_the_same_as_status(binder))  # the first renewals change the digest
    # The first question to a new instance may come between the two.
    eventually(lambda: tells_the_same_as_why(binder, servers[0].name))
    assert ask(binder, f"/v1/history/2/{servers[0].name}").json["drain_why"] == "upgrade"


@pytest.mark.smoke
def test_a_lookup_takes_a_turn_and_a_zone_has_its_own(cluster, binder):
    servers = {cluster.server(2, binder).name for _ in range(2)}
    found = [ask(binder, "/v1/lookup/2").json["address"] for _ in range(4)]
    assert set(found[:2]) == set(found[2:]) == servers
    flags = ("--zone", "eu", "--binder", binder.name)
    eu = cluster.start("server", "--type", "2", *flags)
    eu.wait_for("confirmed")
    eventually(lambda: any(row["zone"] for row in listed(binder)))
    before = ask(binder, "/v1/status").json["counters"]["lookups answered"]
    assert {ask(binder, "/v1/lookup/time?zone=eu").json["address"] for _ in range(3)} == {eu.name}
    assert ask(binder, "/v1/status").json["counters"]["lookups answered"] == before + 3


@pytest.mark.smoke
def test_each_instance_is_shown_with_when_this_binder_has_heard_it_last(cluster, peers):
    binder, other = cluster.binders(2, "--http", "127.0.0.1:0")
    (server,) = subscribe(peers, binder, 2)
    eventually(lambda: ask(other, "/v1/services/2").status == 200)
    (elsewhere,) = ask(other, "/v1/services/2").json["instances"]
    assert (elsewhere["heard_s_ago"], elsewhere["is_owner"]) == (None, False)
    time.sleep(FRESH)
    (row,) = ask(binder, "/v1/services/2").json["instances"]
    assert FRESH < row["heard_s_ago"] < PATIENCE
    assert abs(row["heard_s_ago"] + row["lease_s"] - LEASE) < 0.01
    time.sleep(FRESH)
    assert server.ask(bytes([5, 2]), binder.address) == b"\x06"
    (again,) = ask(binder, "/v1/services/2").json["instances"]
    assert again["heard_s_ago"] < row["heard_s_ago"]
    assert abs(again["heard_s_ago"] + again["lease_s"] - LEASE) < 0.01


@pytest.mark.smoke
def test_long_lists_come_in_pages_and_each_instance_once(binder, peers):
    servers = {peer.name for peer in subscribe(peers, binder, 7, MANY)}
    subscribe(peers, binder, 8)
    seen, cursor, sizes = [], "", []
    while cursor is not None:
        page = ask(binder, f"/v1/services/7?limit=10{cursor and '&cursor=' + cursor}").json
        seen += [row["address"] for row in page["instances"]]
        sizes.append(len(page["instances"]))
        cursor = page["next"]
    assert sizes == [10, 10, 5]
    assert sorted(seen) == sorted(servers)
    first = ask(binder, "/v1/services?limit=1").json
    second = ask(binder, f"/v1/services?limit=1&cursor={first['next']}").json
    assert [row["type"] for row in first["services"] + second["services"]] == [7, 8]
    assert second["next"] is None
    for limit in ("0", "1001", "-1", "many", "%D9%A1", "000011001", "00001" + "0" * 5000):
        answer = ask(binder, f"/v1/services/7?limit={limit}")
        assert answer.status == 400
        assert "1 to 1000" in answer.json["detail"]


@pytest.mark.smoke
def test_a_complaint_has_the_instance_asked(cluster):
    binder = binder_with_http(cluster, limits=UNASKED)
    server = cluster.server(2, binder)
    server.kill()
    body = {"service": 2, "address": server.name}
    assert "type str" in ask(binder, "/v1/complaints", "POST", body).json["detail"]
    assert not takes(ask(binder, "/openapi.json").json, "/v1/complaints", body)
    body |= {"service": "time", "why": "no route"}
    assert ask(binder, "/v1/complaints", "POST", body).json == {"held": True}
    binder.wait_for(f"evicted type 2 .*{server.name}")
    events = ask(binder, f"/v1/history/2/{server.name}").json["events"]
    assert [event["event"] for event in events][:2] == ["subscribed", "complaint"]
    assert "no route" in events[1]["why"]
    assert ask(binder, "/v1/complaints", "POST", body).status == 404


def test_a_complaint_that_is_dropped_is_not_said_to_be_taken():
    limits = Limits(complaints_per_host=1, complaints_per_second=0.0)
    core = Binder(frozenset(), (), 1, Random(1), limits=limits, is_watched=True)
    core.start(0.0)
    core.handle(Subscribe(7), ("10.0.0.1", 1), 0.0)

    def operate(what, source, hear):
        return [one for one in core.operators.do(what, source, 0.0) if isinstance(one, Report)]

    node = SimpleNamespace(core=core, operate=operate)
    interface = Interface(node, None, HostOnly(), Turns())
    asking = SimpleNamespace(complain=lambda who, *said: interface.complain(*who, *said))
    changing = Changing(asking, Reader({}), None)
    alice = Who(None, "127.0.0.1")
    asked = Request.from_values(
        method="POST",
        json={"service": "7", "address": "10.0.0.1:1"},
    )
    assert changing.complain(asked, alice).json == {"held": True}
    with pytest.raises(Problem) as told:
        changing.complain(asked, alice)
    assert (told.value.status, told.value.headers) == (429, {"Retry-After": "1"})
    assert "dropped" in told.value.detail


@pytest.mark.smoke
def test_a_drain_goes_the_way_of_the_command_and_the_last_one_wants_saying(
    cluster, binder, tmp_path
):
    kept = binder_with_http(cluster, "--state", str(tmp_path / "state"))
    for one in (binder, kept):
        server = cluster.server(2, one)
        body = {"service": "2", "address": server.name, "seconds": 60, "why": "upgrade"}
        answer = ask(one, "/v1/drains", "POST", body)
        assert answer.status == 409
        assert "last: true" in answer.json["detail"]
        assert ask(one, "/v1/drains", "POST", body | {"last": True}).status == 200
        one.wait_for("drained type 2 .*upgrade")
        (row,) = ask(one, "/v1/services/2").json["instances"]
        assert (row["state"], row["drained_why"]) == ("drained", "upgrade")
        assert ask(one, f"/v1/drains/2/{server.name}", "DELETE").status == 200
        (row,) = ask(one, "/v1/services/2").json["instances"]
        assert (row["state"], row["drained_until"]) == ("up", None)
    for wrong in (
        {"seconds": 0},
        {"seconds": 86401},
        {"why": "a\nb"},
        {"why": "x" * 101},
        {"why": "\ud800"},
    ):
        assert ask(one, "/v1/drains", "POST", body | wrong).status == 400, wrong


@pytest.mark.parametrize(
    ("headers", "body", "status", "said"),
    [
        ({"Content-Type": "text/plain"}, b'{"service": "2"}', 415, "application/json"),
        ({"Content-Type": "application/x-www-form-urlencoded"}, b"service=2", 415, "JSON"),
        ({}, b"{", 400, "not valid JSON"),
        ({}, b"[" * 5000, 400, "not valid JSON"),
        ({}, b"[]", 400, "not an object"),
        ({}, {"service": "2"}, 400, "lacks address"),
        ({}, {"service": "2", "address": "1", "colour": "red"}, 400, "no key 'colour'"),
        ({}, {"service": "2", "address": "localhost:1"}, 400, "use the IP address"),
        ({}, {"service": "No", "address": "10.0.0.1:1"}, 400, "is not a service"),
        ({}, b"x" * 20000, 413, "16384 at most"),
        ({"Origin": "http://evil.example"}, {"service": "2", "address": "10.0.0.1:1"}, 403, "evil"),
        ({"Host": "evil.example"}, {"service": "2", "address": "10.0.0.1:1"}, 421, "evil.example"),
        ({"Host": "evil.example:80@127.0.0.1"}, {}, 421, "known"),
        ({"Host": "["}, {}, 421, "known"),
        ({"Host": "[::1"}, {}, 421, "known"),
        ({"Origin": "http://["}, {"service": "2", "address": "10.0.0.1:1"}, 403, "[ may"),
        ({"Origin": "null"}, {"service": "2", "address": "10.0.0.1:1"}, 403, "null"),
        ({"X-Forwarded-For": "10.0.0.1"}, {"service": "2", "address": "10.0.0.1:1"}, 403, "host"),
    ],
    ids=lambda value: str(value)[:20],
)
def test_what_is_not_asked_properly_changes_nothing_and_is_told_why(
    headers, body, status, said, binder
):
    answer = ask(binder, "/v1/complaints", "POST", body, headers)
    assert answer.status == status
    assert answer.headers["Content-Type"] == "application/problem+json"
    assert answer.json["status"] == status
    assert said in answer.json["detail"]


def test_reading_needs_no_credential_but_by_another_s_name_nothing_is_read(binder):
    assert ask(binder, "/v1/services", headers={"Host": "evil.example"}).status == 421
    for host in ("127.0.0.1:1", "[::1]:1", "localhost", "LOCALHOST:80", "127.0.0.1"):
        assert ask(binder, "/v1/services", headers={"Host": host}).status == 200, host
    proxied = {"Forwarded": "for=10.0.0.1"}
    assert ask(binder, "/v1/services", headers=proxied).status == 200
    for path in ("/v1/status", "/v1/binders", "/v1/history/2/10.0.0.1:1"):
        assert ask(binder, path, headers=proxied).status == 403, path


def test_another_method_is_told_which_to_use(binder):
    answer = ask(binder, "/v1/services", "PUT")
    assert answer.status == 405
    assert "GET" in answer.headers["Allow"]
    assert ask(binder, "/v1/services/2/more").status == 404
    assert ask(binder, "/v1/services", "HEAD").status == 200


@pytest.mark.smoke
def test_others_are_served_only_if_that_is_said(cluster):
    done = run("binder", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0")
    assert done.returncode == 2
    assert "--http-open" in done.stderr
    assert "127.0.0.1:0" in done.stderr
    assert run("binder", "--http", "0.0.0.0:0", "--check").returncode == 2
    opened = cluster.start(
        *("binder", "--listen", "127.0.0.1:0", "--http", "0.0.0.0:0", "--http-open")
    )
    opened.wait_for("HTTP at http://0.0.0.0:")


@pytest.mark.smoke
def test_a_port_that_is_taken_is_told(cluster, binder):
    done = run("binder", "--listen", "127.0.0.1:0", "--http", "{}:{}".format(*where(binder)))
    assert done.returncode == 2
    assert done.stderr.startswith("prr: --http: cannot listen on")


PROBE = """
import sys
from prr.cli.main import main
def lacking(name, *rest, **more):
    if name.partition(".")[0] in {lacking}:
        raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)
    return real(name, *rest, **more)
import builtins, importlib.util
real, builtins.__import__ = builtins.__import__, lacking
found = importlib.util.find_spec
importlib.util.find_spec = lambda name: None if name in {lacking} else found(name)
import gevent
if {ends}:
    gevent.spawn_later(0.5, lambda: __import__("os").kill(__import__("os").getpid(), 15))
code = main({arguments})
parts = ("werkzeug", "prometheus", "prr.shell.http", "prr.shell.admin", "gevent.pywsgi")
loaded = [name for name in sys.modules if name.startswith(parts)]
print(code, loaded)
"""


def probe(lacking, ends, *arguments):
    program = PROBE.format(lacking=lacking, ends=ends, arguments=list(arguments))
    return subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, timeout=PATIENCE
    )


@pytest.mark.smoke
def test_a_binder_without_it_loads_none_of_it():
    done = probe(set(), True, "binder", "--listen", "127.0.0.1:0")
    assert done.stdout == "0 []\n", done.stderr


@pytest.mark.smoke
def test_nor_does_one_with_it_load_what_serves_it():
    done = probe(set(), True, "binder", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    assert done.stdout.startswith("0 ['prr.shell.admin"), done.stderr
    for name in ("werkzeug", "prometheus", "prr.shell.http", "pywsgi"):
        assert name not in done.stdout


@pytest.mark.smoke
def test_what_is_not_installed_is_told_with_how_to_install_it():
    done = probe({"werkzeug"}, False, "binder", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0")
    assert done.stdout.startswith("2 ")
    assert re.search("cannot load the package werkzeug.*pip install", done.stderr)


@pytest.mark.smoke
def test_before_it_knows_its_peers_it_says_so(cluster, peers):
    silent = peers()
    node = cluster.start(
        *("binder", "--listen", "127.0.0.1:0", "--http", "127.0.0.1:0", "--peer", silent.name)
    )
    assert ask(node, "/healthz").status == 200
    statuses = {path: ask(node, path).status for path in ("/readyz", "/v1/lookup/2", "/v1/watch")}
    if ask(node, "/readyz").status == 503:  # still: it is a second
        assert set(statuses.values()) == {503}, statuses
    node.wait_for("synced")
    eventually(lambda: ask(node, "/readyz").status == 200)
    assert ask(node, "/v1/lookup/2").status == 404


def suspects(rows):
    return {row["address"] for row in rows if row["state"] == "suspect"}


@pytest.mark.smoke
def test_a_suspect_is_shown_as_the_list_shows_it(binder, peers):
    def both_show_it():
        """A silent one is a suspect for a second: too short for both on a busy machine, perhaps."""
        (silent,) = subscribe(peers, binder, 2)
        peers().send(b"\x04" + wire(2, silent.address), binder.address)
        shown = suspects(ask(binder, "/v1/services/2").json.get("instances", ()))
        return silent.name in shown & suspects(listed(binder))

    eventually(both_show_it)


class Keys:
    """Stands for operators' keys."""

    needs_token = True

    def operator(self, who):
        return "alice" if who.token == "T0ken" else None


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        ({}, 401),
        ({"Authorization": "Bearer T0ken"}, 200),
        ({"Authorization": "bearer  T0ken"}, 200),
        ({"Authorization": "Basic T0ken"}, 401),
        ({"Authorization": "Bearer other"}, 401),
        ({"Authorization": "Bearer"}, 401),
        ({"Authorization": "Bearer T0ken", "Origin": "http://evil.example"}, 403),
        ({"Authorization": "Bearer T0ken", "Via": "1.1 proxy"}, 200),
    ],
    ids=str,
)
def test_where_there_are_keys_an_operator_is_known_by_a_token_wherever_the_request_comes_from(
    sent, status
):
    called = []

    def view(request, *operator, **arguments):
        called.append(operator)
        return Response("{}", content_type="application/json")

    views = {route.view: view for route in ROUTES}
    application = Application(views, Keys(), frozenset(), Served())
    asking = Asking(application)
    where = {"REMOTE_ADDR": "10.0.0.9"}
    answer = asking.post("/v1/drains", headers=sent, json={}, environ_base=where)
    assert answer.status_code == status
    by = "" if "Via" in sent else "10.0.0.9"
    assert called == ([(Who("T0ken", by),)] if status == 200 else [])
    if status == 401:
        assert answer.headers["WWW-Authenticate"] == "Bearer"
        assert "Authorization: Bearer TOKEN" in answer.json["detail"]
    reading = asking.get("/v1/status", headers=sent, environ_base=where).status_code
    assert reading == (200 if status == 403 else status)
    assert asking.get("/v1/services", environ_base=where).status_code == 200


@pytest.mark.parametrize(
    ("source", "status"),
    [
        *(("127.0.0.1", 200), ("::1", 200), ("::ffff:127.0.0.1", 200), ("", 403)),
        *(("10.0.0.9", 403), ("::ffff:10.0.0.9", 403), ("2001:db8::1", 403)),
    ],
)
def test_whoever_is_on_this_host_is_known_on_a_port_of_both_families_too(source, status):
    views = {route.view: lambda request: Response("{}") for route in ROUTES}
    operators = SimpleNamespace(needs_token=False, operator=lambda who: HostOnly().operator(*who))
    application = Application(views, operators, frozenset(), Served())
    answer = Asking(application).get("/v1/status", environ_base={"REMOTE_ADDR": source})
    assert answer.status_code == status


@pytest.mark.smoke
def test_the_history_says_which_host_an_operator_was_at(cluster, binder):
    server = cluster.server(2, binder)
    body = {"service": "2", "address": server.name, "seconds": 60, "why": "upgrade", "last": True}
    assert ask(binder, "/v1/drains", "POST", body, source="127.0.0.2").status == 200
    assert ask(binder, f"/v1/drains/2/{server.name}", "DELETE", source="127.0.0.3").status == 200
    events = ask(binder, f"/v1/history/2/{server.name}").json["events"]
    told = [(one["event"], one["why"]) for one in events if "drained" in one["event"]]
    by_one, by_other = "for 1 min, by 127.0.0.2: upgrade", "by 127.0.0.3"
    assert told == [("drained", by_one), ("no longer drained", by_other)]


def test_a_bug_in_a_view_is_told_as_one_and_ends_nothing(caplog):
    def view(request, *operator, **arguments):
        raise ZeroDivisionError

    application = Application(
        {route.view: view for route in ROUTES}, Keys(), frozenset(), Served(), Turns()
    )
    answer = Asking(application).get("/v1/services")
    assert answer.status_code == 500
    assert answer.content_type == "application/problem+json"
    assert "ZeroDivisionError" in caplog.text
