"""What one server says of itself, to binders that it subscribes with and to whoever asks."""

from collections.abc import Collection

from prr.core.pacing import RENEWAL
from prr.wire.frames import Alive, Frame, Subscribe, Verify
from prr.wire.instance import Instance, Service
from prr.wire.messages import (
    ANNOUNCEMENT_PADDING,
    AgentAnnouncement,
    Announcement,
    Challenge,
    NamedPresence,
    Presence,
    Search,
    Started,
)
from prr.wire.proofs import Proof
from prr.wire.seal import Seal


class Introduction:
    """Of a server of `service` that drew `start`. What it says is of the same process."""

    def __init__(
        self,
        service: Service,
        start: int,
        particulars: bytes,
        is_agent: bool = False,
        is_keyed: bool = False,
    ) -> None:
        """`particulars` are encoded. `is_agent`: it speaks for an instance at another port.
        `is_keyed`: it seals what it says, and so says which instance it speaks for."""
        self._service = service
        self._start = start
        self._particulars = particulars or None
        self._is_agent = is_agent or is_keyed
        self._is_keyed = is_keyed

    def change(self, particulars: bytes) -> None:
        """Say this from now on, encoded."""
        self._particulars = particulars or None

    @property
    def is_short(self) -> bool:
        """The first subscription says less than a renewal: nothing of particulars."""
        return self._particulars is not None and not self.needs

    @property
    def needs(self) -> str:
        """What a binder has to know to take its subscription, which an older one does not; "" if
        any will do."""
        if self._is_keyed:
            return "keys"
        if self._is_agent:
            return "agents"
        return "names" if isinstance(self._service, str) else ""

    def subscription(self, instance: Instance, seconds: int = RENEWAL) -> Frame:
        """The first one of what the binder sees as `instance`; renews within `seconds`. That of a
        number is bare: the binder may be a legacy program."""
        renewal = None if seconds == RENEWAL else seconds
        if self._is_agent:
            about = AgentAnnouncement(
                instance=instance,
                start=self._start,
                padding=bytes(ANNOUNCEMENT_PADDING),
                renewal=renewal,
                particulars=self._particulars,
            )
            return Alive(trailer=about)
        if isinstance(self._service, int):
            return Subscribe(self._service)
        said = Announcement.of_server(self._service, self._start, renewal, self._particulars)
        return Alive(trailer=said)

    def renewal(self, instance: Instance, is_ours: bool, seconds: int) -> Frame:
        """A renewal with a binder that is ours, or may be. The next one is within `seconds`."""
        start, particulars = self._start, self._particulars
        if isinstance(self._service, str) or self._is_agent:  # only for binders of ours
            return self.subscription(instance, seconds)
        if is_ours:
            renewal = None if seconds == RENEWAL else seconds
            said = Started(start=start, renewal=renewal, particulars=particulars)
            return Subscribe(self._service, trailer=said)
        # A legacy one would take each subscription for one more server. This it drops.
        types = bytes((self._service,))
        return Alive(trailer=Search(types=types, start=start, particulars=particulars))

    def answer(self, question: Verify, own: Collection[Instance] = ()) -> Frame | None:
        """What is answered to "are you there?"; None: nothing. Who asks for a service with a name
        and does not say it may mean who was there before; nothing longer is answered. A proof
        is given to who asks for one of an instance that is its `own`."""
        asked = question.trailer
        if own and isinstance(asked, Challenge) and asked.wants_proof:
            if asked.instance is None or asked.instance not in own:
                return None
            proof = Proof(instance=asked.instance, start=self._start)
            return Alive(trailer=proof, seal=Seal(asked.nonce))
        if isinstance(self._service, int):
            if not isinstance(asked, Challenge):
                return Alive()
            types = bytes((self._service,))
            return Alive(trailer=Presence(nonce=asked.nonce, types=types, start=self._start))
        match asked:
            case Challenge(name=name, nonce=nonce, has_room=True) if name == self._service.encode():
                return Alive(trailer=NamedPresence(nonce=nonce, name=name, start=self._start))
        return None
