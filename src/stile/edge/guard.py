"""What is refused before anybody looks at a request, and the headers every answer carries.

Source: OWASP API Security Top 10 (2023); RFC 9112 section 6.1 (a message with both
Content-Length and Transfer-Encoding is refused); Fetch metadata for cross-site writes.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from stile.kernel.errors import Forbidden, Invalid, StileError, TooLarge
from stile.kernel.settings import Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST_NAME = re.compile(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

_ALWAYS = ((b"x-content-type-options", b"nosniff"), (b"referrer-policy", b"same-origin"))
_ON_PAGES = (
    (b"content-security-policy", CONTENT_SECURITY_POLICY.encode()),
    (b"cross-origin-opener-policy", b"same-origin"),
)
_NOT_KEPT = (b"cache-control", b"no-store")


class Guard:
    """Checks Host, Origin and declared size; adds the security headers."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        allowed = {name.lower() for name in settings.allowed_hosts}
        if settings.on_loopback:
            allowed |= _LOOPBACK_NAMES
        else:
            allowed.add(settings.host.lower())
        if settings.public_url:
            allowed.add((urlsplit(settings.public_url).hostname or "").lower())
        self._hosts = frozenset(allowed)
        self._any_host = settings.host in ("0.0.0.0", "::") and not settings.allowed_hosts  # noqa: S104  compared, not bound

    def refusal(self, method: str, headers: Iterable[tuple[bytes, bytes]], *, limit: int) -> StileError | None:
        """Why this request is refused, or None.

        Args:
            method: the HTTP method.
            headers: the request's headers, their names in lower case.
            limit: most bytes its body may have.
        """
        hosts = 0
        host = b""
        length: bytes | None = None
        site: bytes | None = None
        origin: bytes | None = None
        chunked = False
        for name, value in headers:
            if name == b"host":
                host = value
                hosts += 1
            elif name == b"content-length":
                length = value if length is None else b"?"
            elif name == b"transfer-encoding":
                chunked = True
            elif name == b"sec-fetch-site":
                site = value
            elif name == b"origin":
                origin = value
        if hosts != 1 or not self._host_allowed(host.decode("latin-1")):
            return Invalid(
                "The Host header is not one this server answers to. Add the name to allowed_hosts if it should.",
            )
        if length is not None:
            if chunked:
                return Invalid("A request carries either Content-Length or Transfer-Encoding, not both.")
            if not length.isdigit():
                return Invalid("Content-Length must be one whole number.")
            if int(length) > limit:
                return TooLarge(f"The body is larger than the limit of {limit} bytes.", limit=limit)
        if method not in _SAFE_METHODS and (site is not None or origin is not None):
            return self._cross_site(_text(site), _text(origin), host.decode("latin-1"))
        return None

    def adorned(self, headers: Iterable[tuple[bytes, bytes]], *, path: str) -> list[tuple[bytes, bytes]]:
        """An answer's headers (names in lower case) with the security headers it does not carry yet."""
        all_of_them = list(headers)
        carried = dict(all_of_them)
        all_of_them += [header for header in _ALWAYS if header[0] not in carried]
        if carried.get(b"content-type", b"").startswith(b"text/html"):
            all_of_them += [header for header in _ON_PAGES if header[0] not in carried]
        if b"cache-control" not in carried and not path.startswith("/static/"):
            all_of_them.append(_NOT_KEPT)
        return all_of_them

    def _host_allowed(self, host: str) -> bool:
        name = host.lower()
        if not name.isascii():
            return False
        if not name.endswith("]"):
            head, colon, port = name.rpartition(":")
            if colon and port.isdigit():
                name = head
        return name in self._hosts or (self._any_host and _HOST_NAME.fullmatch(name) is not None)

    def _cross_site(self, site: str | None, origin: str | None, host: str) -> StileError | None:
        if site is not None and site not in ("same-origin", "none"):
            return Forbidden("This write comes from another web site and is refused.")
        if origin is not None and origin != "null":
            if _authority(origin) != host.lower() and origin.rstrip("/") != self._settings.url:
                return Forbidden("This write comes from another origin and is refused.")
        elif origin == "null":
            return Forbidden("This write comes from a page without an origin and is refused.")
        return None


def _authority(origin: str) -> str:
    """Host and port of an origin; empty for text that is none."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return ""


def _text(value: bytes | None) -> str | None:
    return None if value is None else value.decode("latin-1")
