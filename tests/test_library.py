"""What `prr.Client` takes, and how it says that it does not take something."""

import pytest

from prr import Client


def test_a_single_binder_may_stand_alone():
    one, listed = Client("127.0.0.1:1"), Client(["127.0.0.1:1"])
    assert one._binders.endpoints == listed._binders.endpoints
    assert Client()._binders.endpoints == Client("127.0.0.1:2222")._binders.endpoints


@pytest.mark.parametrize("binders", ["", "127.0.0.1", [], ["127.0.0.1"], [""]])
def test_what_is_no_binder_is_a_value_error(binders):
    with pytest.raises(ValueError, match=r"HOST:PORT"):
        Client(binders)


@pytest.mark.parametrize("message", ["hello", 5, None, ["a"]])
def test_a_message_is_bytes(message):
    with pytest.raises(TypeError, match="message must be bytes"):
        Client("127.0.0.1:1").call(2, message)


@pytest.mark.smoke
def test_a_complaint_says_why_and_the_accused_is_asked_itself(cluster):
    binder = cluster.binder()
    server = cluster.server("billing", binder)
    client = Client(binder.name)
    client.complain("billing", server.address, "it said 500\nand hung up")
    binder.wait_for("could not reach it: it said 500 and hung up")
    assert client.lookup("billing") == server.address
    binder.wait_for("verified billing")
    client.complain("billing", ("127.0.0.1", 1))  # of which nobody knows
    with pytest.raises(ValueError, match="is not a service"):
        client.complain("No", server.address)
