"""What a binder tells a person: status and why, from real processes."""

import json

from tests.nodes import eventually, run, wire


def status(binder):
    done = run("status", "--binder", binder.name, "--output", "json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_status_tells_of_types_and_peers_and_whether_they_agree(cluster):
    first, second = cluster.binders(2)
    cluster.server(2, first)
    cluster.server(2, second)
    eventually(lambda: [row["up"] for row in status(first)["types"]] == [2])
    # The first renewals bring the servers' start numbers: until then the digests still change.
    eventually(lambda: status(first)["digest"] == status(second)["digest"])
    eventually(lambda: status(first)["peers"][0]["agrees"])
    told = status(first)
    assert told["instances"] == 2
    assert told["synced"]
    assert told["types"] == [{"type": 2, "up": 2, "suspect": 0, "being_verified": 0}]
    (peer,) = told["peers"]
    assert (peer["address"], peer["kind"]) == (second.name, "ours")
    assert peer["identity"] == status(second)["identity"]
    assert 0 < peer["round_trip_ms"] < 1000
    assert told["counters"]["subscribed"] == 1
    text = run("status", "--binder", first.name).stdout
    assert "TYPE  NAME  UP  SUSPECT  BEING VERIFIED" in text
    assert f"{second.name}  ours" in text


def test_status_counts_who_is_being_verified(cluster, peers):
    binder, silent, client = cluster.binder(), peers(), peers()
    assert silent.ask(b"\x05\x02", binder.address) == b"\x06"
    client.send(b"\x04" + wire(2, silent.address), binder.address)
    assert silent.receive() == b"\x0b"
    (row,) = status(binder)["types"]
    assert row == {"type": 2, "up": 0, "suspect": 1, "being_verified": 1}


def test_a_status_of_more_than_one_datagram_comes_whole(cluster, peers):
    binder = cluster.binder()
    for type_ in range(256):  # each at an address of its own: one new type there doubts the others
        assert peers().ask(bytes([5, type_]), binder.address) == b"\x06"
    assert [row["type"] for row in status(binder)["types"]] == list(range(256))


def test_why_tells_what_happened_to_one_instance_each_with_its_reason(cluster, peers):
    binder, client = cluster.binder(), peers()
    server = cluster.server(2, binder)
    server.kill()
    client.send(b"\x04" + wire(2, server.address), binder.address)
    binder.wait_for("evicted")
    done = run("why", "2", server.name, "--binder", binder.name)
    assert done.returncode == 0
    assert f"type 2 at {server.name} is not held" in done.stdout
    answer = json.loads(
        run("why", "2", server.name, "--binder", binder.name, "--output", "json").stdout
    )
    events = [event["event"] for event in answer["events"]]
    assert events == ["subscribed", "complaint", "asked", "asked", "evicted"]
    assert client.name in answer["events"][1]["why"]
    assert "refused 2 questions" in answer["events"][-1]["why"]
    assert not answer["held"]


def test_why_says_no_about_an_unknown_instance_and_3_when_nobody_answers(cluster, peers):
    binder, silent = cluster.binder(), peers()
    assert run("why", "2", "127.0.0.1:9", "--binder", binder.name).returncode == 1
    for arguments in (["why", "2", "127.0.0.1:9"], ["status"]):
        done = run(*arguments, "--binder", silent.name)
        assert done.returncode == 3
        assert "is a binder running there?" in done.stderr
