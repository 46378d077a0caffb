"""The messages of etcd's gRPC API (https://etcd.io/docs/v3.4/learning/api/) that are used here, of
each the fields that are, and its methods.

Google's protobuf reads and writes them: it is kept up, does so in C, and bounds how deep what it
reads is nested. It makes their classes from those below as they are defined, so that nothing is
generated that would have to fit the version of the library. Fields that are not named here are
skipped; what is not said is 0, empty or False, as in every message of proto3.
"""

from collections.abc import Sequence
from typing import Annotated, Generic, Self, TypeVar, cast, get_args, get_origin

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field
from google.protobuf.descriptor_pb2 import FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass

from prr.record import record


class Message:
    """What every message has. None is a subclass of this when it runs: see `_message`."""

    def __init__(self, **fields: object) -> None:
        """Fields that are left out are not said."""

    def SerializeToString(self) -> bytes:
        """As it is sent."""
        raise NotImplementedError

    @classmethod
    def FromString(cls, data: bytes) -> Self:
        """The one that is sent so. Raises google.protobuf.message.DecodeError if none is."""
        raise NotImplementedError

    def HasField(self, name: str) -> bool:
        """A field that is a message is said."""
        raise NotImplementedError


_M = TypeVar("_M", bound=Message)
_Q = TypeVar("_Q", bound=Message)
_R = TypeVar("_R", bound=Message)


class Repeated(Sequence[_M]):
    """The messages of a field that is repeated."""

    def add(self) -> _M:
        """Another one, to be filled in."""
        raise NotImplementedError


_TYPES = {
    bool: Field.TYPE_BOOL,
    bytes: Field.TYPE_BYTES,
    int: Field.TYPE_INT64,  # enums and unsigned numbers are written alike
    str: Field.TYPE_STRING,
}
_PACKAGE = "etcd"
_pool = DescriptorPool()


def _message(cls: type[_M]) -> type[_M]:
    """The class of protobuf for messages with these fields, which are annotated with their type and
    their number."""
    file = FileDescriptorProto(name=cls.__name__, package=_PACKAGE, syntax="proto3")
    message = file.message_type.add(name=cls.__name__)
    for name, annotation in cls.__annotations__.items():
        type_, number = get_args(annotation)
        field = message.field.add(name=name, number=number, label=Field.LABEL_OPTIONAL)
        if get_origin(type_) is Repeated:
            (type_,) = get_args(type_)
            field.label = Field.LABEL_REPEATED
        if type_ in _TYPES:
            field.type = _TYPES[type_]
            continue
        field.type, field.type_name = Field.TYPE_MESSAGE, f".{_PACKAGE}.{type_.__name__}"
        if type_.__name__ not in file.dependency:
            file.dependency.append(type_.__name__)
    _pool.AddSerializedFile(file.SerializeToString())
    made = GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{cls.__name__}"))
    return cast(type[_M], made)


@_message
class ResponseHeader(Message):
    cluster_id: Annotated[int, 1]
    revision: Annotated[int, 3]
    raft_term: Annotated[int, 4]


# Keys and values.


@_message
class KeyValue(Message):
    key: Annotated[bytes, 1]
    create_revision: Annotated[int, 2]
    mod_revision: Annotated[int, 3]
    value: Annotated[bytes, 5]
    lease: Annotated[int, 6]


DELETED = 1
"""The type of an event: the key is gone. Else it was put."""


@_message
class Event(Message):
    type: Annotated[int, 1]
    kv: Annotated[KeyValue, 2]


@_message
class RangeRequest(Message):
    key: Annotated[bytes, 1]
    range_end: Annotated[bytes, 2]
    limit: Annotated[int, 3]
    revision: Annotated[int, 4]
    keys_only: Annotated[bool, 8]


@_message
class RangeResponse(Message):
    header: Annotated[ResponseHeader, 1]
    kvs: Annotated[Repeated[KeyValue], 2]
    more: Annotated[bool, 3]


@_message
class PutRequest(Message):
    key: Annotated[bytes, 1]
    value: Annotated[bytes, 2]
    lease: Annotated[int, 3]


@_message
class DeleteRangeRequest(Message):
    key: Annotated[bytes, 1]


# Transactions.

CREATED, MODIFIED = 1, 2
"""What is compared of a key: when it was created, or when it was written last; 0 without it."""


@_message
class Compare(Message):
    target: Annotated[int, 2]
    key: Annotated[bytes, 3]
    create_revision: Annotated[int, 5]
    mod_revision: Annotated[int, 6]


@_message
class RequestOp(Message):
    request_range: Annotated[RangeRequest, 1]
    request_put: Annotated[PutRequest, 2]


@_message
class ResponseOp(Message):
    response_range: Annotated[RangeResponse, 1]


@_message
class TxnRequest(Message):
    compare: Annotated[Repeated[Compare], 1]
    success: Annotated[Repeated[RequestOp], 2]
    failure: Annotated[Repeated[RequestOp], 3]


@_message
class TxnResponse(Message):
    header: Annotated[ResponseHeader, 1]
    succeeded: Annotated[bool, 2]
    responses: Annotated[Repeated[ResponseOp], 3]


# Watches.


@_message
class WatchCreateRequest(Message):
    key: Annotated[bytes, 1]
    range_end: Annotated[bytes, 2]
    start_revision: Annotated[int, 3]
    fragment: Annotated[bool, 8]


@_message
class WatchRequest(Message):
    create_request: Annotated[WatchCreateRequest, 1]


@_message
class WatchResponse(Message):
    header: Annotated[ResponseHeader, 1]
    created: Annotated[bool, 3]
    canceled: Annotated[bool, 4]
    compact_revision: Annotated[int, 5]
    cancel_reason: Annotated[str, 6]
    fragment: Annotated[bool, 7]
    events: Annotated[Repeated[Event], 11]


# Leases and users.


@_message
class LeaseGrantRequest(Message):
    TTL: Annotated[int, 1]


@_message
class LeaseRequest(Message):
    """Of a lease that there is."""

    ID: Annotated[int, 1]


@_message
class LeaseResponse(Message):
    """TTL 0: there is no such lease."""

    header: Annotated[ResponseHeader, 1]
    ID: Annotated[int, 2]
    TTL: Annotated[int, 3]


@_message
class AuthenticateRequest(Message):
    name: Annotated[str, 1]
    password: Annotated[str, 2]


@_message
class AuthenticateResponse(Message):
    token: Annotated[str, 2]


@_message
class Done(Message):
    """What is answered where no more is said than that it was done."""

    header: Annotated[ResponseHeader, 1]


@record
class Method(Generic[_Q, _R]):
    """One that can be called, with a `request` of a class, and answers with a `response` of one."""

    path: str
    request: type[_Q]
    response: type[_R]


RANGE = Method("/etcdserverpb.KV/Range", RangeRequest, RangeResponse)
PUT = Method("/etcdserverpb.KV/Put", PutRequest, Done)
DELETE_RANGE = Method("/etcdserverpb.KV/DeleteRange", DeleteRangeRequest, Done)
TXN = Method("/etcdserverpb.KV/Txn", TxnRequest, TxnResponse)
WATCH = Method("/etcdserverpb.Watch/Watch", WatchRequest, WatchResponse)
LEASE_GRANT = Method("/etcdserverpb.Lease/LeaseGrant", LeaseGrantRequest, LeaseResponse)
LEASE_KEEP_ALIVE = Method("/etcdserverpb.Lease/LeaseKeepAlive", LeaseRequest, LeaseResponse)
LEASE_REVOKE = Method("/etcdserverpb.Lease/LeaseRevoke", LeaseRequest, Done)
AUTHENTICATE = Method("/etcdserverpb.Auth/Authenticate", AuthenticateRequest, AuthenticateResponse)
