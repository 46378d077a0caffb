"""What is answered: a method for each route."""

import json
from functools import partial
from http import HTTPStatus
from typing import Any

from werkzeug.wrappers import Request, Response

from prr.shell.admin.calls import Row
from prr.shell.http.asked import Reader, limit_in
from prr.shell.http.assets import CSS, HTML, JAVASCRIPT, Assets
from prr.shell.http.binder import Binder, Count
from prr.shell.http.exposition import CONTENT_TYPE, Exposition
from prr.shell.http.openapi import openapi
from prr.shell.http.pages import FRESH, KEPT_FOR, Page, Pages, Render
from prr.shell.http.problems import Problem, busy
from prr.shell.http.rows import Rows
from prr.shell.http.shared import Shared
from prr.shell.http.watchers import Watchers
from prr.wire.instance import (
    Instance,
    Service,
    address_of,
    describe,
    describe_address,
    describe_service,
)

JSON = "application/json"


class _NoneHeld(Exception):
    """There is no such page. What is to be said then is asked when the next one may be made."""


class Views:
    """Answers for one binder. Each method has the request, and what its path says."""

    def __init__(
        self,
        binder: Binder,
        reader: Reader,
        rows: Rows,
        watchers: Watchers,
        exposition: Exposition,
    ) -> None:
        self._binder = binder
        self._standing = Shared(binder.standing)
        self._ready = Shared(binder.ready)
        self._watchers = watchers
        self._exposition = exposition
        self._reader = reader
        self._rows = rows
        self._lists = Pages(self._standing, KEPT_FOR)
        self._metrics = Pages(self._standing, FRESH)
        self._assets = Assets()
        self._openapi = json.dumps(openapi(binder.settings.version), indent=1)

    def services(self, request: Request) -> Response:
        limit, cursor = limit_in(request), request.args.get("cursor")
        after = None if cursor is None else self._reader.service(cursor)
        page = self._lists.get(f"/{limit}/{after!r}", partial(self._service_page, limit, after))
        return Response(page, content_type=JSON)

    def instances(self, request: Request, service: str) -> Response:
        limit, cursor = limit_in(request), request.args.get("cursor")
        which = self._reader.service(service)
        after = None if cursor is None else self._reader.instance(service, cursor)
        read = partial(self._instance_page, which, limit, after)
        try:
            page = self._lists.get(f"{which!r}/{limit}/{cursor}", read)
        except _NoneHeld:
            raise _unknown(which, self._standing().is_ready) from None
        return Response(page, content_type=JSON)

    def lookup(self, request: Request, service: str) -> Response:
        which, zone = self._reader.service(service), request.args.get("zone", "")
        found, is_certain = self._binder.lookup(which, zone)
        if found is None:
            raise _unknown(which, is_certain)
        ip, port = address_of(found)
        return _json(self._rows.name(found) | {"ip": ip, "port": port})

    def history(self, request: Request, service: str, address: str) -> Response:
        instance = self._reader.instance(service, address)
        said = self._binder.why(instance)
        if not said["held"] and not said["events"]:
            why = f"no record of {describe(instance)} here; /v1/services/{service} shows what is"
            raise Problem(HTTPStatus.NOT_FOUND, why)
        return _json(said)

    def binders(self, request: Request) -> Response:
        status = self._binder.status()
        keys = ("identity", "digest", "full_digest", "synced", "isolated", "ok", "degraded")
        return _json({key: status[key] for key in (*keys, "peers")})

    def status(self, request: Request) -> Response:
        return _json(self._binder.status())

    def watch(self, request: Request) -> Response | None:
        """Takes the connection away from the server, unless only the headers are asked for."""
        if not self._standing().is_ready:
            raise _not_ready()
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
        self._standing()  # it is the binder that is asked after: one that hangs does not say
        return Response("ok\n", content_type="text/plain")

    def readyz(self, request: Request) -> Response:
        is_ready, reasons = self._ready()
        if not is_ready:
            raise _not_ready()
        return Response(f"{'; '.join(reasons) or 'ok'}\n", content_type="text/plain")

    def metrics(self, request: Request) -> Response:
        page = self._metrics.get("", self._exposition.read)
        return Response(page, content_type=CONTENT_TYPE)

    def openapi(self, request: Request) -> Response:
        return Response(self._openapi, content_type=JSON)

    def _service_page(self, limit: int, after: Service | None) -> Render:
        counts: list[Count] = []
        following = self._binder.services(limit, after, counts.append)

        def render() -> list[bytes]:
            page = Page("services")
            for count in counts:
                page.add(self._rows.count(count))
            return page.end(None if following is None else str(following))

        return render

    def _instance_page(self, service: Service, limit: int, after: Instance | None) -> Render:
        rows: list[Row] = []
        following = self._binder.instances(service, limit, after, rows.append)
        if after is None and not rows:
            raise _NoneHeld

        def render() -> list[bytes]:
            page = Page("instances")
            for row in rows:
                page.add(self._rows.instance(row))
            return page.end(None if following is None else describe_address(address_of(following)))

        return render


def _unknown(service: Service, is_certain: bool) -> Problem:
    if not is_certain:
        return _not_ready()
    why = f"{describe_service(service)} has no instance; /v1/services shows what has"
    return Problem(HTTPStatus.NOT_FOUND, why)


def _not_ready() -> Problem:
    return busy("this binder has not heard its peers or its store yet; ask again soon")


def _json(said: dict[str, Any]) -> Response:
    return Response(json.dumps(said) + "\n", content_type=JSON)
