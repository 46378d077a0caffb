"""What goes out once it is kept: the answers on which servers rely."""

from collections.abc import Callable, Sequence
from functools import partial

from prr.core.effects import AskAgain, Confirm, ConfirmAll, ConfirmSealed
from prr.shell.storage.store import Store
from prr.shell.udp.outbox import Outbox
from prr.wire.codec import Codec
from prr.wire.frames import Frame
from prr.wire.instance import Address, Instance


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

    def give(self, effect: Confirm | ConfirmAll | ConfirmSealed | AskAgain) -> None:
        """Confirm what is kept, now or as soon as it is; who has to say it again is told now."""
        match effect:
            case Confirm(instance, frame, target):
                self._store.confirm(instance, partial(self._send, frame, target))
            case ConfirmAll():
                answer_all = self._outbox.sender_to_all(self._codec.encode(effect.frame))
                self._store.confirm_all(effect.instances, answer_all)
            case ConfirmSealed(said=said):
                answer_each = partial(self._confirm_sealed, effect)
                self._store.confirm_all([one.instance for one in said], answer_each)
            case AskAgain(said=said, tickets=tickets):
                again = self._codec.again_run(said, tickets)
                self._outbox.send_each(again, [one.instance for one in said])

    def _confirm_sealed(self, effect: ConfirmSealed, instances: Sequence[Instance]) -> None:
        part = effect.of(instances)
        confirmed = self._codec.confirmed_run(part.said, part.tickets, part.renewal)
        self._outbox.send_each(confirmed, instances)
