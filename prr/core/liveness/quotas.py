"""What a stranger may cost: each source has a credit, which what it does uses up.

New instances use it until they answer, and complaints; time gives it back. Sources share a fixed
number of accounts, chosen by a keyed hash: memory is constant, nobody's account can be emptied or
reset by filling a table with forged sources, and nobody can tell with whom an account is shared.
"""

from array import array
from collections.abc import Iterable
from hashlib import blake2s

ACCOUNTS = 4096
"""Accounts, 64 kB: one source that is blocked takes one other in 4,096 with it."""


class Quotas:
    """The credit of each source. Its size is constant."""

    def __init__(
        self, key: bytes, credit: float, repayment: float, accounts: int = ACCOUNTS
    ) -> None:
        """`key`, up to 32 bytes, is secret. Each account has this `credit`, and gets `repayment`
        of it back a second; there are so many `accounts`, with 1 that of all sources together."""
        self._keyed = blake2s(digest_size=4, key=key)  # to set one up takes as long as to hash
        self._credit = credit
        self._repayment = repayment
        self._debts = array("d", bytes(8 * accounts))
        self._paid_at = array("d", bytes(8 * accounts))

    def take(self, host: bytes, amount: float, now: float) -> bool:
        """Use up some of a source's credit; False, and nothing is used, if it has not as much."""
        return self.take_all((self.account(host),), amount, now)[0]

    def give_back(self, host: bytes, amount: float, now: float) -> None:
        """What was used has been of use."""
        self.give_back_all((self.account(host),), amount, now)

    def take_all(self, accounts: Iterable[int], amount: float, now: float) -> list[bool]:
        """Use up some of the credit of each of these accounts, one of which may stand there more
        than once: for each whether it had as much."""
        most, debts = self._credit - amount, self._debts
        taken = list[bool]()
        for account in accounts:
            has_credit = (debt := self._debt(account, now)) <= most
            debts[account] = debt + amount if has_credit else debt
            taken.append(has_credit)
        return taken

    def give_back_all(self, accounts: Iterable[int], amount: float, now: float) -> None:
        """What was used of each has been of use."""
        for account in accounts:
            self._debts[account] = max(0.0, self._debt(account, now) - amount)

    def account(self, host: bytes) -> int:
        """That of a source: for who needs it again, since to find it takes as long as all else."""
        if len(self._debts) == 1:
            return 0
        hashed = self._keyed.copy()
        hashed.update(host)
        return int.from_bytes(hashed.digest(), "little") % len(self._debts)

    def _debt(self, account: int, now: float) -> float:
        """What an account owes at `now`. Whoever asks puts that down."""
        debt, since = self._debts[account], now - self._paid_at[account]
        self._paid_at[account] = now
        if debt and since > 0.0:
            debt -= self._repayment * since
        return debt if debt > 0.0 else 0.0
