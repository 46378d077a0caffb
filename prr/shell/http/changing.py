"""What operators change: a method for each route that changes something.

Whatever is asked goes into the core as the frame that the commands send, so that there is one rule.
"""

import json
import logging
from http import HTTPStatus

import gevent.event
from werkzeug.wrappers import Request, Response

from prr.core.effects import Event
from prr.shell.binder_node import BinderNode
from prr.shell.http.asked import Reader, source_ip
from prr.shell.http.problems import Problem, bad_request
from prr.shell.http.rows import Rows
from prr.wire.frames import Complaint, Frame, ServiceList
from prr.wire.inquiries import DrainQuery, TextPart
from prr.wire.instance import Address, Instance, describe, is_wide
from prr.wire.messages import Reason
from prr.wire.particulars import DRAIN_SECONDS_MAX, DRAIN_WHY_BYTES_MAX, is_line
from prr.wire.trailer import ERROR_BYTES_MAX, Drained, Question

DISK_LIMIT = 2.0
"""Seconds in which a change has to be on disk, to be confirmed."""

NO_PORT = 0
"""Of who asks over HTTP: it is nobody's, who sends datagrams."""

_log = logging.getLogger("prr")


class Changing:
    """The changes of one binder."""

    def __init__(self, node: BinderNode, reader: Reader, rows: Rows) -> None:
        self._node = node
        self._reader = reader
        self._rows = rows

    def complain(self, request: Request, operator: str) -> Response:
        keys = {"service": str, "address": str, "why": str}
        body = self._reader.body(request, keys, {"service", "address"})
        instance = self._reader.which(body)
        if instance not in self._node.core.directory:
            raise self._not_held(instance)
        said = body.get("why", "").encode(errors="replace")[:ERROR_BYTES_MAX]
        complaint = Complaint(instance, trailer=Reason(error=said) if said else None)
        reports = self._node.operate(complaint, _source(request), lambda _: None)  # no answer
        if any(one.event is Event.OVER_COMPLAINTS for one in reports):
            why = "too many complaints from this host at once: this one is dropped; ask again soon"
            raise Problem(HTTPStatus.TOO_MANY_REQUESTS, why, {"Retry-After": "1"})
        _log.info("complaint about %s by %s over HTTP", describe(instance), operator)
        return _json({"held": True})

    def drain(self, request: Request, operator: str) -> Response:
        keys = {"service": str, "address": str, "seconds": int, "why": str, "last": bool}
        body = self._reader.body(request, keys, {"service", "address", "seconds"})
        seconds, why = body["seconds"], body.get("why", "")
        if not 1 <= seconds <= DRAIN_SECONDS_MAX:
            raise bad_request(f"seconds is {seconds}; use 1 to {DRAIN_SECONDS_MAX}")
        line = why.encode(errors="surrogatepass")  # half a character is no text, and so no line
        if len(line) > DRAIN_WHY_BYTES_MAX or not is_line(line):
            raise bad_request(f"why is no line of at most {DRAIN_WHY_BYTES_MAX} bytes; use one")
        instance, last = self._reader.which(body), body.get("last", False)
        return self._drain(request, instance, seconds, line, last, operator)

    def undrain(self, request: Request, operator: str, service: str, address: str) -> Response:
        instance = self._reader.instance(service, address)
        return self._drain(request, instance, 0, b"", False, operator)

    def _drain(
        self,
        request: Request,
        instance: Instance,
        seconds: int,
        why: bytes,
        last: bool,
        operator: str,
    ) -> Response:
        asking_for = DrainQuery(
            question=Question.DRAIN,
            seconds=seconds,
            text=why,
            cursor=None if is_wide(instance) else instance,
            instance=instance if is_wide(instance) else None,
            last=1 if last else None,
        )
        became = self._answer(asking_for, _source(request))
        match became:
            case Drained.DONE | Drained.GONE:
                what = f"drained for {seconds} s" if seconds else "no longer drained"
                _log.info("%s %s by %s over HTTP", describe(instance), what, operator)
                return _json(self._rows.name(instance) | {"seconds": seconds})
            case Drained.NOT_HELD:
                raise self._not_held(instance)
            case Drained.LAST:
                why_not = (
                    f"{describe(instance)} is the last of its service in turn; say last: true to "
                    f"drain it all the same: it is handed out then while there is no other"
                )
                raise Problem(HTTPStatus.CONFLICT, why_not)
            case Drained.TOO_MANY:
                raise Problem(HTTPStatus.CONFLICT, "too many are drained; undrain some")

    def _answer(self, asking_for: DrainQuery, source: Address) -> Drained:
        """What the core says to it, once that is on disk, if there is one."""
        heard: gevent.event.AsyncResult[Frame] = gevent.event.AsyncResult()
        self._node.operate(asking_for, source, heard.set)
        try:
            answer = heard.get(timeout=DISK_LIMIT)
        except gevent.Timeout:
            why = f"that is not on disk after {DISK_LIMIT:g} s, and may be lost; see /v1/status"
            raise Problem(HTTPStatus.SERVICE_UNAVAILABLE, why) from None
        assert isinstance(answer, ServiceList)
        assert isinstance(answer.trailer, TextPart)
        return Drained(answer.trailer.text.decode())

    def _not_held(self, instance: Instance) -> Problem:
        why = f"{describe(instance)} is not held here; /v1/services shows what is"
        return Problem(HTTPStatus.NOT_FOUND, why)


def _source(request: Request) -> Address:
    """Who asks, as the core has it; it says so in the history."""
    return source_ip(request), NO_PORT


def _json(said: dict[str, object]) -> Response:
    return Response(json.dumps(said) + "\n", content_type="application/json")
