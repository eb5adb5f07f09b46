"""Everything an operator can set, with its default; read from a TOML file and ``STILE_*`` variables by the CLI."""

from __future__ import annotations

from typing import Literal
from urllib.parse import urlsplit, urlunsplit

import msgspec


def without_secrets(address: str) -> str:
    """A database's address without its password and options; anything else as it is."""
    if "://" not in address:
        return address
    try:
        parts = urlsplit(address)
        user = f"{parts.username}@" if parts.username else ""
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return address.partition("://")[0] + "://..."
    return urlunsplit((parts.scheme, f"{user}{parts.hostname or ''}{port}", parts.path, "", ""))


class Settings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Settings of one server.

    Attributes:
        host, port: where the server listens.
        data_dir: the folder that holds everything the server keeps (all but the rows, with PostgreSQL).
        store: where rows are kept: ``sqlite`` in the data folder, or the ``postgresql://`` address of a
            database that several servers may share. Never shown with its password.
        artifacts: where contents are kept: ``local`` in the data folder, or the ``s3://``, ``gs://`` or
            ``az://`` address of a bucket and a prefix in it. Its keys come from the environment.
        artifacts_plain_http: accept an ``http://`` endpoint of that bucket on another machine.
        direct_downloads: with a bucket, clients that can do so fetch files from it by addresses that
            end after five minutes; otherwise everything passes through the server.
        public_url: how users reach the server, for links; empty means ``http://host:port``.
        allowed_hosts: host names accepted in the Host header besides loopback names and ``host``.
        require_token: on loopback too, refuse callers that present no token.
        durability: ``full`` syncs every write before it is acknowledged; ``relaxed`` lets what is
            tracked about runs be acknowledged up to 50 ms before the sync: it survives kill -9 of the
            server, not a power cut. Everything else, above all decisions, is always ``full``.
        max_json_bytes: largest JSON body.
        max_upload_bytes: largest artifact or blob, in one request or in parts.
        webhook_loopback: webhooks may lead to this machine, also without TLS.
        webhook_key: what the secrets of webhooks are sealed with; empty means a key file in the data
            folder. Servers that share rows but no folder need the same one.
    """

    host: str = "127.0.0.1"
    port: int = 7070
    data_dir: str = "stile-data"
    store: str = "sqlite"
    artifacts: str = "local"
    artifacts_plain_http: bool = False
    direct_downloads: bool = True
    public_url: str = ""
    allowed_hosts: list[str] = []
    require_token: bool = False
    durability: Literal["full", "relaxed"] = "full"
    max_json_bytes: int = 8 << 20
    max_upload_bytes: int = 20 << 30
    webhook_loopback: bool = False
    webhook_key: str = ""

    def __repr__(self) -> str:
        """The fields, the stores without passwords, keys not at all."""
        fields = {name: getattr(self, name) for name in self.__struct_fields__}
        fields |= {"store": self.store_shown, "artifacts": without_secrets(self.artifacts)}
        fields |= {"webhook_key": "..." if self.webhook_key else ""}
        return f"Settings({', '.join(f'{name}={value!r}' for name, value in fields.items())})"

    @property
    def store_shown(self) -> str:
        """The store for messages: without password and options."""
        return without_secrets(self.store)

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
