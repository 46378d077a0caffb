"""What is answered: a method for each route."""

import json
from collections.abc import Iterator
from functools import partial
from http import HTTPStatus
from itertools import islice
from typing import Any

from werkzeug.wrappers import Request, Response

from prr.shell.binder_node import BinderNode
from prr.shell.http.asked import Reader, limit_in
from prr.shell.http.assets import CSS, HTML, JAVASCRIPT, Assets
from prr.shell.http.exposition import CONTENT_TYPE, Exposition
from prr.shell.http.openapi import openapi
from prr.shell.http.pages import Page, Pages
from prr.shell.http.problems import Problem, busy
from prr.shell.http.rows import Rows
from prr.shell.http.turns import Turns
from prr.shell.http.watchers import Watchers
from prr.wire.instance import (
    Instance,
    Service,
    address_of,
    describe,
    describe_address,
    describe_service,
)
from prr.wire.questions import Asked

JSON = "application/json"

LOOKS = 8
"""Instances and buckets looked at between two turns of others, 20 us."""


class Views:
    """Answers for one binder. Each method has the request, and what its path says."""

    def __init__(
        self,
        node: BinderNode,
        reader: Reader,
        rows: Rows,
        watchers: Watchers,
        exposition: Exposition,
        turns: Turns,
        version: str,
    ) -> None:
        """`version` is that of the program."""
        self._node = node
        self._core = node.core
        self._directory = node.core.directory
        self._watchers = watchers
        self._exposition = exposition
        self._turns = turns
        self._reader = reader
        self._rows = rows
        feed = self._directory.feed
        assert feed is not None
        self._pages = Pages(lambda: feed.last, turns)
        self._assets = Assets()
        self._openapi = json.dumps(openapi(version), indent=1)

    def services(self, request: Request) -> Response:
        limit, cursor = limit_in(request), request.args.get("cursor")
        after = None if cursor is None else self._reader.service(cursor)
        page = self._pages.get(f"/{limit}/{after!r}", partial(self._service_page, limit, after))
        return Response(page, content_type=JSON)

    def instances(self, request: Request, service: str) -> Response:
        limit, cursor = limit_in(request), request.args.get("cursor")
        which = self._reader.service(service)
        after = None if cursor is None else self._reader.instance(service, cursor)
        if after is None and not any(self._counts(which)):
            raise self._unknown(which)
        page = self._pages.get(
            f"{which!r}/{limit}/{cursor}", partial(self._instance_page, which, limit, after)
        )
        return Response(page, content_type=JSON)

    def lookup(self, request: Request, service: str) -> Response:
        which, zone = self._reader.service(service), request.args.get("zone", "")
        found = self._node.look_up(Asked(which, zone, wide=True))
        if found is None:
            raise self._unknown(which)
        ip, port = address_of(found)
        return _json(self._rows.name(found) | {"ip": ip, "port": port})

    def history(self, request: Request, service: str, address: str) -> Response:
        instance = self._reader.instance(service, address)
        said = self._node.why(instance)
        if not said["held"] and not said["events"]:
            why = f"no record of {describe(instance)} here; /v1/services/{service} shows what is"
            raise Problem(HTTPStatus.NOT_FOUND, why)
        return _json(said)

    def binders(self, request: Request) -> Response:
        status = self._node.status()
        keys = ("identity", "digest", "full_digest", "synced", "isolated", "ok", "degraded")
        return _json({key: status[key] for key in (*keys, "peers")})

    def status(self, request: Request) -> Response:
        return _json(self._node.status())

    def watch(self, request: Request) -> Response | None:
        """Takes the connection away from the server, unless only the headers are asked for."""
        if not self._core.is_ready:
            raise busy("this binder has not heard its peers or its store yet; ask again soon")
        service = request.args.get("service")
        which = None if service is None else self._reader.service(service)
        if request.method == "HEAD":
            return Response(content_type="text/event-stream")
        last = request.headers.get("Last-Event-ID", "")
        try:
            self._watchers.join(request.environ["prr.connection"], which, last)
        except OSError as error:
            raise busy(f"there is no room for one more: {error.strerror}") from error
        return None

    def page(self, request: Request) -> Response:
        return self._assets.response("index.html", HTML)

    def style(self, request: Request) -> Response:
        return self._assets.response("page.css", CSS)

    def script(self, request: Request) -> Response:
        return self._assets.response("page.js", JAVASCRIPT)

    def healthz(self, request: Request) -> Response:
        return Response("ok\n", content_type="text/plain")

    def readyz(self, request: Request) -> Response:
        if not self._core.is_ready:
            raise busy("this binder has not heard its peers or its store yet")
        reasons = self._node.status()["degraded"]
        return Response(f"{'; '.join(reasons) or 'ok'}\n", content_type="text/plain")

    def metrics(self, request: Request) -> Response:
        page = self._pages.get("metrics", self._exposition.text)
        return Response(page, content_type=CONTENT_TYPE)

    def openapi(self, request: Request) -> Response:
        return Response(self._openapi, content_type=JSON)

    def _counts(self, service: Service) -> tuple[int, int, int]:
        return *self._directory.count(service), self._directory.count_drained(service)

    def _unknown(self, service: Service) -> Problem:
        if not self._core.is_ready:
            return busy("this binder has not heard its peers or its store yet; ask again soon")
        why = f"{describe_service(service)} has no instance; /v1/services shows what has"
        return Problem(HTTPStatus.NOT_FOUND, why)

    def _service_page(self, limit: int, after: Service | None) -> list[bytes]:
        page = Page("services")
        last, following = after, None
        for one in islice(self._turns.in_slices(self._services(after)), limit + 1):
            if len(page) == limit:
                following = str(last)
            else:
                page.add(self._rows.count(one))
                last = one
        return page.end(following)

    def _services(self, after: Service | None) -> Iterator[Service]:
        """The services from behind one of them, looked up a few at a time: others have their turns
        meanwhile."""
        while found := self._directory.services(LOOKS, after):
            yield from found
            after = found[-1]

    def _instance_page(self, service: Service, limit: int, after: Instance | None) -> list[bytes]:
        page = Page("instances")
        found = (
            one for one in self._turns.in_slices(self._walk(service, after)) if one is not None
        )
        last, following = after, None
        for one in islice(found, limit + 1):
            if len(page) == limit and last is not None:
                following = describe_address(address_of(last))
            elif one in self._directory:  # still: others have their turns meanwhile
                page.add(self._rows.instance(one))
                last = one
        return page.end(following)

    def _walk(self, service: Service, after: Instance | None) -> Iterator[Instance | None]:
        """The instances of a service behind one of them, in a fixed order, and None now and then:
        among many of other services it may take a while to come upon one."""
        cursor, offset = after or b"", 0
        while True:
            found, following = self._directory.page_of(service, cursor, offset, LOOKS)
            yield from found
            yield None
            if following is None:
                return
            cursor, offset = b"", following


def _json(said: dict[str, Any]) -> Response:
    return Response(json.dumps(said) + "\n", content_type=JSON)
