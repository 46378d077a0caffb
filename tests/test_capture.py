"""What the programs of 2016 really sent: our codec reads it, and our binder would have sent it."""

import json
from pathlib import Path
from random import Random

import pytest

from prr.config import WireForm
from prr.core.binder import Binder
from prr.core.effects import Answer, Probe, ProbeAll, Send
from prr.wire.first_questions import first_question
from prr.wire.frames import ListRequest, Role, ServiceList, Subscribe, Verify
from prr.wire.instance import address_of, make_instance
from prr.wire.messages import Message
from tests.cores import CODEC_2016, decode, encode, has_answered, sent

CAPTURE = json.loads((Path(__file__).parent / "lab2016" / "capture.json").read_text())
DATAGRAMS = CAPTURE["datagrams"]
QUESTIONS = (encode(ListRequest()), encode(Verify()))


def payload(datagram) -> bytes:
    """What was on the wire, padding included."""
    frame = bytes.fromhex(datagram["hex"])
    return frame.ljust(datagram["zero_padded_to"] or 0, b"\0")


def address(datagram, end):
    """Where it came from, or went to."""
    return "127.0.0.1", datagram[f"{end}_port"]


@pytest.mark.parametrize("datagram", DATAGRAMS, ids=lambda one: f"{one['at_s']} {one['frame']}")
def test_each_datagram_is_read_and_written_again_byte_for_byte(datagram):
    data = payload(datagram)
    frame = decode(data, Role(datagram["target"].split()[0]))
    assert len(data) == datagram["bytes"]
    assert encode(frame) == bytes.fromhex(datagram["hex"])


class Outbox:
    """Datagrams in the order they left: (to whom, bytes). Repeated questions are left out."""

    def __init__(self) -> None:
        self.datagrams = []
        self.hellos = 0

    def put(self, effects) -> None:
        for effect in effects:
            match effect:
                case Send(frame=ListRequest(trailer=Message())):
                    self.hellos += 1  # what a program of 2016 answers bare, like the other one
                case Send(frame=frame, target=target):
                    self._put(target, encode(frame))
                case Answer(found=found, target=target):
                    self._put(target, CODEC_2016.found(found))
                case Probe(at=at):
                    self._put(at, encode(Verify()))
                case ProbeAll(instances=instances, nonces=nonces):
                    for instance, nonce in zip(instances, nonces, strict=True):
                        self._put(address_of(instance), first_question(nonce))

    def _put(self, target, data) -> None:
        if data not in QUESTIONS or (target, data) not in self.datagrams:
            self.datagrams.append((target, data))


def pass_time(binder, until, peer):
    """What a binder does until then; its question with a trailer is answered as in 2016."""
    done = []
    while (when := binder.deadline()) is not None and when <= until:
        effects = binder.tick(when)
        done += effects
        if any(frame.trailer and to == peer for frame, to in sent(effects)):
            done += binder.handle(ServiceList(()), peer, when)
    return done


@pytest.mark.parametrize(("name", "peer"), [("binder A", "binder B"), ("binder B", "binder A")])
def test_a_binder_that_receives_what_theirs_did_sends_what_theirs_did(name, peer):
    (peer_port,) = {one["source_port"] for one in DATAGRAMS if one["source"] == peer}
    peers, rng = (("127.0.0.1", peer_port),), Random(1)
    binder = Binder(frozenset(), peers, 1, rng, WireForm.LAB2016, lease=3600.0)
    outbox = Outbox()
    starts_at = next(one["at_s"] for one in DATAGRAMS if one["source"] == name)
    outbox.put(binder.start(starts_at))
    for datagram in DATAGRAMS:
        now = datagram["at_s"]
        if datagram["target"] == name and now >= starts_at:
            outbox.put(pass_time(binder, now, ("127.0.0.1", peer_port)))
            frame = decode(payload(datagram), Role.BINDER)
            source = address(datagram, "source")
            outbox.put(binder.handle(frame, source, now))
            if isinstance(frame, Subscribe):  # theirs asks nobody who has just subscribed
                has_answered(binder, make_instance(frame.type, source), now)
    assert outbox.hellos <= 1
    theirs = [one for one in DATAGRAMS if one["source"].startswith(name)]
    theirs = [(address(one, "target"), payload(one)) for one in theirs]
    assert [one for one in outbox.datagrams if one in theirs] == theirs
    # What theirs never did: ask an instance that the other binder says is gone.
    gone = {
        (address_of(decode(payload(one), Role.BINDER).instance), encode(Verify()))
        for one in DATAGRAMS
        if one["target"] == name and one["frame"] == "SUPPRESSION_SERVICE"
    }
    assert set(outbox.datagrams) - set(theirs) <= gone
