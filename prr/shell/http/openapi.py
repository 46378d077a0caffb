"""openapi.json: the table of routes, as OpenAPI 3.1 writes it."""

import re
from http import HTTPStatus
from typing import Any

from prr.shell.http.problems import MEDIA_TYPE
from prr.shell.http.routes import ROUTES, Parameter, Route
from prr.shell.http.schemas import SCHEMAS

ALWAYS = (400, 404, 405, 421, 431, 500, 503)
"""What any request may be answered with: it is not valid, nothing is there, it comes by a name that
is not this host's, it is too long, there is a bug, or no room."""

WITHOUT_TOKEN = 401
"""Where reading is for operators only (--require-lookup), too."""

NO_OPERATOR = 403


def openapi(version: str) -> dict[str, Any]:
    """The document; `version` is that of the program."""
    paths: dict[str, dict[str, Any]] = {}
    for route in ROUTES:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "prr binder", "version": version},
        "paths": paths,
        "components": {
            "schemas": SCHEMAS,
            "securitySchemes": {"operator": {"type": "http", "scheme": "bearer"}},
        },
    }


def _operation(route: Route) -> dict[str, Any]:
    answers = {"200": {"description": "as asked", "content": _content(route)}}
    answers |= {
        str(status): {
            "description": HTTPStatus(status).phrase,
            "content": {MEDIA_TYPE: {"schema": _named("Problem")}},
        }
        for status in _refusals(route)
    }
    named = re.findall(r"{(\w+)}", route.path)
    operation: dict[str, Any] = {
        "operationId": route.view,
        "summary": route.summary,
        "parameters": [*map(_in_path, named), *map(_in_query, route.parameters)],
        "responses": answers,
    }
    if route.body:
        content = {"application/json": {"schema": _named(route.body)}}
        operation["requestBody"] = {"required": True, "content": content}
    if not route.says_nothing:
        operation["security"] = [{"operator": []}, {}]
    return operation


def _refusals(route: Route) -> list[int]:
    told = {*ALWAYS, *route.refusals}
    if not route.says_nothing:
        told.add(WITHOUT_TOKEN)
    if route.is_for_operators:
        told.add(NO_OPERATOR)
    return sorted(told)


def _content(route: Route) -> dict[str, Any]:
    if route.answer:
        return {"application/json": {"schema": _named(route.answer)}}
    return {route.media_type: {"schema": {"type": "string"}}}


def _named(schema: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{schema}"}


def _in_path(name: str) -> dict[str, Any]:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string"}}


def _in_query(parameter: Parameter) -> dict[str, Any]:
    schema = {"type": parameter.form}
    said = {"name": parameter.name, "in": "query", "description": parameter.meaning}
    return said | {"schema": schema}
