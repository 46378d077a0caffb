"""What is set for the particulars of a server. Every error says what to use instead."""

from prr.config import CheckConfig, ServerConfig
from prr.wire.instance import NAME_BYTES_MAX, is_name
from prr.wire.particulars import (
    TAGS_BYTES_MAX,
    WEIGHT_MAX,
    Particulars,
    encode_particulars,
    is_tag,
)


def parse_weight(text: str) -> int:
    """A weight, from 1 to 16. Raises ValueError."""
    if text.isascii() and text.isdecimal() and len(text) <= 2 and 1 <= int(text) <= WEIGHT_MAX:
        return int(text)
    raise ValueError(f"{text!r} is not a weight; use a whole number from 1 to {WEIGHT_MAX}")


def parse_zone(text: str) -> str:
    """The label of a zone. Raises ValueError."""
    if text.isascii() and is_name(text.encode()):
        return text
    raise ValueError(
        f"{text!r} is not a zone; use 1 to {NAME_BYTES_MAX} characters: a to z, 0 to 9, and "
        "hyphens inside, such as eu-west-1"
    )


def parse_tag(text: str) -> tuple[str, str]:
    """KEY=VALUE. Raises ValueError."""
    if not is_tag(text):
        raise ValueError(f"{text!r} is not a tag; use KEY=VALUE, without control characters")
    key, _, value = text.partition("=")
    return key, value


def check_tags(tags: list[tuple[str, str]]) -> None:
    """All tags of a server together. Raises ValueError."""
    keys = [key for key, _ in tags]
    if twice := next((key for key in keys if keys.count(key) > 1), None):
        raise ValueError(f"tag {twice!r} comes twice; use each key once")
    size = sum(len(f"{key}={value}".encode()) for key, value in tags)
    if size > TAGS_BYTES_MAX:
        raise ValueError(f"the tags have {size} bytes; use {TAGS_BYTES_MAX} at most, all together")


def particulars_of(config: ServerConfig | CheckConfig) -> bytes:
    """What is set, encoded."""
    return encode_particulars(Particulars(config.weight, config.zone, dict(config.tags)))
