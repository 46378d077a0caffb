"""The page for people: three files that are served as they are."""

from pathlib import Path

from werkzeug.wrappers import Response

FOLDER = Path(__file__).parent / "page"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; connect-src 'self'; "
    "img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Nothing but these files runs or is loaded, and no other page frames them: what a server can write
is text, even if the script had a bug."""

HTML, CSS, JAVASCRIPT = "text/html", "text/css", "text/javascript"


class Assets:
    """The files, read once."""

    def __init__(self) -> None:
        self._files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}

    def response(self, name: str, media_type: str) -> Response:
        """A file, as it is sent."""
        response = Response(self._files[name], content_type=f"{media_type}; charset=utf-8")
        response.headers["Content-Security-Policy"] = CONTENT_SECURITY_POLICY
        response.headers["Referrer-Policy"] = "no-referrer"
        return response
