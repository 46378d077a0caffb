"""What is fuzzed: for each reader what it reads, what has to hold, and good input.

A target is called with any bytes. It returns whether its reader took them, so that a run can see
that it does both, take and refuse. It raises if something does not hold that has to: whatever is
read either is refused with the one exception that is meant for that, or means something that comes
out the same when it is written and read again.
"""

import socket
import tempfile
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from random import Random

from prr import text
from prr.cli.formats import check_format, fill_in
from prr.cli.settings import gather_each
from prr.cli.settings_table import SETTINGS
from prr.config import BadInput
from prr.core.directory.digests import hash_of
from prr.core.effects import Update
from prr.shell.storage import state_file
from prr.shell.storage.rows import CHECK_MAX, key_of, read_rows, row_of
from prr.shell.storage.state_meta import Damaged, Failing
from prr.shell.udp.mmsg import Burst
from prr.trust.credential import (
    CREDENTIAL_BYTES_MAX,
    Credential,
    Holder,
    decode_credential,
    encode_credential,
)
from prr.wire import drain, particulars, wide
from prr.wire.codec import DATAGRAM_BYTES_MAX, Codec
from prr.wire.errors import MalformedFrame
from prr.wire.first_questions import NONCES, first_question, is_answer, is_usual_answer
from prr.wire.frames import Alive, Frame, Lookup, Role
from prr.wire.instance import (
    Instance,
    address_of,
    describe,
    host_key,
    is_instance,
    is_usable,
    make_instance,
    service_of,
)
from prr.wire.questions import asked_by
from prr.wire.trailer_codec import decode_trailer, encode_trailer
from prr.wire.version import (
    NO_START,
    VERSION_BYTES,
    decode_removals,
    decode_version,
    decode_versions,
    encode_removals,
    encode_version,
    encode_versions,
)
from tests.cores import at, random_instance, random_version
from tests.sim.particulars import random_particulars

CORPUS = Path(__file__).parent / "corpus"
VECTORS = Path(__file__).parents[1] / "vectors" / "wire.txt"

RUNS = 1_000_000
"""Runs of a target that only computes."""

RUNS_ON_DISK = 20_000
"""Runs of one that opens a database each time, which takes milliseconds."""


@dataclass(frozen=True)
class Target:
    """One reader. `good` makes input that it takes, `runs` are those of a long test."""

    name: str
    takes: Callable[[bytes], bool]
    good: Callable[[], list[bytes]]
    runs: int = RUNS

    def corpus(self) -> list[bytes]:
        """Good input, and what was found since: a line of hex digits for each."""
        file = CORPUS / f"{self.name}.txt"
        lines = file.read_text().splitlines() if file.exists() else []
        found = [bytes.fromhex(line) for line in lines if not line.startswith("#")]
        return list(dict.fromkeys([*self.good(), *found]))


# Datagrams


def _vectors(receiver: Role) -> list[bytes]:
    """The datagrams of the table of vectors that somebody sends to `receiver`."""
    found = []
    for line in VECTORS.read_text().splitlines():
        cells = [cell.strip() for cell in line.split("|")]
        if len(cells) > 2 and cells[1] == receiver:
            parts = (part.partition("*") for part in cells[2].split())
            found.append(b"".join(bytes.fromhex(one) * int(many or 1) for one, _, many in parts))
    return found


_CODECS = {role: Codec(role) for role in Role}


def _read(data: bytes, role: Role) -> Frame | None:
    try:
        return _CODECS[role].decode(data)
    except MalformedFrame:
        return None


def _frame(role: Role, data: bytes) -> bool:
    """No frame, or one that reads the same when it is written again, in no more bytes than we send
    and not many more than it had."""
    frame = _read(data[:DATAGRAM_BYTES_MAX], role)
    if frame is None:
        return False
    written = _CODECS[role].encode(frame)
    assert len(written) <= DATAGRAM_BYTES_MAX
    assert _read(written, role) == frame
    assert str(frame)
    return True


@cache
def _burst() -> tuple[Burst, socket.socket]:
    bound, sender = (socket.socket(socket.AF_INET, socket.SOCK_DGRAM) for _ in range(2))
    for one in (bound, sender):
        one.bind(("127.0.0.1", 0))
    bound.setblocking(False)
    sender.connect(bound.getsockname())
    return Burst(bound), sender


def _split(data: bytes) -> list[bytes]:
    """Datagrams: each has its length in front."""
    found = []
    while data and len(found) < 6:
        found.append(data[1 : 1 + data[0]])
        data = data[1 + data[0] :]
    return found


def _joined(datagrams: list[bytes]) -> bytes:
    return b"".join(bytes((len(one),)) + one for one in datagrams)


def _bursts(data: bytes) -> bool:
    """The short ways through a burst read what the codec reads one by one, and end where the next
    one is something else."""
    burst, sender = _burst()
    for one in _split(data):
        sender.send(one)
    codec, taken = _CODECS[Role.BINDER], False
    while count := burst.receive():
        frames = [_read(burst.datagram(number), Role.BINDER) for number in range(count)]
        for number in range(count):
            types = codec.types_asked(burst, number)
            assert [Lookup(type_) for type_ in types] == frames[number : number + len(types)]
            asked = codec.questions_asked(burst, number)
            lookups = frames[number : number + len(asked)]
            assert all(isinstance(one, Lookup) and one.trailer for one in lookups)
            assert asked == [asked_by(one) for one in lookups if isinstance(one, Lookup)]
            taken |= bool(types or asked) or _subscriptions(codec, burst, frames, number)
    return taken


def _subscriptions(codec: Codec, burst: Burst, frames: list[Frame | None], number: int) -> bool:
    run = codec.subscription_run(burst, number)
    rows = zip(run.instances, run.starts, run.renewals, strict=True)
    for place, (instance, start, renewal) in enumerate(rows, number):
        frame = frames[place]
        assert frame is not None
        said = frame.trailer
        type_ = said.types[0] if isinstance(frame, Alive) else frame.type
        assert instance == make_instance(type_, burst.source(place))
        assert start == (NO_START if said is None else said.start)
        assert renewal == (getattr(said, "renewal", None) or 0)
        assert run.is_bare == (said is None)
    return bool(run)


def _good_bursts() -> list[bytes]:
    vectors = [one for one in _vectors(Role.BINDER) if len(one) < 256]
    alike = [b"\2\7", b"\5\7", b"\5\7\xc1\x81\x0a\xce\0\0\1\0"]
    return [_joined([one] * 3) for one in (*alike, *vectors)] + [
        _joined(vectors[n : n + 6]) for n in range(0, len(vectors), 6)
    ]


def _first_answer(data: bytes) -> bool:
    """What is taken for the usual answer without being read says so when it is read."""
    nonce, instance = NONCES[len(data)], at(7, "10.0.0.1", 1)
    data = data.replace(b"NN", nonce.to_bytes(2, "big"))
    frame = _read(data, Role.BINDER)
    says_so = frame is not None and is_answer(frame, nonce, instance)
    assert _CODECS[Role.BINDER].is_first_answer(data, nonce, instance) == says_so
    assert says_so or not is_usual_answer(data, nonce, instance)
    assert len(first_question(nonce)) == 7
    return says_so


def _good_first_answers() -> list[bytes]:
    usual = b"\x0c\xc1\x83\1\xcdNN\x09\xc4\1\7\x0a\xce\0\0\0\2"
    return [usual, b"\x0c\xc1\x83\1\xcdNN\x09\xc4\2\6\7\x0a\xce\0\0\0\2"]


# What stands in trailers


def _trailer(data: bytes) -> bool:
    """No trailer, or values that read the same when they are written again."""
    if not data:
        return False  # what is empty is no trailer, and never read as one
    try:
        said = decode_trailer(data)
    except MalformedFrame:
        return False
    assert decode_trailer(encode_trailer(said)) == said
    return True


def _good_trailers() -> list[bytes]:
    vectors = [one for role in Role for one in _vectors(role)]
    return [one[one.index(b"\xc1") :] for one in vectors if b"\xc1" in one]


def _versions(data: bytes) -> bool:
    """Versions, or removals, come out as the bytes that they were."""
    versions = data[: len(data) - len(data) % VERSION_BYTES]
    assert encode_versions(decode_versions(versions)) == versions
    removals = data[: len(data) - len(data) % (7 + VERSION_BYTES)]
    assert encode_removals(decode_removals(removals)) == removals
    return bool(versions)


def _good_versions() -> list[bytes]:
    rng = Random(1)
    return [b"", *(encode_versions([random_version(rng) for _ in range(n)]) for n in range(1, 4))]


def _wide(data: bytes) -> bool:
    """Rows that fill the bytes: those that are known come out as they were."""
    if not wide.fills_rows(data):
        return False
    rows = wide.decode_wide(data)
    written = wide.encode_wide(rows)
    assert wide.fills_rows(written) and wide.decode_wide(written) == rows
    assert all(is_instance(row.instance) for row in rows)
    assert sum(wide.row_bytes(row.instance, row.particulars) for row in rows) <= len(data)
    return bool(rows)


def _good_wide() -> list[bytes]:
    rng = Random(2)
    return [
        wide.encode_wide(
            [
                wide.WideUpdate(
                    random_instance(rng),
                    random_version(rng),
                    rng.choice(list(wide.Said)),
                    particulars.encode_particulars(random_particulars(rng)),
                )
                for _ in range(count)
            ]
        )
        for count in (0, 1, 2, 3)
    ]


def _particulars(data: bytes) -> bool:
    """Particulars mean the same when they are written again; and what an operator says stands in
    them beside what the server says, and comes out again."""
    if not particulars.is_particulars(data):
        return False
    said = particulars.decode_particulars(data)
    assert particulars.decode_particulars(particulars.encode_particulars(said)) == said
    word = drain.drain_in(data)
    if word:
        assert drain.encode_drain(drain.decode_drain(word)) == word
    own = drain.own_particulars(data)
    assert drain.drain_in(own) == b""
    both = drain.with_drain(own, word)
    assert particulars.is_particulars(both) and drain.drain_in(both) == word
    particulars.credential_of(data)
    return True


def _good_particulars() -> list[bytes]:
    rng = Random(3)
    said = [particulars.encode_particulars(random_particulars(rng)) for _ in range(8)]
    word = drain.encode_drain(drain.decode_drain(b"").followed_by(60, "why"))
    return [b"", *said, *(drain.with_drain(one, word) for one in said[:2])]


def _instance(data: bytes) -> bool:
    """An instance is made again of its service and its address, which can be shown."""
    if not is_instance(data):
        return False
    one = Instance(data)
    service, address = service_of(one), address_of(one)
    assert is_usable(address[0]) and describe(one) and host_key(one)
    if len(one) == 7 or isinstance(service, str) or ":" in address[0]:
        assert make_instance(service, address) == one
    return True


def _good_instances() -> list[bytes]:
    rng = Random(4)
    return [random_instance(rng) for _ in range(20)]


def _credential(data: bytes) -> bool:
    """No credential, or one whose one form these bytes are."""
    found = decode_credential(data)
    if found is None:
        return False
    assert encode_credential(found) == data and len(data) <= CREDENTIAL_BYTES_MAX
    assert str(found) and found.may_be_at("10.0.0.1") in (True, False)
    return True


def _good_credentials() -> list[bytes]:
    hosts = (text_network("10.0.0.0/8"), text_network("2001:db8::/32"))
    return [
        encode_credential(one)
        for one in (
            Credential(Holder.CLIENT, "app"),
            Credential(Holder.OPERATOR, "me"),
            Credential(Holder.SERVER, "web-7", "billing", hosts),
            Credential(Holder.SERVER, "web-7", 7),
        )
    ]


def text_network(written: str):
    """A network, as people write it."""
    from ipaddress import ip_network

    return ip_network(written)


# Files


def _state_row(data: bytes) -> bool:
    """A row of a state file is damaged, or comes out as it was. The first byte says whether its
    check is made to fit, which no random one does."""
    if len(data) < 2:
        return False
    mode, size, rest = data[0], data[1], data[2:]
    instance, value = rest[:size], rest[size:]
    present, check = mode & 3, int.from_bytes(value[:5], "big")
    key = key_of(Instance(instance)) if mode & 4 and is_instance(instance) else instance
    if mode & 8 and len(value) >= VERSION_BYTES and is_instance(instance):
        check = hash_of(Instance(instance), value) & CHECK_MAX
        check = check if present else check ^ CHECK_MAX
    row = (key, value, present, check)
    there, gone, damaged = read_rows([row])
    assert len(there) + len(gone) + damaged == 1
    for entry in (*there, *gone):
        version = decode_version(entry[1][:VERSION_BYTES])
        update = Update(version, bool(there), entry[1][VERSION_BYTES:])
        assert row_of(entry[0], update) == row
    return not damaged


def _good_state_rows() -> list[bytes]:
    rng, rows = Random(5), []
    for number in range(8):
        instance, version = random_instance(rng), encode_version(random_version(rng))
        said = particulars.encode_particulars(random_particulars(rng)) if number % 2 else b""
        rows.append(bytes((12 | number % 2, len(instance))) + instance + version + said)
    return rows


@cache
def _scratch() -> Path:
    scratch = tempfile.TemporaryDirectory()
    _KEPT.append(scratch)  # until the process ends
    return Path(scratch.name)


_KEPT: list[tempfile.TemporaryDirectory[str]] = []


def _state_file(data: bytes) -> bool:
    """A state file is damaged, or holds as many rows as it says. The data are the changes to a good
    one: the place of each in two bytes, and the byte that stands there then."""
    path = _scratch() / "state"
    content = bytearray(_good_state_file())
    for number in range(0, len(data) - 2, 3):
        place = int.from_bytes(data[number : number + 2], "big")
        content[place % len(content)] = data[number + 2]
    path.write_bytes(content)
    Path(f"{path}-wal").unlink(missing_ok=True)
    try:
        with closing(state_file.StateFile(path)) as opened:
            count = 0
            while rows := opened.read():
                count += len(rows)
                read_rows(rows)
            assert count == opened.meta.entries
    except (Damaged, Failing):
        return False
    return True


@cache
def _good_state_file() -> bytes:
    path, rng = _scratch() / "good", Random(6)
    state_file.create(path, 1, 0, True, b"")
    with closing(state_file.StateFile(path)) as opened:
        updates = {random_instance(rng): Update(random_version(rng), True) for _ in range(40)}
        opened.commit(updates, 1, True)
    return path.read_bytes()


def _settings_file(data: bytes) -> bool:
    """A file of settings is refused, or has values for each of its role's settings. The first byte
    chooses the role."""
    roles = list(SETTINGS)
    role = roles[data[0] % len(roles)] if data else roles[0]
    path = _scratch() / "prr.toml"
    path.write_bytes(data[1:])
    try:
        tables = gather_each(role, SETTINGS[role], {"config": str(path)})
    except BadInput as error:
        assert str(error)
        return False
    keys = {setting.key for setting in SETTINGS[role]}
    assert all(set(table) <= keys for table in tables)
    return True


def _good_settings_files() -> list[bytes]:
    example = (Path(__file__).parents[2] / "conf" / "prr.toml").read_bytes()
    lines = [line for line in example.splitlines() if b"=" in line or line.startswith(b"[")]
    bare = b"\n".join(line.lstrip(b"# ") for line in lines)
    small = [b'[binder]\nlisten = "127.0.0.1:2222"\npeers = ["10.0.0.2:2222"]\n', b""]
    return [bytes((role,)) + one for role in range(len(SETTINGS)) for one in (*small, bare)]


# What people type

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


TARGETS = {
    target.name: target
    for target in (
        *(
            Target(f"frames-for-a-{role}", partial(_frame, role), partial(_vectors, role))
            for role in Role
        ),
        Target("bursts", _bursts, _good_bursts),
        Target("first-answers", _first_answer, _good_first_answers),
        Target("trailers", _trailer, _good_trailers),
        Target("versions", _versions, _good_versions),
        Target("wide-rows", _wide, _good_wide),
        Target("particulars", _particulars, _good_particulars),
        Target("instances", _instance, _good_instances),
        Target("credentials", _credential, _good_credentials),
        Target("state-rows", _state_row, _good_state_rows),
        Target("state-file", _state_file, lambda: [b"", b"\0\0\0"], RUNS_ON_DISK),
        Target("settings-file", _settings_file, _good_settings_files),
        Target("typed", _typed, _good_typed),
        Target("formats", _format, _good_formats),
    )
}
