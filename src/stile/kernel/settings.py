"""Everything an operator can set, with its default; read from a TOML file and ``STILE_*`` variables by the CLI."""

from __future__ import annotations

from typing import Literal

import msgspec


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one server.

    Attributes:
        host, port: where the server listens.
        data_dir: the folder that holds everything the server keeps.
        public_url: how users reach the server, for links; empty means ``http://host:port``.
        allowed_hosts: host names accepted in the Host header besides loopback names and ``host``.
        require_token: on loopback too, refuse callers that present no token.
        durability: ``full`` syncs every acknowledged write; ``relaxed`` lets tracking writes be
            acknowledged up to 50 ms before the sync. Decisions are always ``full``.
        max_json_bytes: largest JSON body.
        max_upload_bytes: largest artifact or blob in one request.
    """

    host: str = "127.0.0.1"
    port: int = 7070
    data_dir: str = "stile-data"
    public_url: str = ""
    allowed_hosts: list[str] = []
    require_token: bool = False
    durability: Literal["full", "relaxed"] = "full"
    max_json_bytes: int = 8 << 20
    max_upload_bytes: int = 20 << 30

    @property
    def url(self) -> str:
        """The server's address for people and clients, without a trailing slash."""
        if self.public_url:
            return self.public_url.rstrip("/")
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"http://{host}:{self.port}"

    @property
    def on_loopback(self) -> bool:
        """Whether only this machine can reach the server."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")
