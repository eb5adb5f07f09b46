"""SQL of deployment documents and of the gateways that serve them."""

from __future__ import annotations

import msgspec

from stile.deploy.deployment import Deployment
from stile.deploy.sources import GatewayReport
from stile.store.database import Tx


class Gateway(GatewayReport, frozen=True, kw_only=True):
    """What a gateway last said about itself, and when."""

    seen_at: int


def latest(tx: Tx, use_case: str) -> tuple[Deployment, str] | None:
    """(document, digest of its content without the revision) in force; None before the first."""
    row = tx.one("SELECT body, digest FROM deployments WHERE use_case = ? ORDER BY revision DESC LIMIT 1", (use_case,))
    return (msgspec.json.decode(bytes(row[0]), type=Deployment), row[1]) if row else None


def find(tx: Tx, use_case: str, revision: int) -> tuple[Deployment, int] | None:
    """(document, when it came into force) of one revision."""
    row = tx.one("SELECT body, at FROM deployments WHERE use_case = ? AND revision = ?", (use_case, revision))
    return (msgspec.json.decode(bytes(row[0]), type=Deployment), row[1]) if row else None


def history(tx: Tx, use_case: str, limit: int = 100) -> list[tuple[Deployment, int]]:
    """(document, when) of every revision, newest first."""
    rows = tx.all(
        "SELECT body, at FROM deployments WHERE use_case = ? ORDER BY revision DESC LIMIT ?", (use_case, limit)
    )
    return [(msgspec.json.decode(bytes(body), type=Deployment), at) for body, at in rows]


def insert(tx: Tx, deployment: Deployment, digest: str) -> None:
    """Put a document into force."""
    tx.run(
        "INSERT INTO deployments (use_case, revision, digest, body, at) VALUES (?, ?, ?, ?, ?)",
        (deployment.use_case, deployment.revision, digest, msgspec.json.encode(deployment), tx.now_ms()),
    )


def save_gateway(tx: Tx, use_case: str, report: GatewayReport) -> None:
    """Remember what a gateway said last."""
    tx.run(
        "INSERT INTO gateways (use_case, gateway, state, revision, serving, problems, seen_at) "
        "VALUES (?, ?, ?, ?, ?, ?, ?) ON CONFLICT (use_case, gateway) DO UPDATE SET state = excluded.state, "
        "revision = excluded.revision, serving = excluded.serving, problems = excluded.problems, "
        "seen_at = excluded.seen_at",
        (
            use_case, report.gateway, report.state, report.revision, report.serving,
            msgspec.json.encode(report.problems).decode(), tx.now_ms(),
        ),
    )  # fmt: skip


def gateways(tx: Tx, use_case: str) -> list[Gateway]:
    """Every gateway that ever reported, the latest first."""
    rows = tx.all(
        "SELECT gateway, state, revision, serving, problems, seen_at FROM gateways WHERE use_case = ? "
        "ORDER BY seen_at DESC, gateway",
        (use_case,),
    )
    return [
        Gateway(gateway=g, state=s, revision=r, serving=v, problems=msgspec.json.decode(p, type=list[str]), seen_at=at)
        for g, s, r, v, p, at in rows
    ]
