"""``POST /v1/traces``: spans as OpenTelemetry's exporters and MLflow's client send them.

The header ``x-mlflow-experiment-id`` says where they belong, ``x-mlflow-run-id`` (optional) to which run.
Source: OTLP/HTTP specification; ``mlflow.server.otel_api`` of MLflow 3.
"""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence

from starlette.responses import Response

from stile.edge.call import Call
from stile.edge.route import Route
from stile.kernel.errors import Invalid, TooLarge
from stile.kernel.permission import Permission
from stile.protocols.mlflow import otlp_json, protobuf
from stile.protocols.mlflow.errors import mlflow_error
from stile.protocols.mlflow.wire import need
from stile.train import spans, traces
from stile.train.spans import Span

_PROTOBUF, _JSON = "application/x-protobuf", "application/json"
_READERS = {_PROTOBUF: protobuf.read_request, _JSON: otlp_json.read_request}
_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}


async def _export(call: Call) -> Response:
    """Keep spans sent by OpenTelemetry's protocol, all or none."""
    headers = call.request.headers
    experiment_id = need(headers.get("x-mlflow-experiment-id", ""), "x-mlflow-experiment-id")
    run_id = headers.get("x-mlflow-run-id", "")
    media = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media not in _READERS:
        raise Invalid(f"Invalid Content-Type: {media[:80]!r}. Send {_PROTOBUF} or {_JSON}.")
    encoding = headers.get("content-encoding", "").strip().lower()
    body = await call.body()
    limit = call.services.settings.max_json_bytes
    given = await asyncio.to_thread(read, body, media=media, encoding=encoding, limit=limit)
    by = call.principal.name
    await call.write(lambda tx: traces.put_spans(tx, experiment_id, given, by=by, run_id=run_id))
    return Response(b"{}" if media == _JSON else b"", media_type=media)


def read(body: bytes, *, media: str, encoding: str, limit: int) -> Sequence[Span]:
    """The spans in a request's body.

    Raises:
        Invalid: it cannot be unpacked or read, or holds no spans.
        TooLarge: unpacked, it is larger than ``limit`` bytes.
    """
    if encoding not in ("", "identity"):
        body = _unpacked(body, encoding, limit)
    found = [spans.read(message) for message in _READERS[media](body)]
    if not found:
        raise Invalid("Invalid OpenTelemetry format - no spans found.")
    return found


def _unpacked(body: bytes, encoding: str, limit: int) -> bytes:
    if encoding not in _WINDOWS:
        raise Invalid(f"Unsupported Content-Encoding: {encoding[:40]!r}. Send gzip, deflate, or nothing.")
    try:
        content = _inflated(body, _WINDOWS[encoding], limit)
    except zlib.error:
        if encoding != "deflate":
            raise Invalid(f"The body is not valid {encoding}.") from None
        try:
            content = _inflated(body, -zlib.MAX_WBITS, limit)  # some senders leave the zlib frame out
        except zlib.error:
            raise Invalid("The body is not valid deflate.") from None
    if len(content) > limit:
        raise TooLarge(f"The unpacked body is larger than the limit of {limit} bytes.", limit=limit)
    return content


def _inflated(body: bytes, window: int, limit: int) -> bytes:
    unpacking = zlib.decompressobj(window)
    content = unpacking.decompress(body, limit + 1)
    if len(content) <= limit and not unpacking.eof:
        raise zlib.error("cut off")
    return content


ROUTES = [
    Route(
        "POST",
        "/v1/traces",
        Permission.TRACK,
        _export,
        on_error=mlflow_error,
        summary="Keep spans sent by OpenTelemetry's protocol, all or none",
    )
]
