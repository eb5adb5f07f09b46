"""Errors as HTTP answers: one JSON envelope, and the status of each kind of error."""

from __future__ import annotations

from starlette.responses import Response

from stile.edge.call import json_response
from stile.kernel.errors import StileError

STATUS: dict[str, int] = {
    "invalid": 400,
    "contract_broken": 422,
    "too_slow": 400,
    "unauthenticated": 401,
    "forbidden": 403,
    "guarded": 403,
    "missing": 404,
    "exists": 409,
    "conflict": 409,
    "too_large": 413,
    "too_many": 429,
    "unavailable": 503,
    "storage_full": 507,
    "missing_extra": 501,
    "corrupt": 500,
    "internal_error": 500,
}
"""HTTP status by error code."""


def error_response(error: StileError) -> Response:
    """``{"error": {"code", "message", "details"}}`` with the status of its code."""
    body = {"error": {"code": error.code, "message": error.message, "details": error.details}}
    response = json_response(body, STATUS.get(error.code, 500))
    if error.code == "unauthenticated":
        response.headers["WWW-Authenticate"] = 'Bearer realm="stile"'
    return response
