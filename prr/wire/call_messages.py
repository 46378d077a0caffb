"""What stands in the trailers of calls; see `messages`."""

from prr.record import record
from prr.wire.message import Message


@record(kw_only=True)
class CallNumber(Message):
    """Behind a request to a service with a name: the same whenever one call asks again, and another
    for each call. A number's server may be a legacy (2016) one, and gets none."""

    nonce: int


@record(kw_only=True)
class Failed(Message):
    """Behind an empty answer: the program behind the service failed at this request."""

    error: bytes
