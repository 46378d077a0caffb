"""What an answer may be longer than its question, network by network."""

import pytest

from prr.shell.dns.budgets import BURST, BYTES_PER_SECOND, NETWORKS, Budgets

pytestmark = pytest.mark.elsewhere

VICTIM = ("192.0.2.1", 53)


def sent(budgets, source, seconds, answer=1200, per_second=10_000):
    """Bytes that go to a network within so many seconds, if so many questions come in its name."""
    gone = 0
    for number in range(int(seconds * per_second)):
        now = 100 + number / per_second
        budget = budgets.of(source)
        if not budgets.is_spent(budget, now):
            budgets.spend(budget, answer, now)
            gone += answer
    return gone


@pytest.mark.parametrize("seconds", [1, 5])
def test_a_network_gets_its_budget_and_no_more(seconds):
    most = (seconds + BURST) * BYTES_PER_SECOND
    assert most - 5000 <= sent(Budgets(), VICTIM, seconds) <= most + 1200


def test_a_spent_budget_is_there_again_in_time():
    budgets = Budgets()
    budget = budgets.of(VICTIM)
    budgets.spend(budget, 3 * BYTES_PER_SECOND, 100.0)
    assert budgets.is_spent(budget, 101.9)
    assert not budgets.is_spent(budget, 102.1)


@pytest.mark.parametrize(
    ("one", "other", "is_same"),
    [
        ("192.0.2.1", "192.0.2.254", True),
        ("192.0.2.1", "192.0.3.1", False),
        ("2001:db8::1", "2001:db8:0:ff::1", True),
        ("2001:db8::1", "2001:db8:0:100::1", False),
    ],
)
def test_one_network_has_one_budget_whichever_address_asks(one, other, is_same):
    budgets = Budgets()
    assert (budgets.of((one, 1)) == budgets.of((other, 2))) is is_same


def test_who_is_on_this_host_has_none():
    assert Budgets().of(("127.0.0.1", 1)) is Budgets().of(("::1", 1)) is None


def test_whoever_makes_up_networks_gets_no_memory():
    budgets = Budgets()
    found = {budgets.of((f"10.{number >> 8}.{number & 255}.1", 1)) for number in range(1 << 16)}
    assert found <= {*range(NETWORKS)} and len(found) > NETWORKS / 2
