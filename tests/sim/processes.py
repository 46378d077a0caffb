"""The shells of the simulator: what a process does for its core, with virtual sockets and time.

They stand where prr.shell.node, prr.shell.prober and prr.client.exchange stand in reality, and do
as these do: effects in order, a question to an instance from a fresh connected socket, one alarm.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from itertools import takewhile
from typing import TYPE_CHECKING, Any

from prr.core.binder import Binder
from prr.core.client import Client
from prr.core.directory.digests import Entry
from prr.core.effects import (
    Answer,
    AskAgain,
    Confirm,
    ConfirmAll,
    ConfirmSealed,
    DrainRow,
    Effect,
    Event,
    KeepDrains,
    Outcome,
    Persist,
    Probe,
    ProbeAll,
    Report,
    ReportAll,
    Send,
    Stop,
    stray,
)
from prr.core.server import Server
from prr.trust.keyring import Held
from prr.wire.found import AnswerRun
from prr.wire.frames import Frame, Removed, Request, Role, Subscribe, Verify
from prr.wire.instance import (
    Address,
    Instance,
    Service,
    address_of,
    describe,
    encode_address,
    is_ipv6_address,
    make_instance,
)
from prr.wire.messages import Challenge
from tests.cores import one_by_one, rows_in
from tests.sim import adapter
from tests.sim.adapter import frames_of
from tests.sim.checkers import Ledger, Question, is_announcement
from tests.sim.disk import COMMIT_TAKES, Disk
from tests.sim.follower import Follower
from tests.sim.network import Host, Socket, read
from tests.sim.process import TIMER_LATE, Process
from tests.sim.proofs import Word, check_answer
from tests.sim.sharing import Sharing
from tests.sim.trace import one_line
from tests.sim.world import Clock, Violation

if TYPE_CHECKING:
    from tests.sim.cluster import Cluster

PREEMPTED = (0.05, 1.5)
"""Seconds for which a binder is stopped at the worst moments: when a question is decided but not
sent, and when its answer is under way."""


AGENTS_PORTS = 1000
"""How far an agent's port is from the one of its program."""


class BinderProcess(Process):
    """A binder. Whatever it does goes through its ledger, which knows the rules."""

    role = Role.BINDER
    core: Binder

    def __init__(
        self,
        cluster: Cluster,
        host: Host,
        clock: Clock,
        core: Binder,
        address: Address,
        disk: Disk | None,
        shares: bool,
    ) -> None:
        super().__init__(cluster, host, clock)
        self.core = core
        self.address = address
        self.disk = disk
        self.codec = adapter.codec(cluster.options.lab2016, cluster.keys.ring)
        self.ledger = Ledger(self)
        self.follower = Follower()
        self.sharing = Sharing(self) if shares else None
        self.asked_with_others: Counter[bool] = Counter()  # whether in verifications
        self._drains: list[DrainRow] = []
        self._said: dict[Address, bytes] = {}  # of a run, whose is not answered yet
        self._socket = _BurstSocket(cluster.network, address, self, self.receive)
        self.sockets.append(self._socket)

    @property
    def answers_late(self) -> bool:
        """What it promises waits until that is kept."""
        return self.disk is not None or self.sharing is not None

    @property
    def finds_peers(self) -> bool:
        """Nobody tells it of any."""
        return not self.cluster.named_peers_of(self.address)

    def start(self) -> None:
        if self.disk is not None:
            self._drains = self.disk.drains  # what is learned below counts anew until `begin`
        if self.sharing is not None:
            self.sharing.load(self._learn)
        elif self.disk is not None:
            self.disk.load(self._learn)
        super().start()

    def stop(self) -> None:
        if self.sharing is not None:
            self.sharing.leave()
        super().stop()

    def begin(self) -> list[Effect]:
        left = [(one, word, max(ends - self.world.now, 0.0)) for one, word, ends in self._drains]
        effects = self.decide(self.core.start, self.now, left)
        self.ledger.drains.begin()
        return effects

    def _learn(self, present: list[Entry], gone: list[Entry]) -> None:
        self.act(self.decide(self.core.learn, present, gone, self.now))

    def receive(self, data: bytes, source: Address) -> None:
        self.receive_burst([(data, source)])

    def receive_burst(self, burst: list[tuple[bytes, Address]]) -> None:
        """What prr.shell.node does with what one call has received."""
        while burst and self.running:
            types = self.codec.types_asked(_Burst(burst), 0)
            answers = self.codec.found_run(self.core.look_up(types))
            if not answers.count:
                asked = self.codec.questions_asked(_Burst(burst), 0)
                answers = self.codec.found_read_run(self.core.look_up_asked(asked), asked)
            if not answers.count:
                answers = self._answers_sealed(burst)
            for one, answer in zip(burst, answers.datagrams(), strict=False):
                self._answer(*one, answer)
            del burst[: answers.count]
            if not answers.count and not self._subscribe_run(burst):
                self._receive_one(*burst.pop(0))

    def _answers_sealed(self, burst: list[tuple[bytes, Address]]) -> AnswerRun:
        sealed = self.codec.sealed_asked(_Burst(burst), 0)
        found = self.core.look_up_asked([one.asked for one in sealed], is_proved=True)
        return self.codec.found_sealed_run(found, sealed)

    def _subscribe_run(self, burst: list[tuple[bytes, Address]]) -> bool:
        """Those at the front that are alike; False if that is none."""
        run = self.codec.subscription_run(_Burst(burst), 0)
        vouched = self.ledger.vouched_for()
        if run:
            count, effects = self.decide(self.core.subscribe_run, run, self.now)
        else:
            said = self.codec.sealed_subscriptions(_Burst(burst), 0)
            count, effects = self.decide(self.core.sealed_runs.subscribe, said, self.now)
        taken = burst[:count]
        del burst[:count]
        for data, source in taken:
            frame = read(data, self.codec)
            if frame is None:
                raise Violation(f"{self.name}: takes {data.hex()} for a subscription")
            self.trace("<-", frame, source)
            self.ledger.received(frame, source, data)
        self._said = {source: data for data, source in taken}
        self.act(effects)
        self._said.clear()
        for data, source in taken:
            self.ledger.compare_vouched(vouched, source, data)
            if self.running and self.cluster.wants_twin():
                self._handle_twin(read(data, self.codec), source, data)
        return bool(taken)

    def _answer(self, data: bytes, source: Address, answer: bytes) -> None:
        """An answer to a lookup that no frame was made for."""
        asked, said = read(data, self.codec), read(answer, Role.CLIENT)
        if asked is None or said is None:
            raise Violation(f"{self.name}: answers {data.hex()} with {answer.hex()}")
        self.trace("<-", asked, source)
        self.ledger.received(asked, source, data)
        self.trace("->", said, source)
        self.ledger.sent(said, source, answer)
        self._socket.send(answer, source)

    def _receive_one(self, data: bytes, source: Address) -> None:
        frame = read(data, self.codec)
        if frame is None:
            return
        self._handle(frame, source, data)
        if self.running and self.cluster.wants_twin():
            self._handle_twin(frame, source, data)

    def _handle_twin(self, frame: Frame, source: Address, data: bytes) -> None:
        before = adapter.snapshot(self.core)
        self._handle(frame, source, data)
        self.ledger.compare(before, one_line(frame))

    def _handle(self, frame: Frame, source: Address, data: bytes) -> None:
        self.trace("<-", frame, source)
        self.ledger.received(frame, source, data)
        vouched, word = self.ledger.vouched_for(), self.ledger.drains.word(frame)
        effects = self.decide(self.core.handle, frame, source, self.now)
        self.ledger.let_in(frame, source, data)
        self.act(effects)
        self.ledger.compare_vouched(vouched, source, data)
        self.ledger.drains.heard(frame, data, word)

    def act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame=frame, target=target):
                    self._send(frame, target)
                case Answer(found=found, target=target, asked=asked, seal=seal):
                    frame = read(self.codec.found(found, asked, seal), Role.CLIENT)
                    self._send(replace(frame, seal=seal), target)
                case Persist() | KeepDrains():
                    self._keep(effect)
                case Confirm() | ConfirmAll() | ConfirmSealed() | AskAgain():
                    self._confirm(effect)
                case Probe() | ProbeAll():
                    self._probe(effect)
                case Report() | ReportAll():
                    for report in one_by_one([effect]):
                        self._report(report)
                case Stop():
                    self.world.note(self.name, f"stops: {effect.why}")
                    self.end()
                case _:
                    raise Violation(f"{self.name}: nobody knows the effect {effect!r}")
        self._see_to_rules()
        self.set_alarm()

    def _report(self, report: Report) -> None:
        self.world.note(self.name, report.text())
        self.ledger.reported(report)
        if report.event is Event.ADOPTED and self.sharing is not None:
            self.sharing.adopted(report.instances[0])

    def _keep(self, effect: Persist | KeepDrains) -> None:
        if self.sharing is not None and isinstance(effect, Persist):
            self.sharing.persist(effect)
        if self.disk is None:
            return
        if isinstance(effect, KeepDrains):
            moment = self.clock.moment
            self.disk.drains = [(one, word, moment(end)) for one, word, end in effect.rows]
        else:
            self.disk.persist(effect)
            takes = self.disk.rng.uniform(*COMMIT_TAKES)
            self.at(self.world.now + takes, self._commit)

    def _see_to_rules(self) -> None:
        self.ledger.bounded()
        if wrong := self.follower.follow(self.core):
            raise Violation(f"{self.name}: {wrong}")
        if self.disk is not None and self.running:
            self.disk.check(self.core, self.name)

    def _probe(self, effect: Probe | ProbeAll) -> None:
        if isinstance(effect, Probe):
            self.world.at(self.world.now, self._may_be_preempted)
            self.at(self.world.now, partial(self._ask, effect))
        else:
            for place in range(len(effect.instances)):
                self.at(self.world.now, partial(self._ask_with_others, effect, place))

    def _confirm(self, effect: Confirm | ConfirmAll | ConfirmSealed | AskAgain) -> None:
        match effect:
            case Confirm(instance=instance, frame=frame, target=target):
                self._once_kept(instance, frame, partial(self._send, frame, target))
            case ConfirmAll(instances=instances, frame=frame):
                for instance in instances:
                    answer = partial(self._send, frame, address_of(instance))
                    self._once_kept(instance, frame, answer)
            case ConfirmSealed(said=said, tickets=tickets, renewal=renewal):
                answers = self.codec.confirmed_run(said, tickets, renewal)
                for (instance, frame), data in zip(frames_of(effect), answers, strict=True):
                    answer = partial(self._send_sealed, instance, frame, data)
                    self._once_kept(instance, frame, answer)
            case AskAgain(said=said, tickets=tickets):
                answers = self.codec.again_run(said, tickets)
                for (instance, frame), data in zip(frames_of(effect), answers, strict=True):
                    self._send_sealed(instance, frame, data)

    def _once_kept(self, instance: Instance, frame: Frame, act: Callable[[], None]) -> None:
        if self.sharing is not None:
            self.sharing.confirm(instance, frame, act)
        elif self.disk is None:
            act()
        else:
            self.disk.confirm(instance, act)

    def _send(self, frame: Frame, target: Address) -> None:
        data = self.encode(frame)
        self.trace("->", frame, target)
        self.ledger.sent(frame, target, data)
        self._socket.send(data, target)

    def _send_sealed(self, instance: Instance, frame: Frame, data: bytes) -> None:
        """One of many that were answered together."""
        target = address_of(instance)
        if self.encode(frame) != data:
            raise Violation(f"{self.name}: says {data.hex()} for {frame!r}")
        if target in self._said:
            self.ledger.sealed.received(target, self._said.pop(target))
        self._send(frame, target)

    def waiting_sources(self) -> list[Address]:
        """Who has sent what still waits in the socket's queue."""
        return self._socket.waiting_sources()

    def _commit(self) -> None:
        for act in self.disk.commit():
            act()

    def _ask(self, probe: Probe, of: ProbeAll | None = None) -> None:
        """What prr.shell.prober does; `of` which it is one, prr.shell.group_prober."""
        if self.cluster.cannot_send():
            if of is None:
                self._outcome(probe, Outcome.UNSENT)
            return
        question = self.ledger.asked(probe)
        asking = next((one for one in self.sockets if one.is_about(probe)), None)
        if asking is None or of is not None:
            ip = self.host.towards(address_of(probe.instance)[0])
            address = ip, self.host.free_port()
            asking = _AskingSocket(self, address, probe, of)
            self.sockets.append(asking)
        asking.question = question
        self.trace("-?", probe.frame, probe.at)
        asking.send(self.encode(probe.frame), probe.at)
        ends_at = self.clock.moment(self.now + probe.wait)
        self.at(ends_at + TIMER_LATE, partial(self._give_up, asking, question))
        self._may_be_preempted()

    def _ask_with_others(self, of: ProbeAll, place: int) -> None:
        """What prr.shell.group_prober does: a bare answer counts for nothing."""
        self.asked_with_others[bool(of.serials)] += 1
        serial = of.serials[place] if of.serials else -self.asked_with_others.total()
        frame = Verify(trailer=Challenge(nonce=of.nonces[place]))
        instance = of.instances[place]
        probe = Probe(instance, serial, of.wait, frame, of.starts[place], address_of(instance))
        self._ask(probe, of)

    def _give_up(self, asking: Socket, question: Question) -> None:
        """Time is up, unless another question has gone out from the same socket meanwhile. Were we
        late, the answer lies there all the same."""
        if asking.question is question:
            asking.drain()
            self._stop_listening(asking)

    def _may_be_preempted(self) -> None:
        if self.running and self.cluster.preempts():
            self.pause()
            self.world.after(self.cluster.dice.uniform(*PREEMPTED), self.resume)

    def _stop_listening(self, asking: Socket) -> None:
        if asking in self.sockets:
            self.sockets.remove(asking)
        asking.close()

    def answered(self, asking: _AskingSocket, probe: Probe, data: bytes) -> None:
        """A datagram came to a question's own socket."""
        frame = read(data, self.codec)
        if frame is None or not probe.is_answer(frame):
            return
        self._stop_listening(asking)
        if asking.of is None or asking.of.serials:
            self.ledger.answered(probe.instance)
        self.trace("<!", frame, probe.at)
        if asking.of is None:
            self.act(self.decide(self.core.probed, probe, Outcome.ALIVE, self.now))
        else:
            ones = [probe.instance]
            self.act(self.decide(self.core.answered_all, asking.of, ones, self.now))

    def refused(self, asking: _AskingSocket, probe: Probe) -> None:
        """Nobody listens where a question went, or somebody forges that: a sealed answer is waited
        for all the same, and the next question leaves from another socket."""
        if not probe.wants_proof:
            self._stop_listening(asking)
        elif asking.is_refused:
            return
        asking.is_refused = True
        self._outcome(probe, Outcome.REFUSED)

    def _outcome(self, probe: Probe, outcome: Outcome) -> None:
        self.world.note(self.name, f"question to {describe(probe.instance)}: {outcome}")
        self.act(self.decide(self.core.probed, probe, outcome, self.now))


class _BurstSocket(Socket):
    """A binder's own socket: what has been waiting is taken together."""

    def drain(self) -> None:
        burst = [waiting for waiting in self._queue if waiting is not None]
        self._queue.clear()
        if burst:
            self.owner.receive_burst(burst)


class _Burst(list[tuple[bytes, Address]]):
    """Datagrams that one call has received, as the codec reads them."""

    def alike(self, at: int, size: int, fixed: Sequence[tuple[int, int]]) -> int:
        """Likewise."""
        row = takewhile(
            lambda data: len(data) == size and all(data[i] == value for i, value in fixed),
            (data for data, _ in self[at:]),
        )
        return sum(1 for _ in row)

    def column(self, at: int, count: int, place: int) -> bytes:
        """Likewise."""
        return bytes(data[place] for data, _ in self[at : at + count])

    def address_columns(self, at: int, count: int) -> list[bytes]:
        """Likewise."""
        keys = [encode_address(source) for _, source in self[at : at + count]]
        if len({len(key) for key in keys}) > 1:
            return []  # a socket has sources of one family
        return [bytes(column) for column in zip(*keys, strict=True)]

    def pairs(self, at: int, first: bytes) -> bytes:
        """As prr.shell.udp.mmsg.Received has it."""
        datagrams = (data for data, _ in self[at:])
        row = takewhile(lambda data: len(data) == 2 and data[:1] == first, datagrams)
        return b"".join(data[1:] for data in row)

    def rows(self, at: int, first: bytes, least: int, most: int) -> Iterator[bytes]:
        """Likewise: a socket has sources of one family."""
        family = is_ipv6_address(self[at][1])
        of_one = takewhile(lambda one: is_ipv6_address(one[1]) is family, self[at:])
        return rows_in([data for data, _ in of_one], first, least, most)


class _AskingSocket(Socket):
    """The socket of one question; it keeps the book that says whether an answer ever came."""

    def __init__(
        self, binder: BinderProcess, address: Address, probe: Probe, of: ProbeAll | None
    ) -> None:
        super().__init__(
            binder.cluster.network,
            address,
            binder,
            lambda data, _: binder.answered(self, probe, data),
            target=probe.at,
            refused=lambda: binder.refused(self, probe),
        )
        self._binder = binder
        self._probe = probe
        self.of = of

    is_refused = False

    def is_about(self, probe: Probe) -> bool:
        is_open = self.of is None and not self.is_refused
        return is_open and (self._probe.instance, self._probe.serial) == (
            probe.instance,
            probe.serial,
        )

    def arrive(self, data: bytes, source: Address) -> None:
        question = self.question
        assert question is not None
        frame = read(data, self._binder.codec)
        is_answer = frame is not None and self._probe.is_answer(frame)
        if source == self.target and is_answer and self._binder.now <= question.ends_at:
            question.answered, question.waited = True, self._binder.paused
        super().arrive(data, source)

    def refuse(self, by: Address) -> None:
        assert self.question is not None
        if self.of is None:  # else it is not connected, and nobody sees that
            self.question.refused = True
            super().refuse(by)


class ServerProcess(Process):
    """A server of ours, with a supervisor that starts it again if it gave up."""

    role = Role.SERVER
    core: Server

    def __init__(
        self,
        cluster: Cluster,
        host: Host,
        clock: Clock,
        core: Server,
        instance: Instance,
        keys: Held | None = None,
    ) -> None:
        super().__init__(cluster, host, clock, keys)
        self.core = core
        self.instance = instance
        self.particulars = b""
        """What it says of itself, encoded."""
        self.leaving = False
        self._socket = Socket(cluster.network, self.speaks_from, self, self.receive)
        self.sockets.append(self._socket)

    @property
    def speaks_from(self) -> Address:
        """Where binders hear it from, and ask it."""
        return address_of(self.instance)

    def restate(self, particulars: bytes) -> None:
        """Say this from now on."""
        self.particulars = particulars
        self.core.change_particulars(particulars)

    def end(self) -> None:
        super().end()
        self.cluster.truth.sealed.ended_at[self.instance] = self.world.now

    def stop(self) -> None:
        self.leaving = True
        super().stop()

    def receive(self, data: bytes, source: Address) -> None:
        frame = read(data, self.codec)
        if frame is None:
            return
        self.trace("<-", frame, source)
        effects = self.decide(self.core.handle, frame, source, self.now)
        if effects != [stray(frame, source)] and self.codec.has_keys:
            check_answer(self.cluster, self.name, frame, data, self.speaks_from)
        self.act(effects)
        is_over = self.leaving and not self.running
        if is_over and isinstance(frame, Removed):
            self.cluster.truth.left_at[self.instance] = self.world.now

    def act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame=frame, target=target):
                    if isinstance(frame, Subscribe) or is_announcement(frame):
                        self.cluster.truth.subscribed.add(self.instance)
                    self.trace("->", frame, target)
                    data = self.encode(frame)
                    word = Word(self.speaks_from, target, self.started_at, self.world.now)
                    self.cluster.truth.sealed.words[data] = word
                    self._socket.send(data, target)
                case Report():
                    self.world.note(self.name, effect.text())
                case Stop():
                    self.world.note(self.name, f"stops: {effect.why}")
                    self.end()
                    self.cluster.server_stopped(self, effect)
                case _:
                    raise Violation(f"{self.name}: nobody knows the effect {effect!r}")
        self.set_alarm()


class AgentProcess(ServerProcess):
    """An agent, and the program for which it speaks, from a port of its own on the same host."""

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        at = address_of(self.instance)
        self._program = Socket(self.cluster.network, at, self, self._serve)
        self.sockets.append(self._program)

    @property
    def speaks_from(self) -> Address:
        ip, port = address_of(self.instance)
        return ip, port + AGENTS_PORTS

    def _serve(self, data: bytes, source: Address) -> None:
        """The program knows nothing of binders."""
        frame = read(data, self.codec)
        if isinstance(frame, Request):
            for effect in self.decide(self.core.handle, frame, source, self.now):
                self._program.send(self.encode(effect.frame), source)


class ClientProcess(Process):
    """One exchange of a client, as prr.client.exchange runs it: a fresh socket for each target."""

    role = Role.CLIENT
    core: Client

    def __init__(
        self,
        cluster: Cluster,
        host: Host,
        clock: Clock,
        core: Client,
        type_: Service,
        takes_ipv6: bool,
        keys: Held | None = None,
    ) -> None:
        super().__init__(cluster, host, clock, keys)
        self.core = core
        self.type = type_
        self.takes_ipv6 = takes_ipv6
        self.lines: list[Address] = []
        """Where it was asking from."""
        self._line: Socket | None = None

    def act(self, effects: list[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(frame=frame, target=target):
                    self.trace("->", frame, target)
                    self._aim(target).send(self.encode(frame), target)
                case Report():
                    pass
                case _:
                    raise Violation(f"{self.name}: a client does not {effect!r}")
        if self.core.outcome is not None and self.running:
            self.world.note(self.name, f"ends: {self.core.outcome}")
            self.end()
            self.cluster.client_ended(self)
        self.set_alarm()

    def found(self) -> Instance | None:
        """Where it was sent and got what it wanted, if so."""
        address = getattr(self.core.outcome, "address", None)
        return make_instance(self.type, address) if address else None

    def _aim(self, target: Address) -> Socket:
        if self._line is None or self._line.target != target:
            if self._line is not None:
                self._line.close()
            address = self.host.towards(target[0]), self.host.free_port()
            refused = partial(self._refused, target)
            self.lines.append(address)
            network = self.cluster.network
            self._line = Socket(network, address, self, self.receive, target, refused)
            self.sockets = [self._line]
        return self._line

    def _refused(self, target: Address) -> None:
        self.world.note(self.name, f"is refused by {target[0]}:{target[1]}")
        self.act(self.decide(self.core.refused, target, self.now))
