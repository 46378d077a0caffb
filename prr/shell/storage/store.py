"""Where a binder's updates are kept: the contract between a binder's node and any store.

The core says what to keep (`Persist`) and what depends on it (`Confirm`); what was kept before
comes back through `learn`. A store decides neither what is true nor which of two updates is newer.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any, Protocol, TypeAlias

from prr.core.directory.digests import Entry
from prr.core.directory.directory import Directory
from prr.core.effects import Persist
from prr.core.metrics import Metric
from prr.wire.instance import Instance

Learn: TypeAlias = Callable[[list[Entry], list[Entry]], None]
"""Takes over a batch of what was kept: instances that were present, and removals."""

Act: TypeAlias = Callable[[Sequence[Instance]], None]
"""What is done once what is known of some instances is kept."""


class Store(Protocol):
    """Keeps the updates of one binder, from one process to the next.

    All methods are called by greenlets of one thread. Only `load` and `close` may block their
    greenlet, and none may block the thread for longer than a lookup may wait: 2 ms.

    What must hold, wherever the process ends, by a crash or a power cut:
    - Once `confirm` has called back, the next process learns that update about the instance, or a
      later one. Else it learns of a loss: `status` says so for a while, and it is logged.
    - Nothing is learned that was not persisted. What was persisted and never confirmed may be
      learned or not; but of one instance never an older update than one that was confirmed.
    - The next process has the same `identity`, and a `counter` beyond all that were persisted or
      used; no two processes, even if they start from copies of one store, have both in common.
    - What is damaged is left out, never guessed.
    """

    keeps: bool
    """Something is kept: the binder is to emit `Persist` and `Confirm`."""

    identity: int
    """The binder's, 64 bits. Fixed before `load`."""

    counter: int
    """No earlier than any that an earlier process with this identity has used, and of a run of its
    own. Fixed before `load`."""

    @property
    def counts(self) -> Counter[Metric]:
        """What has happened to it, how often."""

    def load(self, directory: Directory, learn: Learn) -> None:
        """Have the binder learn all that was kept, a batch at a time, from this greenlet; once.

        Returns when all is learned, or when `close` is called meanwhile. Raises nothing: what
        cannot be read is logged, and stands in `status`. `persist` and `confirm` may be called
        before it returns. Keeps `directory`, to read from it again what has to be written anew.
        """

    def persist(self, changes: Persist) -> None:
        """Keep these, soon. Never blocks, never raises. Of two changes of one instance the later
        call wins, and is not kept before the earlier one. Holds a bounded number of them; beyond
        that it forgets them, and reads all that is known from the directory."""

    def confirm(self, instance: Instance, act: Callable[[], None]) -> None:
        """Call `act` once all that was persisted about `instance` so far will survive a crash: from
        within this call if that is so already, else later and from another greenlet. Or never: if
        that fails, or too many wait. Of two that wait for one instance the later one replaces the
        other. Never blocks."""

    def confirm_all(self, instances: Sequence[Instance], act: Act) -> None:
        """The same for each of many; `act` is called with those of which it is so at one time."""

    def status(self) -> dict[str, Any] | None:
        """For `status`: changes that are not kept yet, why keeping fails, what was lost lately;
        None if nothing is kept."""

    def close(self) -> None:
        """Keep the rest, if that is done soon, and let go of what was opened; once, after which
        nothing else is called. Blocks for seconds at most."""


class NoStore:
    """Keeps nothing: each process begins with an identity of its own, and learns from its peers."""

    keeps = False
    counter = 0

    def __init__(self, identity: int) -> None:
        """`identity`: 64 random bits."""
        self.identity = identity
        self.counts: Counter[Metric] = Counter()

    def load(self, directory: Directory, learn: Learn) -> None:
        """Nothing was kept."""

    def persist(self, changes: Persist) -> None:
        """Is not asked for."""

    def confirm(self, instance: Instance, act: Callable[[], None]) -> None:
        """Nothing to wait for."""
        act()

    def confirm_all(self, instances: Sequence[Instance], act: Act) -> None:
        """Nothing to wait for."""
        act(instances)

    def status(self) -> None:
        """Nothing is kept."""

    def close(self) -> None:
        """Nothing is open."""
