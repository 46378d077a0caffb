"""How much longer answers over UDP may be than their questions.

Whoever writes a false sender into a question has the answer sent to that one, and answers are up to
25 times as long. So each network has a budget of bytes beyond those of the questions; when it is
spent, answers are as short as their questions and say to ask again over TCP, whose handshake shows
that the sender is there.
"""

from prr.wire.instance import Address, encode_address, is_ipv6_address, is_loopback

BYTES_PER_SECOND = 1 << 20
"""Of each network: some 4,000 answers of three instances a second, or what a false sender can do to
somebody with one binder."""

BURST = 1.0
"""Seconds' worth that may come at once."""

NETWORKS = 1 << 12
"""Budgets there are. Networks share one where their hashes meet."""

_IPV4_BYTES, _IPV6_BYTES = 3, 7
"""Of an address, which say the network: a /24, or a /56, which is one subscriber's (RFC 6177)."""


class Budgets:
    """The budgets of one binder. `now` is in seconds, of a clock that never goes back."""

    def __init__(self) -> None:
        self._full_at = [0.0] * NETWORKS  # when each will have all of its budget again

    def of(self, source: Address) -> int | None:
        """The number of the budget of an address; None for one of loopback, which nobody can forge
        but on this host."""
        if is_loopback(source[0]):
            return None
        size = _IPV6_BYTES if is_ipv6_address(source) else _IPV4_BYTES
        return hash(encode_address(source)[:size]) % NETWORKS

    def is_spent(self, budget: int, now: float) -> bool:
        """No answer that is longer than its question may go to that network."""
        return self._full_at[budget] - now > BURST

    def spend(self, budget: int, count: int, now: float) -> None:
        """An answer goes there that is so many bytes longer."""
        self._full_at[budget] = max(self._full_at[budget], now) + count / BYTES_PER_SECOND
