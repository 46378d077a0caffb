"""What one server says of itself, to binders that it subscribes with and to whoever asks."""

from prr.core.pacing import RENEWAL
from prr.wire.frames import Alive, Frame, Subscribe, Verify
from prr.wire.instance import Service
from prr.wire.messages import (
    Announcement,
    Challenge,
    NamedPresence,
    Presence,
    Search,
    Started,
)


class Introduction:
    """Of a server of `service` that drew `start`. What it says is of the same process."""

    def __init__(self, service: Service, start: int, particulars: bytes) -> None:
        """`particulars` are encoded."""
        self._service = service
        self._start = start
        self._particulars = particulars or None

    def change(self, particulars: bytes) -> None:
        """Say this from now on, encoded."""
        self._particulars = particulars or None

    @property
    def is_short(self) -> bool:
        """The first subscription says less than a renewal: nothing of particulars."""
        return self._particulars is not None and isinstance(self._service, int)

    def subscription(self, seconds: int = RENEWAL) -> Frame:
        """The first one, which renews within `seconds`. That of a number is bare: the binder may be
        a legacy program."""
        if isinstance(self._service, int):
            return Subscribe(self._service)
        renewal = None if seconds == RENEWAL else seconds
        said = Announcement.of_server(self._service, self._start, renewal, self._particulars)
        return Alive(trailer=said)

    def renewal(self, is_ours: bool, seconds: int) -> Frame:
        """A renewal with a binder that is ours, or may be. The next one is within `seconds`."""
        start, particulars = self._start, self._particulars
        if isinstance(self._service, str):  # which only a binder of ours can understand
            return self.subscription(seconds)
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
