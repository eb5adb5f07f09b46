"""The description of this API, made from the table of routes itself, so that it cannot forget one."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from typing import Any

from starlette.responses import Response

from stile import __version__
from stile.edge.call import Call, json_response
from stile.edge.errors import STATUS
from stile.edge.route import Route
from stile.kernel.permission import Permission

_PARAMETER = re.compile(r"\{(\w+)(?::(\w+))?\}")


def describe(routes: Iterable[Route]) -> dict[str, Any]:
    """An OpenAPI 3.1 document of the routes under ``/api/v1``: paths, parameters, permissions and errors."""
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        if route.path.startswith("/api/v1/"):
            path = _PARAMETER.sub(r"{\1}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = _operation(route)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Stile", "version": __version__, "description": "From data to governed production."},
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": {"Error": _error_schema()},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{"token": []}, {}],
    }


def openapi_routes(table: Callable[[], list[Route]]) -> list[Route]:
    """The route that answers with the description of ``table()``."""

    async def answer(call: Call) -> Response:  # noqa: ARG001  every handler takes the call
        return json_response(describe(table()))

    return [Route("GET", "/api/v1/openapi.json", Permission.READ, answer, summary="This description")]


def _operation(route: Route) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": _operation_id(route),
        "summary": route.summary,
        "x-permission": str(route.permission),
        "parameters": [
            {
                "name": name,
                "in": "path",
                "required": True,
                "schema": {"type": "integer" if kind == "int" else "string"},
            }
            for name, kind in _PARAMETER.findall(route.path)
        ],
        "responses": {
            "200": {"description": "The answer", "content": {"application/json": {}}},
            "default": {
                "description": "An error",
                "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
            },
        },
    }
    if route.method in ("POST", "PUT", "PATCH"):
        media = "application/octet-stream" if route.streams else "application/json"
        operation["requestBody"] = {"content": {media: {}}}
    return operation


def _operation_id(route: Route) -> str:
    words = _PARAMETER.sub(r"by_\1", route.path.removeprefix("/api/v1/"))
    return f"{route.method.lower()}_{re.sub('[^a-z0-9]+', '_', words)}"


def _error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {
            "error": {
                "type": "object",
                "properties": {
                    "code": {"type": "string", "enum": sorted(STATUS)},
                    "message": {"type": "string", "description": "What happened, and what to do about it"},
                    "details": {"type": "object"},
                },
                "required": ["code", "message"],
            }
        },
        "required": ["error"],
    }
