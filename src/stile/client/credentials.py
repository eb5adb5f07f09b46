"""Which server, and with which token: the argument, then the environment, then what ``stile login`` kept."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path

import msgspec

from stile.kernel.errors import Invalid

DEFAULT_URL = "http://127.0.0.1:7070"


class Credentials(msgspec.Struct, frozen=True, kw_only=True):
    """A server's address (no trailing slash) and the token to show it; an empty token shows none."""

    url: str
    token: str = ""


def credentials_file(environ: Mapping[str, str] | None = None) -> Path:
    """Where ``stile login`` keeps tokens: ``$STILE_CREDENTIALS``, else the user's configuration folder."""
    environ = os.environ if environ is None else environ
    if given := environ.get("STILE_CREDENTIALS"):
        return Path(given)
    base = environ.get("XDG_CONFIG_HOME") or str(Path.home() / ".config")
    return Path(base) / "stile" / "credentials.toml"


def resolve(
    url: str | None = None, token: str | None = None, *, environ: Mapping[str, str] | None = None
) -> Credentials:
    """The server and token to use.

    A kept token is used only for the server it was given by, so no server ever sees another's.

    Raises:
        Invalid: the address is not http(s), or the credentials file cannot be read.
    """
    environ = os.environ if environ is None else environ
    kept = load(credentials_file(environ))
    address = (url or environ.get("STILE_URL") or kept.get("default", "") or DEFAULT_URL).rstrip("/")
    if not address.startswith(("http://", "https://")):
        raise Invalid(f"{address!r} is not a server address. It should look like {DEFAULT_URL}.")
    if token is None:
        token = environ.get("STILE_TOKEN") or kept.get(address, "")
    return Credentials(url=address, token=token)


def load(file: Path) -> dict[str, str]:
    """Kept tokens by server address, and the last server logged in to under ``default``; absent file: nothing."""
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError:
        return {}
    try:
        content = tomllib.loads(text)
        servers = content.get("servers", {})
        kept = {str(address): str(entry["token"]) for address, entry in servers.items()}
    except (tomllib.TOMLDecodeError, KeyError, TypeError, AttributeError) as error:
        raise Invalid(f"{file} is not a credentials file ({error}). Delete it and run: stile login") from error
    if "default" in content:
        kept["default"] = str(content["default"])
    return kept


def save(file: Path, credentials: Credentials) -> None:
    """Keep a token for its server and make that server the default; readable by its owner only."""
    kept = load(file)
    kept.pop("default", None)
    kept[credentials.url] = credentials.token
    lines = [f"default = {_quoted(credentials.url)}"]
    for address, token in sorted(kept.items()):
        lines += ["", f"[servers.{_quoted(address)}]", f"token = {_quoted(token)}"]
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    draft = file.with_name(file.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as out:
        out.write("\n".join(lines) + "\n")
    draft.replace(file)


def forget(file: Path, url: str) -> bool:
    """Drop the token kept for a server; whether there was one."""
    kept = load(file)
    if url not in kept:
        return False
    remaining = {address: token for address, token in kept.items() if address not in ("default", url)}
    file.unlink()
    for address, token in remaining.items():
        save(file, Credentials(url=address, token=token))
    return True


def _quoted(text: str) -> str:
    return msgspec.json.encode(text).decode()
