"""How a table of MLflow routes is written: each row stands for the API path and for its twin under ``/ajax-api``."""

from __future__ import annotations

from collections.abc import Collection, Iterable

from stile.edge.route import Handler, Route
from stile.kernel.permission import Permission
from stile.protocols.mlflow.errors import mlflow_error

Row = tuple[str, str, Permission, Handler]


def routes(
    rows: Iterable[Row],
    *,
    service: str = "mlflow",
    streams: bool = False,
    majors: tuple[str, ...] = ("2.0",),
    relaxed: Collection[str] = (),
) -> list[Route]:
    """The routes of ``(method, path below the service, permission, handler)`` rows.

    Args:
        rows: the table.
        service: ``mlflow``, or ``mlflow-artifacts`` for the artifact proxy.
        streams: handlers read the body piece by piece.
        majors: versions of the API under which the rows are reachable.
        relaxed: paths of the table whose writes may be acknowledged before their sync.
    """
    return [
        Route(
            method,
            f"/{prefix}/{major}/{service}/{path}",
            permission,
            handler,
            streams=streams,
            on_error=mlflow_error,
            relaxed=path in relaxed,
            summary=(handler.__doc__ or "").strip().rstrip("."),
        )
        for method, path, permission, handler in rows
        for major in majors
        for prefix in ("api", "ajax-api")
    ]
