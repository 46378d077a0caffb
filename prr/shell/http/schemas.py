"""What is answered, and what is sent along, as JSON Schema says it."""

from typing import Any

TEXT = {"type": "string"}
WHOLE = {"type": "integer"}
NUMBER = {"type": "number"}
TRUE_OR_FALSE = {"type": "boolean"}
MAYBE_TEXT = {"type": ["string", "null"]}
MAYBE_WHOLE = {"type": ["integer", "null"]}
MAYBE_NUMBER = {"type": ["number", "null"]}


def _all_of(said: dict[str, Any], optional: tuple[str, ...] = ()) -> dict[str, Any]:
    """An object with these keys, and no others."""
    required = [key for key in said if key not in optional]
    return {
        "type": "object",
        "properties": said,
        "required": required,
        "additionalProperties": False,
    }


def _list_of(one: dict[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": one}


def _page_of(key: str, one: str) -> dict[str, Any]:
    rows = _list_of({"$ref": f"#/components/schemas/{one}"})
    return _all_of({key: rows, "next": MAYBE_TEXT})


_SERVICE = {"service": TEXT, "type": MAYBE_WHOLE, "name": MAYBE_TEXT}
_NAMED = _SERVICE | {"address": TEXT}
_WHICH = {
    "service": {"type": "string", "description": "0 to 255, or a name"},
    "address": {"type": "string", "description": "IP:PORT"},
}
_STATE = {"enum": ["up", "suspect", "disputed", "drained", "gone"]}

SCHEMAS: dict[str, dict[str, Any]] = {
    "Problem": _all_of({"title": TEXT, "status": WHOLE, "detail": TEXT}),
    "Service": _all_of(_SERVICE | dict.fromkeys(("up", "drained", "suspect"), WHOLE)),
    "ServicePage": _page_of("services", "Service"),
    "Instance": _all_of(
        _NAMED
        | {"state": _STATE, "drained_until": MAYBE_WHOLE, "drained_why": MAYBE_TEXT}
        | {"owner": MAYBE_TEXT, "is_owner": TRUE_OR_FALSE, "owner_address": MAYBE_TEXT}
        | {"lease_s": MAYBE_NUMBER, "heard_s_ago": MAYBE_NUMBER}
        | {"weight": WHOLE, "zone": MAYBE_TEXT}
        | {"tags": {"type": "object", "additionalProperties": TEXT}}
    ),
    "InstancePage": _page_of("instances", "Instance"),
    "Found": _all_of(_NAMED | {"ip": TEXT, "port": WHOLE}),
    "History": {
        "type": "object",
        "properties": {
            "held": TRUE_OR_FALSE,
            "suspect": TRUE_OR_FALSE,
            "events": _list_of(_all_of({"at": NUMBER, "event": TEXT, "why": TEXT})),
        },
        "required": ["held", "suspect", "events", "owner", "lease_s"],
    },
    "Peer": _all_of(
        {"address": TEXT, "kind": TEXT, "state": TEXT, "identity": MAYBE_TEXT}
        | {"heard_s_ago": MAYBE_NUMBER, "round_trip_ms": MAYBE_NUMBER, "mended": WHOLE}
        | {"agrees": {"type": ["boolean", "null"]}}
    ),
    "Binders": _all_of(
        {"identity": TEXT, "digest": TEXT, "full_digest": TEXT, "synced": TRUE_OR_FALSE}
        | {"isolated": MAYBE_TEXT, "ok": TRUE_OR_FALSE, "degraded": _list_of(TEXT)}
        | {"peers": _list_of({"$ref": "#/components/schemas/Peer"})}
    ),
    "Status": {
        "type": "object",
        "properties": {"ok": TRUE_OR_FALSE, "degraded": _list_of(TEXT), "instances": WHOLE},
        "required": ["ok", "degraded", "identity", "instances", "peers", "counters", "uptime_s"],
    },
    "Complaint": _all_of(_WHICH | {"why": TEXT}, optional=("why",)),
    "Complained": _all_of({"held": TRUE_OR_FALSE}),
    "Drain": _all_of(
        _WHICH | {"seconds": WHOLE, "why": TEXT, "last": TRUE_OR_FALSE}, optional=("why", "last")
    ),
    "Drained": _all_of(_NAMED | {"seconds": WHOLE}),
    "Change": _all_of(_NAMED | {"state": _STATE, "event": TEXT, "why": TEXT, "at": NUMBER}),
    "OpenAPI": {"type": "object", "required": ["openapi", "paths"]},
}
