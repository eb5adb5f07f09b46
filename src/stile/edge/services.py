"""What a running server is made of; built once in ``stile.app`` and handed to every call."""

from __future__ import annotations

from dataclasses import dataclass

from stile.edge.auth import Authenticator
from stile.edge.live import Live
from stile.kernel.ids import Ids
from stile.kernel.settings import Settings
from stile.store.blobs_arriving import ArrivingBlobs
from stile.store.database import Database
from stile.work.background import Background
from stile.work.webhook_delivery import Webhooks


@dataclass(frozen=True, slots=True)
class Services:
    """The parts a handler may use."""

    settings: Settings
    db: Database
    blobs: ArrivingBlobs
    background: Background
    live: Live
    authenticator: Authenticator
    ids: Ids
    webhooks: Webhooks
