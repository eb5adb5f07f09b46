"""What MLflow's clients ask about the server, and the answer for everything this server does not have."""

from __future__ import annotations

from starlette.responses import PlainTextResponse, Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.permission import Permission
from stile.protocols.mlflow.errors import NoEndpoint, mlflow_error
from stile.protocols.mlflow.table import routes
from stile.protocols.mlflow.wire import reply

MLFLOW_VERSION = "3.17.2"
"""The version of MLflow whose REST API this one follows."""

_METHODS = ("GET", "POST", "PUT", "PATCH", "DELETE")


async def _info(call: Call) -> Response:
    """What this server offers."""
    services = call.services
    # Downloads in parts are advertised only where they go past this server, to the bucket: from a local disk one
    # plain request is quicker than asking for an address first. Clients that ask anyway get one.
    direct = services.settings.direct_downloads and services.settings.artifacts != "local"
    return reply(
        {
            "store_type": "SqlStore",
            "workspaces_enabled": False,
            "trace_archival_enabled": False,
            "multipart_uploads_enabled": True,
            "multipart_downloads_enabled": direct,
            "presigned_upload_run_id_supported": True,
            "presigned_upload_model_id_supported": True,
            "features_enabled": {"gateway": False},
        }
    )


async def _version(call: Call) -> Response:  # noqa: ARG001  every handler takes the call
    """The version of the API."""
    return PlainTextResponse(MLFLOW_VERSION)


async def _nothing(call: Call) -> Response:
    """There is no such endpoint."""
    raise NoEndpoint(
        f"{call.request.method} {call.request.url.path[:200]} is not part of this server. "
        "It has MLflow's tracking, artifact and registry API."
    )


ROUTES = [
    *routes([("GET", "server-info", Permission.PUBLIC, _info)], majors=("2.0", "3.0")),
    Route("GET", "/version", Permission.PUBLIC, _version, on_error=mlflow_error, summary="The version of MLflow's API"),
]

FALLBACK = [
    route
    for service in ("mlflow", "mlflow-artifacts")
    for route in routes(
        [(method, "{rest:path}", Permission.PUBLIC, _nothing) for method in _METHODS],
        service=service,
        majors=("2.0", "3.0"),
    )
]
"""Found last: only where nothing else fits."""
