"""The one exception that remote nonsense raises."""


class MalformedFrame(Exception):
    """A datagram that is no frame of the protocol. Count it, drop it, answer nothing."""


class VainSeal(MalformedFrame):
    """A datagram under a seal that proves nothing, and is read only where that is believed."""


class OutOfPlace(MalformedFrame):
    """A frame of the protocol, sent to a role that never receives it."""
