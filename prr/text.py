"""Parses the values of settings. Every error says what to use instead."""

import re
import shlex
from collections.abc import Mapping
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path
from urllib.parse import urlsplit

from prr.config import ANY_IPV4, ANY_IPV6, CheckKind, CheckSpec, HostPort, Require, WireForm
from prr.trust.credential import Network
from prr.wire.instance import NAME_BYTES_MAX, Service, canonical, is_name, is_usable

PAUSE_MIN = 0.01
"""Seconds: who checks more often than that does nothing else."""

QUESTION_BYTES_MAX = 512
"""What `udp:` may send: a datagram that no path has to cut (RFC 1035, 2.3.4)."""

DOMAIN_BYTES_MAX = 128
"""Of a domain of DNS: the longest name in it has 255 bytes (RFC 1035, 2.3.4)."""

_LABEL = r"[A-Za-z0-9_]([A-Za-z0-9_-]{0,62})"
_NAME = re.compile(rf"(?=.{{1,253}}$){_LABEL}(\.{_LABEL})*\.?")


def parse_host_port(text: str, any_port: bool = False) -> HostPort:
    """HOST:PORT; HOST an IPv4 address, an IPv6 one in brackets, or a name, PORT from 1 to 65535
    (with `any_port` from 0).

    Raises ValueError.
    """
    host, colon, port_text = text.rpartition(":")
    if not colon or not host:
        raise ValueError(
            f"{text!r} is not a valid HOST:PORT; use for example 127.0.0.1:2222 or [::1]:2222"
        )
    if host.startswith("[") and host.endswith("]"):
        host = _parse_ipv6(host[1:-1])
    elif ":" in host:
        raise ValueError(
            f"{text!r} is not a valid HOST:PORT; use brackets around an IPv6 address, as in "
            f"[2001:db8::1]:2222"
        )
    else:
        _check_host(host)
    lowest = 0 if any_port else 1
    if not (port_text.isascii() and port_text.isdecimal() and lowest <= int(port_text) <= 65535):
        raise ValueError(f"{text!r} is not a valid HOST:PORT; use a port from {lowest} to 65535")
    return host, int(port_text)


def _parse_ipv6(host: str) -> str:
    """As it is written everywhere else; one that is mapped from IPv4 is that."""
    try:
        ip = canonical(IPv6Address(host).compressed)
    except ValueError as error:
        raise ValueError(
            f"{host!r} is not a valid IPv6 address; use one such as 2001:db8::1, and no interface"
        ) from error
    if ip != ANY_IPV6 and not is_usable(ip):
        raise ValueError(
            f"{host!r} means something else on every link, or many hosts; use an IPv6 address that "
            f"is one host's everywhere, as fd00::1 or 2001:db8::1"
        )
    return ip


def _check_host(host: str) -> None:
    if re.fullmatch(r"[0-9.]+", host):
        try:
            IPv4Address(host)
        except ValueError as error:
            raise ValueError(
                f"{host!r} is not a valid IPv4 address; use four numbers from 0 to 255, or a name"
            ) from error
    elif not _NAME.fullmatch(host):
        raise ValueError(f"{host!r} is neither an IP address nor a host name; use one of them")


def parse_listen(text: str) -> HostPort:
    """HOST:PORT to listen on; port 0 takes any free one. Raises ValueError."""
    return parse_host_port(text, any_port=True)


def parse_peer(text: str) -> HostPort:
    """HOST:PORT of another node. Raises ValueError."""
    host, port = parse_host_port(text)
    if host in (ANY_IPV4, ANY_IPV6):
        raise ValueError(
            f"{text!r} is an address to listen on, not one to send to; use the host's address"
        )
    return host, port


def parse_address(text: str) -> HostPort:
    """IP:PORT of an instance, no name. Raises ValueError."""
    host, port = parse_peer(text)
    if ":" not in host and not re.fullmatch(r"[0-9.]+", host):
        raise ValueError(f"{text!r} is a name; use the IP address, as `list` prints it")
    return host, port


def parse_network(text: str) -> Network:
    """A network, such as 10.0.0.0/24 or 2001:db8::/48, or a single address. Raises ValueError."""
    try:
        return ip_network(text)
    except ValueError as error:
        raise ValueError(
            f"{text!r} is not a network; use one such as 10.0.0.0/24, whose bits behind those of "
            f"the network are 0, or an address"
        ) from error


def parse_service(text: str, numbers: Mapping[str, int]) -> Service:
    """A service: a number from 0 to 255, one of the names that stand for `numbers`, or any other
    name. Raises ValueError."""
    if text in numbers:
        return numbers[text]
    if text.isascii() and text.isdecimal():
        if len(text) <= 9 and int(text) <= 255:
            return int(text)
        raise ValueError(f"{text!r} is not a service; use a number from 0 to 255, or a name")
    if text.isascii() and is_name(text.encode()):
        return text
    raise ValueError(
        f"{text!r} is not a service; use a number from 0 to 255, or a name of 1 to "
        f"{NAME_BYTES_MAX} characters: a to z, 0 to 9, and hyphens inside, such as billing-eu"
    )


def parse_port(text: str) -> int:
    """A port, from 1 to 65535. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and len(text) <= 5 and 1 <= int(text) <= 65535):
        raise ValueError(f"{text!r} is not a valid port; use a number from 1 to 65535")
    return int(text)


def parse_switch(text: str) -> bool:
    """Whether something is switched on. Raises ValueError."""
    if text not in ("true", "false"):
        raise ValueError(f"{text!r} is neither true nor false; use one of them")
    return text == "true"


def parse_pause(text: str) -> float:
    """Seconds that may not be none at all, from 0.01 to a day. Raises ValueError."""
    seconds = parse_seconds(text)
    if seconds < PAUSE_MIN:
        raise ValueError(f"{text!r} is too short; use seconds from {PAUSE_MIN:g} up")
    return seconds


def parse_word(text: str) -> str:
    """A word of a command. Raises ValueError."""
    if "\0" in text:
        raise ValueError(f"{text!r} cannot be a word of a command; leave the zero out")
    return text


def parse_check(text: str) -> CheckSpec:
    """How to see whether a program works. Raises ValueError."""
    kind, _, rest = text.partition(":")
    match kind:
        case "tcp" | "none" if text == kind:
            return CheckSpec(CheckKind(kind), text)
        case "http" | "https":
            _check_url(text)
            return CheckSpec(CheckKind.HTTP, text)
        case "exec" if split_words(rest):
            return CheckSpec(CheckKind.EXEC, text)
        case "udp" if re.fullmatch(f"([0-9A-Fa-f]{{2}}){{1,{QUESTION_BYTES_MAX}}}", rest):
            return CheckSpec(CheckKind.UDP, text)
    raise ValueError(
        f"{text!r} is not a check; use tcp, none, a URL such as http://127.0.0.1:8080/health, "
        f"exec:COMMAND as in 'exec:./probe --fast', or udp:HEX as in udp:0b"
    )


def _check_url(text: str) -> None:
    try:
        parts = urlsplit(text)
        host, _ = parts.hostname, parts.port  # reading the port checks it
    except ValueError as error:
        raise ValueError(f"{text!r} is not a valid URL: {error}") from error
    if not host or parts.username is not None or not (text.isascii() and text.isprintable()):
        raise ValueError(
            f"{text!r} is not a URL to check; use one such as http://127.0.0.1:8080/health"
        )
    if ":" in host:
        _parse_ipv6(host)
    else:
        _check_host(host)


def split_words(command: str) -> list[str]:
    """The words of a command, as a shell quotes them. Raises ValueError."""
    try:
        return shlex.split(command)
    except ValueError as error:
        raise ValueError(f"{command!r} is not a command: {error}; close what is quoted") from error


def parse_wire(text: str) -> WireForm:
    """The form of a lookup's answer. Raises ValueError."""
    try:
        return WireForm(text)
    except ValueError as error:
        forms = " or ".join(WireForm)
        raise ValueError(f"{text!r} is not a wire form; use {forms}") from error


def parse_require(text: str) -> Require:
    """Whom a binder believes. Raises ValueError."""
    try:
        return Require(text)
    except ValueError as error:
        raise ValueError(f"{text!r} is not one of off, log and on; use one of them") from error


def parse_message(text: str) -> str:
    """A request to a service, at most 255 bytes as UTF-8. Raises ValueError."""
    size = len(text.encode())
    if size > 255:
        raise ValueError(
            f"the message has {size} bytes; use at most 255, which is what a frame holds"
        )
    return text


def parse_count(text: str) -> int:
    """How many times: from 1 up. Raises ValueError."""
    if not (text.isascii() and text.isdecimal() and int(text) >= 1):
        raise ValueError(f"{text!r} is not a valid count; use a whole number from 1 up")
    return int(text)


def parse_lease(text: str) -> float:
    """A lease in seconds, from 1 to a day. Raises ValueError."""
    seconds = parse_seconds(text)
    if seconds < 1:
        raise ValueError(f"{text!r} is too short for a lease; use seconds from 1 up")
    return seconds


def parse_directory(text: str) -> Path:
    """A directory's path. Raises ValueError."""
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a directory; use a path such as /var/lib/prr/main")
    return Path(text)


def parse_file(text: str) -> Path:
    """A file's path. Raises ValueError."""
    if not text or "\0" in text:
        raise ValueError(f"{text!r} is not a file; use a path such as /etc/prr/ca.pem")
    return Path(text)


def parse_ttl(text: str) -> int:
    """For how long, in seconds, an answer of DNS may be kept: 0 or 1. Raises ValueError."""
    if text not in ("0", "1"):
        raise ValueError(
            f"{text!r} is not a TTL; use 0 or 1, since what is kept longer names the dead"
        )
    return int(text)


def parse_domain(text: str) -> str:
    """A domain, in lower case and with the dot at its end. Raises ValueError."""
    domain = text.lower().removesuffix(".")
    if len(domain) > DOMAIN_BYTES_MAX or not _NAME.fullmatch(domain):
        raise ValueError(
            f"{text!r} is not a domain; use labels of a to z, 0 to 9 and hyphens, "
            f"{DOMAIN_BYTES_MAX} characters in all, such as prr or prr.internal"
        )
    return f"{domain}."


def parse_seconds(text: str) -> float:
    """A duration in seconds, from 0 to a day. Raises ValueError."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= 86400:
        raise ValueError(
            f"{text!r} is not a valid duration; use seconds from 0 to 86400, such as 0.5"
        )
    return seconds
