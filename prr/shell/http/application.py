"""From a request to an answer: who may ask, by which name, and which view answers."""

import logging
from collections.abc import Callable, Iterable
from http import HTTPStatus
from ipaddress import ip_address
from typing import Any, Protocol
from urllib.parse import urlsplit

from werkzeug.exceptions import HTTPException, MethodNotAllowed
from werkzeug.routing import Map, Rule
from werkzeug.wrappers import Request, Response

from prr.shell.http.asked import Who, source_ip
from prr.shell.http.problems import Problem, bug
from prr.shell.http.routes import ROUTES
from prr.shell.http.served import Served

_PROXIED = ("Forwarded", "X-Forwarded-For", "Via")
"""Headers of a request that a proxy passes on: its own address says nothing of who asks."""

_log = logging.getLogger("prr")


class Operators(Protocol):
    """Knows the operators of one binder, as that says itself."""

    needs_token: bool
    """An operator is known by a token; else by where the request comes from."""

    def operator(self, who: Who) -> str | None:
        """What the binder's log calls whoever asks; None: no operator."""


class Application:
    """The WSGI application of one binder."""

    def __init__(
        self,
        views: dict[str, Callable[..., Response | None]],
        operators: Operators,
        hosts: frozenset[str],
        served: Served,
        is_open: bool = True,
    ) -> None:
        """`views` by name, of all ROUTES; those that change something are called with who it is as
        well. `hosts` are the names of this host, beside its addresses. `is_open`: anybody may read;
        else only operators."""
        self._views = views
        self._operators = operators
        self._hosts = hosts | {"localhost"}
        self._served = served
        self._is_open = is_open
        rules = [Rule(one.rule, methods=[one.method], endpoint=one) for one in ROUTES]
        self._map = Map(rules, strict_slashes=False, merge_slashes=False)

    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., Any]
    ) -> Iterable[bytes]:
        try:
            response = self._respond(Request(environ))
        except Problem as problem:
            response = problem.response()
        except HTTPException as error:
            response = _of_router(error).response()
        except Exception:
            _log.exception("bug in the HTTP server: %s", environ.get("PATH_INFO"))
            response = bug().response()
        if response is None:  # the connection is somebody else's now
            self._served.answers[200] += 1
            return []
        self._served.answers[response.status_code] += 1
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers["Cache-Control"] = "no-store"
        return response(environ, start_response)

    def _respond(self, request: Request) -> Response | None:
        route, arguments = self._map.bind_to_environ(request.environ).match()
        self._check_host(request)
        if route.is_for_operators or not (self._is_open or route.says_nothing):
            operator = self._operator(request)
            if route.method != "GET":
                self._check_origin(request)
                return self._views[route.view](request, operator, **arguments)
        return self._views[route.view](request, **arguments)

    def _check_host(self, request: Request) -> None:
        """A page whose own name is made to mean this host would be of one origin with it: only an
        address, or a name that is known to be this host's, is answered."""
        host = request.headers.get("Host", "localhost")
        name = _name_in(host)
        if name in self._hosts or _is_address(name):
            return
        why = f"this host is not known as {host!r}; use its address, or --http with that name"
        raise Problem(HTTPStatus.MISDIRECTED_REQUEST, why)

    def _check_origin(self, request: Request) -> None:
        """A page of another origin may not change anything, whoever looks at it."""
        origin = request.headers.get("Origin")
        if origin is not None and origin.partition("://")[2] != request.headers.get("Host"):
            why = f"a page of {origin} may change nothing here; use a page of this binder's"
            raise Problem(HTTPStatus.FORBIDDEN, why)

    def _operator(self, request: Request) -> Who:
        kind, _, token = request.headers.get("Authorization", "").partition(" ")
        is_proxied = any(header in request.headers for header in _PROXIED)
        source = "" if is_proxied else source_ip(request)
        bearer = token.strip() if kind.lower() == "bearer" else None
        who = Who(bearer, source)
        if self._operators.operator(who) is not None:
            return who
        if self._operators.needs_token:
            why = "an operator's credential is needed; send it as Authorization: Bearer TOKEN"
            raise Problem(HTTPStatus.UNAUTHORIZED, why, {"WWW-Authenticate": "Bearer"})
        why = "that is for the binder's own host only, as long as there are no keys; ask there"
        raise Problem(HTTPStatus.FORBIDDEN, why)


def _of_router(error: HTTPException) -> Problem:
    status = HTTPStatus(error.code or 500)
    if isinstance(error, MethodNotAllowed):
        allowed = ", ".join(sorted(error.valid_methods or ()))
        return Problem(status, f"use {allowed}", {"Allow": allowed})
    if status is HTTPStatus.NOT_FOUND:
        return Problem(status, "there is nothing of that name; /openapi.json says what there is")
    return Problem(status, error.description or status.phrase)


def _name_in(host: str) -> str:
    """The name or address in HOST or HOST:PORT, in lower case; "" if that is not valid."""
    if set(host) & set("/@?#\\ "):
        return ""
    try:
        return (urlsplit(f"//{host}").hostname or "").rstrip(".")
    except ValueError:  # brackets with no IPv6 address in them
        return ""


def _is_address(name: str) -> bool:
    try:
        ip_address(name)
    except ValueError:
        return False
    return True
