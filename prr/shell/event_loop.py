"""How long work lets others have their turn in the middle."""

TURN = 0.0001
"""Seconds to sleep so that the event loop looks at its sockets: a timer makes it, while after a
sleep of 0 tens of callbacks may come first. Where nothing else happens it becomes a millisecond,
the shortest that libev waits."""
