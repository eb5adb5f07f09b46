"""`stile serve`: one process that answers for one use case.

Its state folder holds the prediction log, the last good deployment and the model files by
digest. It can be killed at any moment and started again on the same folder.
"""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable
from pathlib import Path

from stile.client.credentials import Credentials
from stile.client.session import Session
from stile.deploy.prediction_log import PredictionLog
from stile.deploy.shipper import Shipper, to_server
from stile.deploy.sources import DeploymentSource, FolderSource, LastGood, ServerSource
from stile.kernel.errors import Invalid, Unavailable
from stile.kernel.ids import RandomIds
from stile.people.use_cases import NAME
from stile.store.blobs import LocalBlobs

logger = logging.getLogger("stile.gateway")


def serve(
    use_case: str,
    *,
    server: str = "",
    token: str = "",
    host: str = "127.0.0.1",
    port: int = 7080,
    state: Path | None = None,
    strict: bool = False,
    folders: dict[str, Path] | None = None,
    caller_token: str = "",
    on_ready: Callable[[str], None] | None = None,
) -> None:
    """Answer until the process is told to stop (SIGTERM, SIGINT).

    Args:
        use_case: what is served; the model's name in V2 paths.
        server: address of the Stile server; unused with ``folders``.
        token: shown to the server.
        host: where to listen.
        port: where to listen; 0 takes a free one.
        state: the gateway's own folder; default ``./stile-gateway/<use_case>``.
        strict: sync each record to disk before its answer, and refuse answers that cannot be recorded.
        folders: model folder by part, to serve without a server.
        caller_token: what callers must show; needed when ``host`` is not loopback.
        on_ready: called with the gateway's address once it listens.

    Raises:
        Invalid: a setting makes no sense.
        Unavailable: the port or the state folder is in use.
    """
    if not NAME.fullmatch(use_case):
        raise Invalid(f"{use_case!r} cannot name a use case. Use 2 to 63 lower-case letters, digits or '-'.")
    if not (host in ("localhost", "::1") or host.startswith("127.")) and not caller_token:
        raise Invalid(
            "A gateway that other machines can reach needs a token for its callers. Give it one with --caller-token."
        )
    # one small matrix at a time: more threads inside the model's library only wait for each other
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    import uvicorn  # noqa: PLC0415  only the process that serves

    from stile.protocols.inference.app import GatewayApp  # noqa: PLC0415  numpy
    from stile.protocols.inference.engine import Engine  # noqa: PLC0415  numpy
    from stile.protocols.inference.follower import Follower  # noqa: PLC0415  numpy
    from stile.protocols.inference.metrics import Metrics  # noqa: PLC0415

    folder = state or Path("stile-gateway") / use_case
    folder.mkdir(parents=True, exist_ok=True)
    listener = _listen(host, port)
    log = PredictionLog(folder / "log", strict=strict)
    blobs = LocalBlobs(folder / "models")
    gateway = _gateway_id(folder)
    source: DeploymentSource
    shipper = None
    if folders:
        source = FolderSource(use_case, folders)
    else:
        source = ServerSource(Session(Credentials(url=server, token=token)), use_case)
        shipper = Shipper(log, gateway, to_server(Session(Credentials(url=server, token=token)), use_case))
    engine = Engine(log, Metrics())
    follower = Follower(engine, source, blobs=blobs, last_good=LastGood(folder, blobs), gateway=gateway)

    def gauges() -> dict[str, float]:
        serving = engine.serving
        found = {"stile_ready": float(serving is not None), "stile_log_segments": float(len(log.segments()))}
        if serving is not None:
            found["stile_deployment_revision"] = float(serving.deployment.revision)
        if shipper is not None:
            found |= {
                "stile_shipped_predictions": float(shipper.shipped), "stile_log_broken_lines": float(shipper.broken),
                "stile_server_reachable": float(not (shipper.problem or follower.source_problem)),
            }  # fmt: skip
        return found

    app = GatewayApp(use_case, engine, follower, gauges=gauges, caller_token=caller_token)
    config = uvicorn.Config(
        app, log_level="warning", access_log=False, server_header=False, date_header=False, lifespan="on",
        timeout_graceful_shutdown=10, backlog=1024,
    )  # fmt: skip
    follower.start()
    if shipper is not None:
        shipper.start()
    try:
        bound = listener.getsockname()[1]
        if on_ready is not None:
            on_ready(f"http://{f'[{host}]' if ':' in host else host}:{bound}")
        uvicorn.Server(config).run(sockets=[listener])
    finally:
        follower.stop()
        engine.close()
        if shipper is not None:
            shipper.stop()
        log.close()


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family, socket.SOCK_STREAM)
    listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        listener.bind((host, port))
        listener.listen(1024)
    except OSError as error:
        listener.close()
        raise Unavailable(f"{host}:{port} cannot be used ({error.strerror}). Choose another with --port.") from error
    return listener


def _gateway_id(folder: Path) -> str:
    """The id of the gateway that owns this state folder, made once."""
    path = folder / "gateway-id"
    if path.exists() and (known := path.read_text("ascii").strip()):
        return known
    made = RandomIds().ordered("gw")
    draft = path.with_suffix(".new")
    draft.write_text(made, "ascii")
    draft.replace(path)
    return made
