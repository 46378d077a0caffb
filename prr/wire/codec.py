"""The codec: the one place where bytes become frames, and frames bytes.

It reads the table in `forms`, and has no knowledge of its own of any frame.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from typing import Any

from prr.trust.keyring import Held, Keyring
from prr.wire.errors import MalformedFrame, OutOfPlace, VainSeal
from prr.wire.first_questions import is_answer, is_usual_answer
from prr.wire.forms import FORM_OF, TABLE, Form
from prr.wire.found import (
    FOUND_RUNS,
    AnswerRun,
    FoundForm,
    Pairs,
    found_read_run,
    types_asked,
)
from prr.wire.frames import (
    Added,
    Complaint,
    Found,
    Frame,
    ListRequest,
    Removed,
    Role,
    Unknown,
    messages_of,
)
from prr.wire.instance import (
    INSTANCE_BYTES,
    NOWHERE,
    Instance,
    address_of,
    decode_address,
    encode_address,
    is_ipv6_address,
    is_wide,
    is_wide_instance,
)
from prr.wire.message import message_in
from prr.wire.messages import Plain
from prr.wire.questions import Asked, Questions, Rows
from prr.wire.seal import SEAL_BYTES_MAX, Seal, check_place
from prr.wire.sealed_questions import SealedAsked, SealedQuestions, found_sealed_run
from prr.wire.sealed_subscriptions import (
    SealedSubscription,
    SealedSubscriptions,
    Senders,
    again_run,
    confirmed_run,
)
from prr.wire.sealing import BinderSealer, HolderSealer, Sealer
from prr.wire.subscription_runs import Columns, SubscriptionRun, subscription_run
from prr.wire.trailer_codec import decode_trailer, encode_trailer

DATAGRAM_BYTES_MAX = 1400
"""What we send at most: fits an Ethernet frame, also inside the usual tunnels."""

_CODES = {form.code for form in TABLE}
_COMPLAINT_CODE = bytes((FORM_OF[Complaint].code,))
_FORMS_BY_RECEIVER: dict[tuple[Role, int], list[Form]] = defaultdict(list)
for _form in TABLE:
    for _receiver in dict.fromkeys(route.receiver for route in _form.routes):
        _FORMS_BY_RECEIVER[_receiver, _form.code].append(_form)
_MESSAGES = {form.frame: messages_of(form.frame) for form in TABLE}


class Codec:
    """Writes what a program of one role sends, and reads what reaches it."""

    found_sealed_run = staticmethod(found_sealed_run)
    """`found_sealed_run(instances, asked)`: the answers to the first of some sealed lookups."""

    confirmed_run, again_run = staticmethod(confirmed_run), staticmethod(again_run)
    """`confirmed_run(said, tickets, renewal)`, `again_run(said, tickets)`: what answers sealed
    subscriptions."""

    def __init__(
        self,
        role: Role,
        found: FoundForm = Found,
        keys: Keyring | Held | None = None,
        is_strict: bool = False,
    ) -> None:
        """`found` is the frame with which a binder answers a lookup. `keys`: a binder's keyring, or
        the credential that another role holds; without them seals are skipped, and none is made.
        With `is_strict` nothing is read under a seal that proves nothing.
        """
        self._is_strict = is_strict
        self.role = role
        self._sealer: Sealer | None = None
        self._sealed_questions: SealedQuestions | None = None
        self._sealed_subscriptions: SealedSubscriptions | None = None
        if keys is not None:
            self.change_keys(keys)
        self.types_asked: Callable[[Pairs, int], bytes] = types_asked
        """`types_asked(burst, at)`: the types that the lookups without a trailer ask for which
        stand in a row from number `at` of a burst on; empty if there is none."""

        self.found_run: Callable[[Sequence[Instance]], AnswerRun] = FOUND_RUNS[found]
        """`found_run(instances)`: the answers to a run of lookups; an empty instance stands for a
        type that nobody provides."""

        self.questions_asked: Callable[[Rows, int], list[Asked]] = Questions(self.decode).asked
        """`questions_asked(burst, at)`: what the lookups with a trailer ask for which stand in a
        row from number `at` of a burst on; empty if there is none."""

        self.found_read_run: Callable[[Sequence[Instance], Sequence[Asked]], AnswerRun] = (
            found_read_run
        )
        """`found_read_run(instances, asked)`: the answers to the first of these."""

        self.subscription_run: Callable[[Columns, int], SubscriptionRun] = subscription_run
        """`subscription_run(burst, at)`: the subscriptions of one form that stand in a row from
        number `at` of a burst on; empty if there is none."""

    def is_first_answer(self, data: bytes, nonce: int, instance: Instance, start: int) -> bool:
        """A datagram is an instance's answer to the first question with this nonce, and says this
        start number; LEFT: any."""
        if is_usual_answer(data, nonce, instance, start):
            return True
        try:
            return is_answer(self.decode(data), nonce, instance, start)
        except MalformedFrame:
            return False

    def found(
        self, instance: Instance, asked: Asked | None = None, seal: Seal | None = None
    ) -> bytes:
        """The answer to one lookup; `instance` as in `found_run`, and what was `asked` if the
        trailer of the lookup was read. With `seal` it is sealed."""
        if seal is not None:
            answer: Frame = Unknown(trailer=Plain(), seal=seal)
            if instance:
                answer = Found(address_of(instance), trailer=Plain(), seal=seal)
            return self.encode(answer)
        if asked is None:
            return self.found_run((instance,)).data
        return self.found_read_run((instance,), (asked,)).data

    @property
    def has_keys(self) -> bool:
        """It seals, and opens."""
        return self._sealer is not None

    @property
    def opened(self) -> dict[str, int]:
        """How many seals have held that a binder was sent, for each secret of its keyring, by its
        id, since the keyring was read; the newest secret first."""
        sealer = self._sealer
        if not isinstance(sealer, BinderSealer):
            return {}
        ids = [key.secret_id for key in sealer.keyring.of_binders]
        return {one.hex(): sealer.opened[one] for one in ids}

    @property
    def keyring(self) -> Keyring | None:
        """The one it seals and opens with, if it is a binder's and has one."""
        return self._sealer.keyring if isinstance(self._sealer, BinderSealer) else None

    def change_keys(self, keys: Keyring | Held) -> None:
        """Seal and open with these from now on."""
        if isinstance(keys, Held):
            self._sealer = HolderSealer(keys)
        else:
            self._sealer = sealer = BinderSealer(keys)
            self._sealed_questions = SealedQuestions(self.decode, sealer)
            self._sealed_subscriptions = SealedSubscriptions(sealer)

    @property
    def sealed_remembered(self) -> tuple[int, int]:
        """How many questions under a seal are remembered, and how many may be."""
        return self._sealed_questions.size if self._sealed_questions is not None else (0, 0)

    @property
    def signers_remembered(self) -> tuple[int, int]:
        """Of how many credentials the keys are remembered with which subscriptions are read, and of
        how many they may be."""
        known = self._sealed_subscriptions
        return known.size if known is not None else (0, 0)

    def sealed_asked(self, burst: Rows, at: int) -> list[SealedAsked]:
        """What the lookups under a seal ask for which stand in a row from number `at` of a burst
        on; empty if there is none."""
        return [] if self._sealed_questions is None else self._sealed_questions.asked(burst, at)

    def sealed_subscriptions(self, burst: Senders, at: int) -> list[SealedSubscription]:
        """The subscriptions under a seal that stand in a row from number `at` of a burst on; empty
        if there is none."""
        known = self._sealed_subscriptions
        return [] if known is None else known.read(burst, at)

    def accused(self, burst: Rows, at: int) -> Instance | None:
        """Whom the complaint with number `at` of a burst is about; None if it is none, or says
        anything else."""
        size = 1 + INSTANCE_BYTES
        row = next(iter(burst.rows(at, _COMPLAINT_CODE, size, size)), None)
        return None if row is None else Instance(row[1:])

    def encode(self, frame: Frame) -> bytes:
        """The datagram for `frame`, its trailer included; at most DATAGRAM_BYTES_MAX bytes, and its
        seal, if it has one, besides."""
        form = FORM_OF[type(frame)]
        parts = [field.write(getattr(frame, field.attribute)) for field in form.fields]
        data = bytes((form.code,)) + b"".join(parts)
        said = {} if frame.trailer is None else frame.trailer.values()
        if isinstance(frame, Complaint | Added | Removed) and is_wide(frame.instance):
            said["instance"] = frame.instance
        if isinstance(frame, Found) and is_ipv6_address(frame.address):
            said["address"] = encode_address(frame.address)
        if frame.seal is not None and self._sealer is not None:
            said["seal"] = self._sealer.blank(frame.seal)
            data = self._sealer.sign(data + encode_trailer(said), frame.seal)
            assert len(data) <= DATAGRAM_BYTES_MAX + SEAL_BYTES_MAX
            return data
        if said or frame.trailer is not None:
            data += encode_trailer(said)
        assert len(data) <= DATAGRAM_BYTES_MAX
        return data

    def decode(self, data: bytes) -> Frame:
        """The frame in a datagram that has arrived, with its seal if it has one and keys are there
        to open it: whether it holds is for the receiver to see.

        Raises MalformedFrame when the bytes are no frame, OutOfPlace (a MalformedFrame) when they
        are one that this role never receives, VainSeal (likewise) when it `is_strict`.
        """
        if not data:
            raise MalformedFrame("an empty datagram")
        forms = _FORMS_BY_RECEIVER.get((self.role, data[0]))
        if forms is None:
            if data[0] in _CODES:
                raise OutOfPlace(f"code {data[0]} is never sent to a {self.role}")
            raise MalformedFrame(f"no frame has the code {data[0]}")
        seal = None if self._sealer is None else self._sealer.open(data)
        if self._is_strict and seal is not None and seal.fault is not None:
            raise VainSeal(seal.fault)  # before anything else is read, which costs more
        for form in forms[:-1]:
            try:
                return _decode_form(data, form, seal)
            except MalformedFrame:
                continue  # the code has another form, of another length
        return _decode_form(data, forms[-1], seal)


def _decode_form(data: bytes, form: Form, seal: Seal | None) -> Frame:
    values = []
    at = 1
    for field in form.fields:
        value, at = field.read(data, at)
        values.append(value)
    if at == len(data):
        return form.frame(*values)
    try:
        said = decode_trailer(data[at:])
    except MalformedFrame:
        if form.padded:
            return form.frame(*values)
        raise
    if said.pop("seal", None) is not None and seal is None:  # else it was found in its place
        check_place(data)
    return _framed(form, values, said, seal)


def _framed(form: Form, values: list[Any], said: dict[str, Any], seal: Seal | None) -> Frame:
    """The frame of these fields, behind which stands a trailer that says so much."""
    if values == [NOWHERE] and (wide := said.pop("instance", None)):
        if not is_wide_instance(wide):
            raise MalformedFrame("an instance of the spec in a trailer; it belongs in front")
        values = [Instance(wide)]
        if not said:
            return form.frame(*values, seal=seal)
    if form.frame is Found and (address := said.pop("address", None)):
        values = [decode_address(address)]
    if seal is not None and not said and form.frame is ListRequest:
        return ListRequest(seal=seal)
    return form.frame(*values, trailer=message_in(said, _MESSAGES[form.frame]), seal=seal)
