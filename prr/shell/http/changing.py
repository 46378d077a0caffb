"""What operators change: a method for each route that changes something."""

import json
from http import HTTPStatus

from werkzeug.wrappers import Request, Response

from prr.shell.admin.calls import Changed
from prr.shell.http.asked import Reader, Who
from prr.shell.http.binder import Binder
from prr.shell.http.problems import Problem, bad_request
from prr.shell.http.rows import Rows
from prr.wire.instance import Instance, describe
from prr.wire.particulars import DRAIN_SECONDS_MAX, DRAIN_WHY_BYTES_MAX, is_line
from prr.wire.trailer import ERROR_BYTES_MAX, Drained


class Changing:
    """The changes of one binder, which judges once more who asks for them."""

    def __init__(self, binder: Binder, reader: Reader, rows: Rows) -> None:
        self._binder = binder
        self._reader = reader
        self._rows = rows

    def complain(self, request: Request, who: Who) -> Response:
        keys = {"service": str, "address": str, "why": str}
        body = self._reader.body(request, keys, {"service", "address"})
        instance = self._reader.which(body)
        said = body.get("why", "").encode(errors="replace")[:ERROR_BYTES_MAX]
        became = self._binder.complain(who, instance, said)
        if became == Changed.DROPPED:
            why = "too many complaints from this host at once: this one is dropped; ask again soon"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, why, {"Retry-After": "1"})
        if became != Changed.TAKEN:
            raise _not_done(instance, became)
        return _json({"held": True})

    def drain(self, request: Request, who: Who) -> Response:
        keys = {"service": str, "address": str, "seconds": int, "why": str, "last": bool}
        body = self._reader.body(request, keys, {"service", "address", "seconds"})
        seconds, why = body["seconds"], body.get("why", "")
        if not 1 <= seconds <= DRAIN_SECONDS_MAX:
            raise bad_request(f"seconds is {seconds}; use 1 to {DRAIN_SECONDS_MAX}")
        line = why.encode(errors="surrogatepass")  # half a character is no text, and so no line
        if len(line) > DRAIN_WHY_BYTES_MAX or not is_line(line):
            raise bad_request(f"why is no line of at most {DRAIN_WHY_BYTES_MAX} bytes; use one")
        instance, last = self._reader.which(body), body.get("last", False)
        return self._drain(who, instance, seconds, line, last)

    def undrain(self, request: Request, who: Who, service: str, address: str) -> Response:
        return self._drain(who, self._reader.instance(service, address), 0, b"", False)

    def _drain(
        self, who: Who, instance: Instance, seconds: int, why: bytes, last: bool
    ) -> Response:
        became = self._binder.drain(who, instance, seconds, why, last)
        if became not in (Drained.DONE, Drained.GONE):
            raise _not_done(instance, became)
        return _json(self._rows.name(instance) | {"seconds": seconds})


def _not_done(instance: Instance, became: str) -> Problem:
    match became:
        case Changed.NOT_HELD:
            why = f"{describe(instance)} is not held here; /v1/services shows what is"
            return Problem(HTTPStatus.NOT_FOUND, why)
        case Drained.LAST:
            why = (
                f"{describe(instance)} is the last of its service in turn; say last: true to "
                f"drain it all the same: it is handed out then while there is no other"
            )
            return Problem(HTTPStatus.CONFLICT, why)
        case Drained.TOO_MANY:
            return Problem(HTTPStatus.CONFLICT, "too many are drained; undrain some")
        case Changed.LATE:
            why = "that is not on disk after some seconds, and may be lost; see /v1/status"
            return Problem(HTTPStatus.SERVICE_UNAVAILABLE, why)
    assert became == Changed.DENIED  # whose token was good a moment ago
    return Problem(HTTPStatus.FORBIDDEN, "that is not an operator's any more")


def _json(said: dict[str, object]) -> Response:
    return Response(json.dumps(said) + "\n", content_type="application/json")
