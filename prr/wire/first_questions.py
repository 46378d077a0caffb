"""The first question to numbered newcomers that are asked at once, and its answer, as bytes.

The question is a VERIFIE_N_EXISTE_PAS with a nonce of two bytes: no longer than what a stranger may
get. What a server of ours with one type answers is known but for its start number; any other answer
is left to the codec.
"""

from prr.wire.frames import Alive, Frame
from prr.wire.instance import Instance
from prr.wire.messages import Presence
from prr.wire.version import LEFT

NONCES = range(1 << 8, 1 << 16)
"""Those that take two bytes. Nobody can try many of them: see `shell.group_prober`."""

ANSWER_CODE = b"\x0c"
_QUESTION = b"\x0b\xc1\x81\x01\xcd"
_ANSWER = ANSWER_CODE + b"\xc1\x83\x01\xcd%b\x09\xc4\x01%c\x0a\xce"
_START_BYTES = 4
_NO_STARTS = LEFT.to_bytes(_START_BYTES, "big")
"""No server draws this number, or a smaller one."""


def first_question(nonce: int) -> bytes:
    """The question with one of NONCES."""
    return _QUESTION + nonce.to_bytes(2, "big")


def is_usual_answer(data: bytes, nonce: int, instance: Instance, start: int) -> bool:
    """It is the answer to that question of a server that has the type of `instance` alone, and
    this start number; LEFT: any."""
    front, said = _ANSWER % (nonce.to_bytes(2, "big"), instance[0]), data[-_START_BYTES:]
    is_right = said > _NO_STARTS if start == LEFT else said == start.to_bytes(_START_BYTES, "big")
    return data[:-_START_BYTES] == front and is_right


def is_answer(frame: Frame, nonce: int, instance: Instance, start: int) -> bool:
    """It is any answer to that question, of a server with this start number; LEFT: any. A bare one
    is none: whoever is asked from the same socket could send it in another's name."""
    said = frame.trailer
    return (
        isinstance(frame, Alive)
        and isinstance(said, Presence)
        and said.nonce == nonce
        and instance[0] in said.types
        and start in (LEFT, said.start)
    )
