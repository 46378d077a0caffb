"""The simulator with keys: somebody hears all that is said and says what he likes, in some runs
with a stolen credential. What he may not bring about is in `tests/sim/proofs.py`.

And with a protection switched off, the simulator has to find that out.
"""

from dataclasses import replace
from random import Random

import pytest

from prr.core import answers, control, effects, gate, sealed_runs, subscriptions, trust
from prr.core.client import Client
from prr.core.control import Programs
from prr.core.directory.table_walks import state_of
from prr.core.gate import Gate
from prr.core.replication.peers import Peers
from prr.core.replication.sessions import Belief, Sessions, Window
from prr.core.seals import Seals
from prr.core.tickets import Tickets
from prr.core.trust import Trust
from prr.trust.keyring import Key, Keyring, derive, secret_id
from prr.wire import sealed_questions, sealed_subscriptions, sealing
from prr.wire.instance import Address, address_of
from prr.wire.proofs import Proof
from tests.samples import sample
from tests.sim import checkers, world
from tests.sim.attacker import LAIR
from tests.sim.cluster import Cluster
from tests.sim.faults import attacked_options, calmed, options_for
from tests.sim.keys import PRUNED
from tests.sim.processes import BinderProcess
from tests.sim.run import Result, come_to_rest, run_options
from tests.sim.trace import Trace
from tests.sim.workload import Workload

pytestmark = pytest.mark.elsewhere

Datagram = tuple[Address, Address, bytes]
"""Whence, where to, and what."""

SEEDS = (1,)
MORE_SEEDS = (0, *range(2, 110))
STOLEN = ("", "client", "server")


def run_attacked(seed: tuple[int, str, bool]) -> Result:
    """One seed with an attacker, who has stolen so much; nothing else is amiss if `is_calm`."""
    number, stolen, is_calm = seed
    options = attacked_options(options_for(number), stolen)
    return run_options(calmed(options) if is_calm else options)


KNOWN = ((78, "", True), (61, "server", True))
"""Cases that once showed a mistake: one forged refusal was enough where binders disagreed; and the
checker took what a reader skips of an altered lookup for room for the answer."""


def run_seed(seed: int) -> Result:
    """What a seed stands for: who has stolen what, and what else is amiss."""
    return run_attacked((seed, STOLEN[seed % 3], seed % 2 == 0))


def judged(results: list[Result]) -> str:
    """What failed."""
    return "\n".join(f"seed {one.seed}: {one.reason}" for one in results if one.reason)


@pytest.mark.ahead(run_seed, SEEDS)
def test_an_attacker_changes_nothing_that_he_may_not(ahead):
    assert not judged(ahead)


@pytest.mark.ahead(run_attacked, KNOWN[:1])
def test_a_known_case(ahead):
    assert not judged(ahead)


@pytest.mark.smoke
@pytest.mark.ahead(run_attacked, KNOWN[1:])
def test_other_known_cases(ahead):
    assert not judged(ahead)


@pytest.mark.parametrize(("stolen", "is_noticed"), [("", True), ("server", False)])
def test_who_has_stolen_a_credential_may_keep_its_service_out_of_turn(
    stolen, is_noticed, monkeypatch
):
    monkeypatch.setattr(checkers, "OUT_MAX", 0.0)
    options = calmed(attacked_options(options_for(1), stolen))
    options = replace(options, types=(7,), false_complaints=4.0, seconds=10.0)
    assert ("out of turn" in (run_options(options).reason or "")) is is_noticed


@pytest.mark.slow
@pytest.mark.ahead(run_seed, MORE_SEEDS)
def test_more_attackers(ahead):
    assert not judged(ahead)


# Protections switched off. Each entry: how, and what the simulator must then say.


def tags_are_not_checked(patch):
    for module in (sealing, sealed_questions, sealed_subscriptions):
        patch.setattr(module, "equal", lambda tag, other: True)


def pruned_secrets_are_believed(patch):
    known = Keyring.secret

    def remembers(self, number):
        return known(self, number) or (PRUNED if number == secret_id(PRUNED) else None)

    patch.setattr(Keyring, "secret", remembers)

    def derives(self, number, who):
        return Key(number, derive(self.secret(number), who))

    patch.setattr(Keyring, "key", derives)


def tickets_are_not_checked(patch):
    patch.setattr(Tickets, "holds", lambda *_: True)
    patch.setattr(Tickets, "use", lambda *_: True)


def of_tickets(patch, change):
    """`change` what they are issued and looked at for: from where, of what, and how that stands."""
    issue, holds = Tickets.issue, Tickets.holds

    def issue_next(self, wheres, abouts, _, words, now):
        rows = zip(wheres, abouts, map(state_of, words), strict=True)
        return [self.issue(*row, now) for row in rows]

    patch.setattr(Tickets, "issue", lambda self, *of: issue(self, *change(*of[:3]), of[-1]))
    patch.setattr(Tickets, "issue_next", issue_next)  # of which none is awaited
    patch.setattr(
        Tickets,
        "holds",
        lambda self, ticket, *of: holds(self, ticket, *change(*of[:3]), of[-1]),
    )


def tickets_are_for_any_source(patch):
    of_tickets(patch, lambda where, about, state: (b"", about, state))


def tickets_are_for_any_state(patch):
    of_tickets(patch, lambda where, about, state: (where, about, b""))


def tickets_are_not_used_up(patch):
    holds = Tickets.holds

    def forgetful(self, *of):
        self._used.clear()
        self._used_before.clear()
        return holds(self, *of)

    patch.setattr(Tickets, "holds", forgetful)


def tokens_are_not_checked(patch):
    believe = Sessions.believe

    def gullible(self, seal, peer):
        found = believe(self, seal, peer)
        return Belief.FRESH if found is Belief.UNKNOWN else found

    patch.setattr(Sessions, "believe", gullible)


def words_are_believed_again(patch):
    patch.setattr(Window, "take", lambda *_: True)


def words_are_for_whoever_hears_them(patch):
    patch.setattr(Peers, "have_named", lambda *_: False)


def nobody_has_to_prove_that_he_is_there(patch):
    patch.setattr(Trust, "demands_proof", lambda *_: False)


def whoever_answers_may_be_another(patch):
    proves = effects.proves

    def lax(question, answer, instance, start, at):
        if isinstance(answer.trailer, Proof):
            said = replace(answer.trailer, instance=instance, start=start)
            answer = replace(answer, trailer=said)
        return proves(question, answer, instance, start, at)

    patch.setattr(effects, "proves", lax)


def a_refusal_is_final(patch):
    refused = BinderProcess.refused

    def believe(self, asking, probe):
        self._stop_listening(asking)
        refused(self, asking, probe)

    patch.setattr(BinderProcess, "refused", believe)


def services_are_not_compared(patch):
    def speaks(seal, instance, source):
        return trust.is_valid(seal) and source[0] == address_of(instance)[0]

    for module in (subscriptions, answers):
        patch.setattr(module, "speaks_for", speaks)
    patch.setattr(sealed_runs, "provides", lambda holder, instance: True)


def peers_are_heard_before_the_gate(patch):
    enter = Gate.enter

    def hears(self, frame, source):
        entry = enter(self, frame, source)
        if trust.is_valid(frame.seal):
            return entry
        return replace(entry, peer=self._peers.get(source))

    patch.setattr(Gate, "enter", hears)


def clients_take_any_answer(patch):
    handle = Client.handle
    patch.setattr(
        Client,
        "handle",
        lambda self, frame, *how: handle(self, replace(frame, seal=self._seal), *how),
    )


def servers_take_any_answer(patch):
    patch.setattr(Seals, "is_answer", lambda *_: True)


def bare_subscriptions_count_under_any_seal(patch):
    patch.setattr(trust, "names_instance", lambda frame: True)


def drains_are_done_again(patch):
    def drain(self, frame, asked, source, now):
        if not trust.is_operator(frame.seal):
            return []
        return self._draining.asked(asked, source, now)

    patch.setattr(Programs, "_drain", drain)


def whoever_has_a_key_may_drain(patch):
    for module in (gate, control):
        patch.setattr(module, "is_operator", lambda seal: trust.credential_of(seal) is not None)


OFF = [
    (drains_are_done_again, "as no operator has said"),
    (whoever_has_a_key_may_drain, "as no operator has said"),
    (tags_are_not_checked, "never said to it"),
    (pruned_secrets_are_believed, "confirms to"),
    (tickets_are_not_checked, "confirms to"),
    (tickets_are_for_any_source, "confirms to"),
    (tickets_are_for_any_state, "before the last change"),
    (tickets_are_not_used_up, "confirms twice"),
    (tokens_are_not_checked, "believes what"),
    (words_are_believed_again, "believes twice"),
    (words_are_for_whoever_hears_them, "never said to it"),
    (nobody_has_to_prove_that_he_is_there, "dead for"),
    (whoever_answers_may_be_another, "dead for"),
    (a_refusal_is_final, "which lives"),
    (services_are_not_compared, "which lives"),
    (peers_are_heard_before_the_gate, "in what it does not believe"),
    (servers_take_any_answer, "what no binder said to it"),
    (clients_take_any_answer, "from who is no binder"),
    (bare_subscriptions_count_under_any_seal, "which nobody subscribed"),
]


@pytest.mark.parametrize(
    "switch_off", sample(5, [off for off, _ in OFF]), ids=lambda off: off.__name__
)
def test_a_protection_switched_off_harms_nobody_where_nobody_attacks(switch_off, monkeypatch):
    switch_off(monkeypatch)  # else it would be noticed whatever it protects from
    options = replace(calmed(attacked_options(options_for(1))), attacked=0.0, seconds=6.0)
    assert run_options(options).reason is None


FEW = 40
"""Seeds within which a missing protection has to be noticed."""


@pytest.mark.slow
@pytest.mark.parametrize(("switch_off", "complaint"), OFF, ids=[off.__name__ for off, _ in OFF])
def test_a_protection_switched_off_is_noticed(switch_off, complaint, monkeypatch):
    switch_off(monkeypatch)
    for seed in range(FEW):
        for case in ((seed, STOLEN[seed % 3], True), (seed, STOLEN[seed % 3], False)):
            reason = run_attacked(case).reason
            if reason is not None and complaint in reason:
                return
            assert "raised TypeError" not in (reason or ""), "the mutant itself has rotted"
    raise AssertionError(f"nobody noticed in {FEW} seeds")


# What a network has heard, said again.


def lived(seconds: float) -> tuple[Cluster, list[Datagram]]:
    """A cluster in which all is to be proved, and all that was said in it, while servers came and
    went; at rest since."""
    options = calmed(attacked_options(options_for(1)))
    options = replace(options, binders=3, servers=4, attacked=0.0, lab_servers=0.0)
    options = replace(options, calls=1.0, types=(7, "web"), drains=0.2, agents=0.5)
    cluster, heard = Cluster(options, Trace()), []
    cluster.network.tap = lambda *said: bool(heard.append(said))
    workload = Workload(cluster)
    workload.start()
    cluster.world.run(seconds)
    workload.end()
    cluster.heal()
    assert come_to_rest(cluster, 60.0) is None
    cluster.network.tap = None
    return cluster, heard


def tables_of(cluster: Cluster) -> str:
    """What every binder holds: with which version, and what is said of it."""
    return str([one.core.inspect().directory.updates for one in cluster.live_binders()])


def say_again(cluster: Cluster, heard: list[Datagram], rng: Random) -> set[str]:
    """All of it, in any order, each from where it came, from elsewhere, or to another: what the
    tables are meanwhile."""
    rng.shuffle(heard)
    tables = set()
    for source, target, data in heard:
        whence = rng.choice((source, source, LAIR, rng.choice(heard)[0]))
        where = rng.choice((target, target, rng.choice(heard)[1]))
        cluster.network.inject(whence, where, data, 0.0)
        cluster.world.run(cluster.world.now + 0.003)
        tables.add(tables_of(cluster))
    return tables


def are_in_turn(cluster: Cluster) -> bool:
    """Everybody is, at every binder."""
    cores = [binder.core for binder in cluster.live_binders()]
    return not any(core.directory.is_suspect(one) for core in cores for one in core.directory)


@pytest.mark.parametrize(
    "seconds", [15.0, pytest.param(3600.0, marks=pytest.mark.slow)], ids=["moment", "hour"]
)
def test_what_was_heard_changes_nothing_when_it_is_said_again(seconds, monkeypatch):
    monkeypatch.setattr(world, "STEPS_MAX", 10**9)
    cluster, heard = lived(seconds)
    assert len(heard) > 10 * seconds
    assert say_again(cluster, heard, Random(1)) == {tables_of(cluster)}
    assert come_to_rest(cluster, 5.0) is None
    assert are_in_turn(cluster)
