"""What a stranger may cost: each source has a credit, which what it does uses up.

New instances use it until they answer, or until time gives it back. Sources share a fixed number
of accounts, chosen by a keyed hash: memory is constant, nobody's account can be emptied or reset
by filling a table with forged sources, and nobody can tell with whom an account is shared.
"""

from array import array
from hashlib import blake2s

ACCOUNTS = 4096
"""Accounts, 64 kB: one source that is blocked takes one other in 4,096 with it."""

CREDIT = 1536.0
"""New instances of one source that may wait for their first answer: a host that starts a thousand
services within a second, and some. Each may bring its address five datagrams."""

REPAYMENT = 10.0
"""Credit that a source gets back each second although nothing answered: what an address that never
says a word gets in the long run is five times as many datagrams a second, all binders together
ask it."""

CONFIRMATION = 0.2
"""What one more confirmation to an address that has not answered costs: one datagram of five."""


class Quotas:
    """The credit of each source. Its size is constant."""

    def __init__(self, key: bytes) -> None:
        """`key`, up to 32 bytes, is secret."""
        self._key = key
        self._debts = array("d", bytes(8 * ACCOUNTS))
        self._paid_at = array("d", bytes(8 * ACCOUNTS))

    def take(self, ip: bytes, amount: float, now: float) -> bool:
        """Use up some of a source's credit; False, and nothing is used, if it has not as much."""
        account = self._account(ip)
        debt = self._debt(account, now)
        if debt + amount > CREDIT:
            return False
        self._debts[account] = debt + amount
        return True

    def give_back(self, ip: bytes, amount: float, now: float) -> None:
        """What was used has been of use."""
        account = self._account(ip)
        self._debts[account] = max(0.0, self._debt(account, now) - amount)

    def _debt(self, account: int, now: float) -> float:
        """What an account owes at `now`, which it is brought up to."""
        paid = REPAYMENT * max(0.0, now - self._paid_at[account])
        self._paid_at[account] = now
        self._debts[account] = debt = max(0.0, self._debts[account] - paid)
        return debt

    def _account(self, ip: bytes) -> int:
        digest = blake2s(ip, digest_size=4, key=self._key).digest()
        return int.from_bytes(digest, "little") % ACCOUNTS
