"""What stands in a request, made sure of. Each error is a Problem that says what to use."""

import json
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any, NamedTuple

from werkzeug.wrappers import Request

from prr.shell.http.problems import Problem, bad_request
from prr.text import parse_address, parse_service
from prr.wire.instance import Instance, Service, canonical, make_instance

ROWS_MAX = 1000
"""Rows of a page: 10 ms of work, and 3 of the binder's."""

ROWS_USUAL = 100

DIGITS_MAX = 18
"""Of a number in a request: one of so many is read at once, and is more than anything counts to."""

BODY_BYTES_MAX = 16384
"""What is sent along: a name, an address and a line of text have room twenty times."""


class Who(NamedTuple):
    """Who asks, for the binder to judge."""

    token: str | None  # the bearer token of the request, if it has one
    source: str  # the address that it comes from, "" where a proxy stands between


class Reader:
    """Reads requests; `numbers` are what names stand for."""

    def __init__(self, numbers: Mapping[str, int]) -> None:
        self._numbers = numbers

    def service(self, text: str) -> Service:
        """A service, by number or name."""
        try:
            return parse_service(text, self._numbers)
        except ValueError as error:
            raise bad_request(str(error)) from error

    def instance(self, service: str, address: str) -> Instance:
        """An instance, by service and IP:PORT."""
        number_or_name = self.service(service)
        try:
            return make_instance(number_or_name, parse_address(address))
        except ValueError as error:
            raise bad_request(str(error)) from error

    def body(self, request: Request, keys: Mapping[str, type], needed: set[str]) -> dict[str, Any]:
        """The JSON object that is sent along: `keys` and what each is, of which some are `needed`.

        A page of somebody else's cannot have a browser send this type without asking first.
        """
        if request.mimetype != "application/json":
            why = f"the body is {request.mimetype or 'of no type'}; send JSON, and Content-Type: "
            raise Problem(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, why + "application/json")
        if "Transfer-Encoding" in request.headers:
            why = "the body comes in chunks, which are not read; send it whole, with Content-Length"
            raise Problem(HTTPStatus.LENGTH_REQUIRED, why)
        if (request.content_length or 0) > BODY_BYTES_MAX:
            why = f"the body has {request.content_length} bytes; send {BODY_BYTES_MAX} at most"
            raise Problem(HTTPStatus.REQUEST_ENTITY_TOO_LARGE, why)
        try:
            body = json.loads(_sent_along(request))
        except (ValueError, RecursionError) as error:
            raise bad_request(f"the body is not valid JSON: {error}; send an object") from error
        if not isinstance(body, dict):
            raise bad_request("the body is not an object; send one, as openapi.json says")
        if odd := [key for key in body if key not in keys]:
            raise bad_request(f"the body has no key {odd[0]!r}; use {', '.join(keys)}")
        if missing := sorted(needed - body.keys()):
            raise bad_request(f"the body lacks {', '.join(missing)}; see openapi.json")
        for key, value in body.items():
            if type(value) is not keys[key]:
                raise bad_request(f"{key} is {value!r}; use a value of type {keys[key].__name__}")
        return body

    def which(self, body: dict[str, Any]) -> Instance:
        """The instance that a body names."""
        return self.instance(body["service"], body["address"])


def _sent_along(request: Request) -> bytes:
    try:
        return request.get_data()
    except OSError as error:  # whoever hangs up in the middle is no bug
        raise bad_request("the body ends too early; send as much as Content-Length says") from error


def source_ip(request: Request) -> str:
    """Which address a request comes from, "" if that is not known. A socket of both families shows
    one of IPv4 as one of IPv6."""
    return canonical(request.remote_addr) if request.remote_addr else ""


def limit_in(request: Request) -> int:
    """How many rows are wanted."""
    text = request.args.get("limit", str(ROWS_USUAL))
    limit = number_in(text)
    if limit is None or not 1 <= limit <= ROWS_MAX:
        raise bad_request(f"limit is {text!r}; use a number from 1 to {ROWS_MAX}")
    return limit


def number_in(text: str) -> int | None:
    """A number of decimal digits and nothing else, DIGITS_MAX at most; None if it is none."""
    is_number = text.isascii() and text.isdecimal() and len(text) <= DIGITS_MAX
    return int(text) if is_number else None
