"""``stile up`` and ``stile serve``: the two long-running processes."""

from __future__ import annotations

import importlib
from pathlib import Path

import click

from stile.cli.options import client_for, use_case_for
from stile.cli.settings import load_settings


@click.command()
@click.option("--host", help="Address to listen on (default 127.0.0.1). Others need accounts first.")
@click.option("--port", type=click.IntRange(1, 65535), help="Port (default 7070).")
@click.option(
    "--data", "data_dir", type=click.Path(file_okay=False), help="Folder that holds everything (default stile-data)."
)
@click.option(
    "--store",
    metavar="URL",
    help="Where rows are kept: sqlite (default) or postgresql://user@host/database. Keep passwords in STILE_STORE.",
)
@click.option(
    "--artifacts",
    metavar="URL",
    help="Where files are kept: local (default) or s3://bucket/prefix, gs://..., az://... (keys in the environment).",
)
@click.option("--config", "config", type=click.Path(exists=True, dir_okay=False), help="Settings as a TOML file.")
@click.option("--public-url", help="How others reach the server, for links.")
@click.option(
    "--durability",
    type=click.Choice(["full", "relaxed"]),
    help="relaxed: what is tracked about runs is acknowledged up to 50 ms before it is synced (default full).",
)
@click.option("--require-token", is_flag=True, default=None, help="Refuse callers without a token, on loopback too.")
def up(**given: object) -> None:
    """Start the server and the web UI.

    Prints one line when it is ready and stops cleanly on Ctrl-C or SIGTERM. Settings come from the
    options, else from STILE_* variables (STILE_PORT, STILE_DATA_DIR ...), else from --config.
    """
    config = given.pop("config")
    settings = load_settings(Path(str(config)) if config else None, options=given)
    # by name: the application is wired above this storey
    code: int = importlib.import_module("stile.app").serve(settings)
    raise SystemExit(code)


@click.command()
@click.argument("use_case", required=False)
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option(
    "--port", default=7080, show_default=True, type=click.IntRange(0, 65535), help="Port; 0 takes a free one."
)
@click.option(
    "--data", "state", type=click.Path(file_okay=False), help="Folder for models and predictions not yet delivered."
)
@click.option("--strict", is_flag=True, help="Sync each prediction to disk before its answer goes out.")
@click.option("--caller-token", default="", help="What callers must show; needed when others can reach the gateway.")
@click.option("--url", metavar="URL", help="The Stile server (default: STILE_URL, stile.toml, the last login).")
@click.option("--token", metavar="TOKEN", help="The gateway's token (default: STILE_TOKEN, the last login).")
def serve(*, use_case: str | None, host: str, port: int, state: str | None, strict: bool, caller_token: str,
          url: str | None, token: str | None) -> None:  # fmt: skip
    """Run a gateway for USE_CASE.

    The champion answers, challenger and shadow versions see the same rows unseen. It follows every
    decision without a restart, and keeps answering while the Stile server is away.

    \b
      POST /v2/models/USE_CASE/infer   Open Inference Protocol V2
      POST /invocations                MLflow's scoring protocol
    """  # noqa: D301
    from stile.protocols.inference.gateway import serve as run_gateway

    client = client_for(url, token)
    run_gateway(
        use_case_for(client, use_case).name,
        server=client.url,
        token=client.token,
        host=host,
        port=port,
        state=Path(state) if state else None,
        strict=strict,
        caller_token=caller_token,
        on_ready=lambda address: click.echo(f"The gateway is ready at {address}. Ctrl-C stops it."),
    )
