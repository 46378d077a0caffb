"""Errors as RFC 9457 has them: what is wrong, why, and what to do instead."""

import json
from http import HTTPStatus

from werkzeug.wrappers import Response

MEDIA_TYPE = "application/problem+json"


class Problem(Exception):
    """A request that is not answered as asked. `detail` says what is wrong, why, and what to use
    instead."""

    def __init__(
        self, status: HTTPStatus, detail: str, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(detail)
        self.status = status
        self.detail = detail
        self.headers = headers or {}

    def response(self) -> Response:
        """It, as it is sent."""
        return Response(
            problem_text(self.status, self.detail),
            status=self.status,
            headers=self.headers,
            content_type=MEDIA_TYPE,
        )


def problem_text(status: HTTPStatus, detail: str) -> str:
    """Its body."""
    return json.dumps({"title": status.phrase, "status": int(status), "detail": detail}) + "\n"


def bad_request(detail: str) -> Problem:
    """Something in the request is not valid."""
    return Problem(HTTPStatus.BAD_REQUEST, detail)


def busy(detail: str) -> Problem:
    """Not now, but soon."""
    return Problem(HTTPStatus.SERVICE_UNAVAILABLE, detail, {"Retry-After": "1"})


def bug() -> Problem:
    """It is ours."""
    why = "a bug in this binder; its log says more"
    return Problem(HTTPStatus.INTERNAL_SERVER_ERROR, why)


def refusal(status: HTTPStatus, detail: str) -> bytes:
    """A whole answer, for whom the application never sees."""
    body = problem_text(status, detail).encode()
    head = f"HTTP/1.1 {int(status)} {status.phrase}\r\nContent-Type: {MEDIA_TYPE}\r\n"
    head += f"Content-Length: {len(body)}\r\nConnection: close\r\nRetry-After: 1\r\n\r\n"
    return head.encode() + body
