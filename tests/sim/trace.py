"""What happened, a line each in fixed columns, and how a frame reads in one."""

from collections import deque
from collections.abc import Callable
from hashlib import sha256

from prr.wire.frames import Frame
from prr.wire.instance import Instance, describe, describe_address, is_instance

WIDTH_MAX = 160  # of what happened; a list of a hundred instances is cut there


class Trace:
    """Lines of virtual time, who and what. Switched off it costs the test of a flag."""

    def __init__(
        self, on: bool = False, echo: Callable[[str], object] | None = None, keep: int = 40
    ) -> None:
        """`echo` gets each line; the last `keep` are in `last`."""
        self.on = on
        self.last: deque[str] = deque(maxlen=keep)
        self._echo = echo
        self._hash = sha256()

    def line(self, moment: float, who: str, what: str) -> None:
        """One line more."""
        text = f"{moment:11.6f}  {who:<10}  {what[:WIDTH_MAX]}"
        self.last.append(text)
        self._hash.update(text.encode())
        if self._echo is not None:
            self._echo(text)

    @property
    def digest(self) -> str:
        """The same for the same lines."""
        return self._hash.hexdigest()[:16]


def one_line(frame: Frame) -> str:
    """A frame as the trace shows it: its class, its fields, what stands in its trailer."""
    if type(frame).__str__ is not object.__str__:
        return str(frame)
    names = [name for name in type(frame).__slots__ if name != "trailer"]
    words = [type(frame).__name__, *(_words(name, getattr(frame, name)) for name in names)]
    if frame.trailer is not None:
        shown = [f"{name}={_value(value)}" for name, value in frame.trailer.values().items()]
        words.append("{" + " ".join(shown) + "}")
    return " ".join(words)


def _words(name: str, value: object) -> str:
    if name == "type":
        return f"type {value}"
    if name == "address":
        return describe_address(value)
    return _value(value)


def _value(value: object) -> str:
    if isinstance(value, bytes):
        return describe(Instance(value)) if is_instance(value) else value.hex()[:32]
    if isinstance(value, tuple | list):
        return f"{len(value)} [" + ", ".join(map(_value, value)) + "]"
    return str(value)
