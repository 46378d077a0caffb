"""What one server says of itself, to binders that it subscribes with and to whoever asks."""

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


class Introduction:
    """Of a server of `service` that drew `start`. What it says is of the same process."""

    def __init__(
        self, service: Service, start: int, particulars: bytes, is_agent: bool = False
    ) -> None:
        """`particulars` are encoded. `is_agent`: it speaks for an instance at another port."""
        self._service = service
        self._start = start
        self._particulars = particulars or None
        self._is_agent = is_agent

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

    def answer(self, question: Verify) -> Frame | None:
        """What is answered to "are you there?"; None: nothing. Who asks for a service with a name
        and does not say it may mean who was there before; nothing longer is answered."""
        asked = question.trailer
        if isinstance(self._service, int):
            if not isinstance(asked, Challenge):
                return Alive()
            types = bytes((self._service,))
            return Alive(trailer=Presence(nonce=asked.nonce, types=types, start=self._start))
        match asked:
            case Challenge(name=name, nonce=nonce, has_room=True) if name == self._service.encode():
                return Alive(trailer=NamedPresence(nonce=nonce, name=name, start=self._start))
        return None
