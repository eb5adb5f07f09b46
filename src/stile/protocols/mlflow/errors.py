"""Stile's errors in MLflow's words: ``{"error_code": NAME, "message": text}``.

MLflow's clients branch on ``error_code`` first and on the HTTP status second; a taken name is a
400 there, and nothing a user can cause may be a 500, since clients retry those.
Source: ``mlflow.exceptions.ERROR_CODE_TO_HTTP_STATUS`` of MLflow 3.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response

from stile.edge.call import json_response
from stile.kernel.errors import Missing, StileError

NAMES: dict[str, tuple[str, int]] = {
    "invalid": ("INVALID_PARAMETER_VALUE", 400),
    "contract_broken": ("INVALID_PARAMETER_VALUE", 400),
    "too_slow": ("INVALID_PARAMETER_VALUE", 400),
    "unauthenticated": ("UNAUTHENTICATED", 401),
    "forbidden": ("PERMISSION_DENIED", 403),
    "guarded": ("PERMISSION_DENIED", 403),
    "missing": ("RESOURCE_DOES_NOT_EXIST", 404),
    "no_endpoint": ("ENDPOINT_NOT_FOUND", 404),
    "exists": ("RESOURCE_ALREADY_EXISTS", 400),
    "conflict": ("RESOURCE_CONFLICT", 409),
    "too_large": ("INVALID_PARAMETER_VALUE", 413),
    "too_many": ("RESOURCE_EXHAUSTED", 429),
    "unavailable": ("TEMPORARILY_UNAVAILABLE", 503),
    "storage_full": ("RESOURCE_EXHAUSTED", 507),
    "missing_extra": ("NOT_IMPLEMENTED", 501),
    "corrupt": ("DATA_LOSS", 500),
    "internal_error": ("INTERNAL_ERROR", 500),
}
"""(MLflow's name, HTTP status) by Stile's code."""


class NoEndpoint(Missing):
    """This server does not have this part of MLflow's API."""

    code = "no_endpoint"


def mlflow_error(error: StileError, request: Request) -> Response:  # noqa: ARG001  an ErrorRenderer
    """The answer MLflow's clients understand."""
    name, status = NAMES.get(error.code, ("INTERNAL_ERROR", 500))
    body: dict[str, object] = {"error_code": name, "message": error.message}
    if error.details:
        body["details"] = error.details
    response = json_response(body, status)
    if status == 401:
        response.headers["WWW-Authenticate"] = 'Basic realm="stile"'
    return response
