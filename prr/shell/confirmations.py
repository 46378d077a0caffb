"""What goes out once it is kept: the answers on which servers rely."""

from collections.abc import Callable, Sequence
from functools import lru_cache, partial

from prr.core.effects import AskAgain, Confirm, ConfirmAll, ConfirmSealed
from prr.shell.storage.store import Act, Store
from prr.shell.udp.outbox import Outbox
from prr.wire.codec import Codec
from prr.wire.frames import Frame
from prr.wire.instance import Address, Instance

ALIKE_MAX = 4
"""Frames remembered with which many are confirmed: bare, or with how soon to renew, which changes
seldom."""


class Confirmations:
    """Those of one binder."""

    def __init__(
        self,
        store: Store,
        codec: Codec,
        outbox: Outbox,
        send: Callable[[Frame, Address], None],
    ) -> None:
        """`send` is what sends a single frame."""
        self._store = store
        self._codec = codec
        self._outbox = outbox
        self._send = send
        self._sender_of = lru_cache(maxsize=ALIKE_MAX)(self._make_sender)

    def give(self, effect: Confirm | ConfirmAll | ConfirmSealed | AskAgain) -> None:
        """Confirm what is kept, now or as soon as it is; who has to say it again is told now."""
        match effect:
            case Confirm(instance, frame, target):
                self._store.confirm(instance, partial(self._send, frame, target))
            case ConfirmAll():
                self._store.confirm_all(effect.instances, self._sender_of(effect.frame))
            case ConfirmSealed(said=said):
                answer_each = partial(self._confirm_sealed, effect)
                self._store.confirm_all([one.instance for one in said], answer_each)
            case AskAgain(said=said, tickets=tickets):
                again = self._codec.again_run(said, tickets)
                self._outbox.send_each(again, [one.instance for one in said])

    def _make_sender(self, frame: Frame) -> Act:
        """What sends a frame, which has no seal, to those it is called with. It is the same for the
        same frame, so that those are told together who have waited for the disk."""
        return partial(self._outbox.send_all, self._codec.encode(frame))

    def _confirm_sealed(self, effect: ConfirmSealed, instances: Sequence[Instance]) -> None:
        part = effect.of(instances)
        confirmed = self._codec.confirmed_run(part.said, part.tickets, part.renewal)
        self._outbox.send_each(confirmed, instances)
