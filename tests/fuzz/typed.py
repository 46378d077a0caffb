"""What people type: addresses, numbers, names, formats."""

from collections.abc import Callable
from functools import partial

from prr import text
from prr.cli.formats import check_format, fill_in
from prr.config import BadInput
from tests.fuzz.target import Target

PARSERS: dict[Callable[[str], object], str] = {
    text.parse_host_port: "localhost:2222",
    text.parse_listen: "[::]:2222",
    text.parse_peer: "10.0.0.1:2222",
    text.parse_address: "[2001:db8::1]:4000",
    partial(text.parse_service, numbers={"echo": 7}): "billing",
    text.parse_port: "4000",
    text.parse_switch: "yes",
    text.parse_pause: "1.5",
    text.parse_word: "hello",
    text.parse_check: "http:/health",
    text.split_words: "a 'b c' d",
    text.parse_wire: "spec",
    text.parse_message: "hello",
    text.parse_count: "3",
    text.parse_lease: "15",
    text.parse_directory: "/var/lib/prr",
    text.parse_seconds: "5",
    check_format: "http://{}/",
}


def _typed(data: bytes) -> bool:
    """What is typed is refused with a reason, or means something. The first byte chooses what it is
    for."""
    if not data:
        return False
    parse = list(PARSERS)[data[0] % len(PARSERS)]
    try:
        parse(data[1:].decode(errors="surrogateescape"))
    except (ValueError, BadInput) as error:
        assert str(error)
        return False
    return True


def _good_typed() -> list[bytes]:
    return [bytes((number,)) + good.encode() for number, good in enumerate(PARSERS.values())]


def _format(data: bytes) -> bool:
    """A format is refused, or shows the address."""
    try:
        form = check_format(data.decode(errors="surrogateescape"))
    except BadInput as error:
        assert str(error)
        return False
    filled = fill_in(form, ("10.9.8.7", 4000))
    assert "10.9.8.7" in filled or "4000" in filled
    return True


def _good_formats() -> list[bytes]:
    return [b"url:http", b"{}", b"{ip}:{port}", b'{"a": "{ip}"}', b"x{port}"]


TARGETS = [
    Target("typed", _typed, _good_typed),
    Target("formats", _format, _good_formats),
]
