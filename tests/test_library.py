"""What `prr.Client` takes, and how it says that it does not take something."""

import pytest

from prr import Client


def test_a_single_binder_may_stand_alone():
    assert Client("127.0.0.1:1")._binders == Client(["127.0.0.1:1"])._binders
    assert Client()._binders == Client("127.0.0.1:2222")._binders


@pytest.mark.parametrize("binders", ["", "127.0.0.1", [], ["127.0.0.1"], [""]])
def test_what_is_no_binder_is_a_value_error(binders):
    with pytest.raises(ValueError, match=r"HOST:PORT"):
        Client(binders)


@pytest.mark.parametrize("message", ["hello", 5, None, ["a"]])
def test_a_message_is_bytes(message):
    with pytest.raises(TypeError, match="message must be bytes"):
        Client("127.0.0.1:1").call(2, message)
