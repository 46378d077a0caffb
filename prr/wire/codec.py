"""decode and encode: nothing but readings of the table in `frames`."""

from collections import defaultdict

from prr.wire.errors import MalformedFrame, OutOfPlace
from prr.wire.frames import TABLE, Form, Frame, Role
from prr.wire.trailer import decode_trailer, encode_trailer

DATAGRAM_BYTES_MAX = 1400
"""What we send at most: fits an Ethernet frame, also inside the usual tunnels."""

_CODES = {form.code for form in TABLE}
_FORM_BY_FRAME = {form.frame: form for form in TABLE}
_FORMS_BY_RECEIVER: dict[tuple[Role, int], list[Form]] = defaultdict(list)
for _form in TABLE:
    for _receiver in dict.fromkeys(route.receiver for route in _form.routes):
        _FORMS_BY_RECEIVER[_receiver, _form.code].append(_form)


def encode(frame: Frame) -> bytes:
    """The datagram for `frame`, its trailer included; at most DATAGRAM_BYTES_MAX bytes."""
    form = _FORM_BY_FRAME[type(frame)]
    parts = [field.write(getattr(frame, field.attribute)) for field in form.fields]
    data = bytes((form.code,)) + b"".join(parts)
    if frame.trailer is not None:
        data += encode_trailer(frame.trailer)
    assert len(data) <= DATAGRAM_BYTES_MAX
    return data


def decode(data: bytes, receiver: Role) -> Frame:
    """The frame in a datagram that reached `receiver`.

    Raises MalformedFrame when the bytes are no frame, OutOfPlace (a MalformedFrame) when they
    are one that this role never receives.
    """
    if not data:
        raise MalformedFrame("an empty datagram")
    forms = _FORMS_BY_RECEIVER.get((receiver, data[0]))
    if forms is None:
        if data[0] in _CODES:
            raise OutOfPlace(f"code {data[0]} is never sent to a {receiver}")
        raise MalformedFrame(f"no frame has the code {data[0]}")
    for form in forms[:-1]:
        try:
            return _decode_form(data, form)
        except MalformedFrame:
            continue  # the code has another form, of another length
    return _decode_form(data, forms[-1])


def _decode_form(data: bytes, form: Form) -> Frame:
    values = []
    at = 1
    for field in form.fields:
        value, at = field.read(data, at)
        values.append(value)
    if at == len(data) or form.padded:
        return form.frame(*values)
    return form.frame(*values, trailer=decode_trailer(data[at:]))
