"""Instances whose lines the log could not take when they were due: named later, many in a line."""

from collections import Counter, deque
from collections.abc import Callable

from prr.core.effects import Event
from prr.shell.log.handler import LINE_BYTES_MAX
from prr.wire.instance import Instance, Service, address_of, describe_address, service_of

WAITING_MAX = 1 << 16
"""Instances that wait to be named, some 5 MB: forty seconds of lines. Those beyond are counted."""

NAMES_BYTES_MAX = LINE_BYTES_MAX - 128
"""Bytes of the names in one line; before them stand the time and the event, behind them an end."""


class Roll:
    """What is still to be named: in the order it happened, and by event and number what is only
    counted."""

    def __init__(self, name_of: Callable[[Service], str]) -> None:
        """`name_of` returns what a service is called: `type 2 (time)`, or `billing`."""
        self._name_of = name_of
        self._waiting: deque[tuple[Event, Instance]] = deque()
        self._counted: Counter[tuple[Event, Service | None]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._waiting or self._counted)

    def put(self, event: Event, instance: Instance) -> None:
        """It happened to one more."""
        if len(self._waiting) < WAITING_MAX:
            self._waiting.append((event, instance))
        else:
            service = service_of(instance)
            kind = service if isinstance(service, int) else None  # names may be many
            self._counted[event, kind] += 1

    def next_line(self) -> tuple[Event, str]:
        """The next line: what happened, and to whom. Only while there is something to be named."""
        if self._waiting:
            return self._named()
        (event, service), count = self._counted.popitem()
        name = "of services with names" if service is None else self._name_of(service)
        return event, f"{count:,} more, {name}: too many at once to name them"

    def _named(self) -> tuple[Event, str]:
        event = self._waiting[0][0]
        parts: list[str] = []
        count = size = 0
        service = None
        while self._waiting and self._waiting[0][0] is event:
            instance = self._waiting[0][1]
            name = describe_address(address_of(instance))
            if service_of(instance) != service:
                service = service_of(instance)
                name = f"{self._name_of(service)} at {name}"
            if parts and size + len(name) + 2 > NAMES_BYTES_MAX:
                break
            self._waiting.popleft()
            parts.append(name)
            count, size = count + 1, size + len(name) + 2
        return event, f"{count:,} more: {', '.join(parts)}"
