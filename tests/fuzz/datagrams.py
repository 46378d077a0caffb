"""Datagrams: frames for each role, the short ways through a burst, and seals."""

import socket
from dataclasses import replace
from functools import cache, partial
from pathlib import Path

from prr.shell.udp.mmsg import Burst
from prr.trust.credential import Credential, Holder, encode_credential
from prr.trust.keyring import SECRET_BYTES, Keyring
from prr.wire.codec import DATAGRAM_BYTES_MAX, Codec
from prr.wire.errors import MalformedFrame
from prr.wire.first_questions import NONCES, first_question, is_answer, is_usual_answer
from prr.wire.frames import Alive, Frame, Lookup, Role
from prr.wire.instance import make_instance
from prr.wire.messages import Plain
from prr.wire.questions import asked_by
from prr.wire.seal import Seal
from prr.wire.version import FIRST_START, LEFT, NO_START
from tests.cores import at
from tests.fuzz.target import Target

VECTORS = Path(__file__).parents[1] / "vectors" / "wire.txt"


def vectors(receiver: Role) -> list[bytes]:
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
            sealed = _OPENERS[Role.BINDER].sealed_asked(burst, number)
            assert all(
                burst.datagram(number + n) in _sealed(Role.BINDER) for n in range(len(sealed))
            )
            assert [one.asked for one in sealed] == [
                asked_by(one) for one in frames[number : number + len(sealed)]
            ]
            taken |= bool(types or asked or sealed) or _subscriptions(codec, burst, frames, number)
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
    good = [one for one in vectors(Role.BINDER) if len(one) < 256]
    good += [one for one in sorted(_sealed(Role.BINDER)) if one[0] == 2 and len(one) < 256]
    alike = [b"\2\7", b"\5\7", b"\5\7\xc1\x81\x0a\xce\0\0\1\0"]
    mixed = [_joined(good[n : n + 6]) for n in range(0, len(good), 6)]
    return [_joined([one] * 3) for one in (*alike, *good)] + mixed


_SECRETS = tuple(bytes((number,)) * SECRET_BYTES for number in (1, 2))
_HELD = Keyring(_SECRETS[:1]).issue(encode_credential(Credential(Holder.CLIENT, "app")))
_NUMBER = 7
_SEALERS = {
    Role.BINDER: Codec(Role.CLIENT, keys=_HELD),
    Role.CLIENT: Codec(Role.BINDER, keys=Keyring(_SECRETS)),
}
_OPENERS = {Role.BINDER: _SEALERS[Role.CLIENT], Role.CLIENT: _SEALERS[Role.BINDER]}


@cache
def _sealed(receiver: Role) -> frozenset[bytes]:
    """All that was ever sealed for a binder by a client, or the other way round."""
    seal = Seal(_NUMBER)
    if receiver is Role.CLIENT:
        seal = Seal(_NUMBER, _HELD.credential, _HELD.secret_id)
    frames = [_read(one, receiver) for one in vectors(receiver)]
    written = (
        _SEALERS[receiver].encode(replace(frame, trailer=frame.trailer or Plain(), seal=seal))
        for frame in frames
        if frame is not None and "seal" not in (frame.trailer.values() if frame.trailer else {})
    )
    return frozenset(written)


def _seal(receiver: Role, data: bytes) -> bool:
    """No seal holds but one that was made: not one byte of what was sealed may be another."""
    try:
        frame = _OPENERS[receiver].decode(data)
    except MalformedFrame:
        return False
    holds = frame.seal is not None and frame.seal.fault is None
    assert not holds or data in _sealed(receiver)
    return holds


def _first_answer(data: bytes) -> bool:
    """What is taken for the usual answer without being read says so when it is read."""
    nonce, instance = NONCES[len(data)], at(7, "10.0.0.1", 1)
    data = data.replace(b"NN", nonce.to_bytes(2, "big"))
    frame = _read(data, Role.BINDER)
    for start in (FIRST_START, LEFT):  # LEFT: any will do
        says_so = frame is not None and is_answer(frame, nonce, instance, start)
        assert _CODECS[Role.BINDER].is_first_answer(data, nonce, instance, start) == says_so
        assert says_so or not is_usual_answer(data, nonce, instance, start)
    assert len(first_question(nonce)) == 7
    return says_so


def _good_first_answers() -> list[bytes]:
    usual = b"\x0c\xc1\x83\1\xcdNN\x09\xc4\1\7\x0a\xce\0\0\0\2"
    return [usual, b"\x0c\xc1\x83\1\xcdNN\x09\xc4\2\6\7\x0a\xce\0\0\0\2"]


TARGETS = [
    *(
        Target(f"frames-for-a-{role}", partial(_frame, role), partial(vectors, role))
        for role in Role
    ),
    *(
        Target(f"seals-for-a-{role}", partial(_seal, role), lambda role=role: sorted(_sealed(role)))
        for role in _SEALERS
    ),
    Target("bursts", _bursts, _good_bursts),
    Target("first-answers", _first_answer, _good_first_answers),
]
