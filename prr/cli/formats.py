"""An address in the form that another program wants."""

import re

from prr.config import BadInput
from prr.wire.instance import Address, describe_address

URL = "url:"
"""Before a scheme: `url:http` is short for `http://{}`."""

_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")  # RFC 3986, 3.1
_FIELD = re.compile(r"\{(\w*)\}")


def fill_in(text: str, address: Address) -> str:
    """`text` with `{}` replaced by ip:port, `{ip}` and `{port}` by one of both, and nothing else:
    there may be braces of another meaning in it."""
    values = {"": describe_address(address), "ip": address[0], "port": str(address[1])}
    return _FIELD.sub(lambda found: values.get(found[1], found[0]), text)


def check_format(text: str) -> str:
    """A format as `fill_in` takes it, from one of the command line. Raises BadInput where that has
    nothing to fill in, or something unknown."""
    if text.startswith(URL):
        scheme = text.removeprefix(URL)
        if not _SCHEME.fullmatch(scheme):
            raise BadInput(f"{text!r} is not a URL's scheme; use for example url:http")
        return f"{scheme}://{{}}"
    fields = _FIELD.findall(text)
    if not fields or set(fields) - {"", "ip", "port"}:
        raise BadInput(f"{text!r} is not a format; use {{ip}}, {{port}} or {{}} in it, or url:http")
    return text
