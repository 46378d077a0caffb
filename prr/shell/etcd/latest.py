"""The latest state of etcd that any answer was about: one that is asked for later and is about an
older state shows that etcd was set back."""

from prr.shell.etcd.messages import Header


class Latest:
    """What one binder has seen, reading and writing."""

    def __init__(self) -> None:
        self.header: Header | None = None
        self.is_set_back = False
        """Since all was read last."""

    def see(self, header: Header, known: Header | None) -> None:
        """An answer is about this state, and `known` was the latest when it was asked for; None if
        it may be about an older one."""
        if known is not None and header.is_before(known):
            self.is_set_back = True
        elif self.header is None or not header.is_before(self.header):
            self.header = header

    def begin(self, header: Header) -> None:
        """All is read anew, as of this state."""
        self.header, self.is_set_back = header, False
