"""What is refused before anybody looks at a request, and the headers every answer carries.

Source: OWASP API Security Top 10 (2023); RFC 9112 section 6.1 (a message with both
Content-Length and Transfer-Encoding is refused); Fetch metadata for cross-site writes.
"""

from __future__ import annotations

import re
from urllib.parse import urlsplit

from starlette.datastructures import Headers, MutableHeaders

from stile.kernel.errors import Forbidden, Invalid, StileError, TooLarge
from stile.kernel.settings import Settings

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})
_LOOPBACK_NAMES = frozenset({"localhost", "127.0.0.1", "[::1]"})
_HOST_NAME = re.compile(r"[a-z0-9._-]{1,253}|\[[0-9a-f:.]{2,45}\]")

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)


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

    def refusal(self, method: str, headers: Headers, *, limit: int) -> StileError | None:
        """Why this request is refused, or None.

        Args:
            method: the HTTP method.
            headers: the request's headers.
            limit: most bytes its body may have.
        """
        hosts = headers.getlist("host")
        if len(hosts) != 1 or not self._host_allowed(hosts[0]):
            return Invalid(
                "The Host header is not one this server answers to. Add the name to allowed_hosts if it should.",
            )
        if "transfer-encoding" in headers and "content-length" in headers:
            return Invalid("A request carries either Content-Length or Transfer-Encoding, not both.")
        length = headers.get("content-length")
        if length is not None and (not length.isascii() or not length.isdigit()):
            return Invalid("Content-Length must be one whole number.")
        if length is not None and int(length) > limit:
            return TooLarge(f"The body is larger than the limit of {limit} bytes.", limit=limit)
        if method not in _SAFE_METHODS:
            return self._cross_site(headers, hosts[0])
        return None

    def adorn(self, headers: MutableHeaders, *, path: str) -> None:
        """Add the security headers that the answer does not carry yet."""
        headers.setdefault("X-Content-Type-Options", "nosniff")
        headers.setdefault("Referrer-Policy", "same-origin")
        if headers.get("content-type", "").startswith("text/html"):
            headers.setdefault("Content-Security-Policy", CONTENT_SECURITY_POLICY)
            headers.setdefault("Cross-Origin-Opener-Policy", "same-origin")
        if not path.startswith("/static/"):
            headers.setdefault("Cache-Control", "no-store")

    def _host_allowed(self, host: str) -> bool:
        name = host.lower()
        if not name.isascii():
            return False
        if not name.endswith("]"):
            head, colon, port = name.rpartition(":")
            if colon and port.isdigit():
                name = head
        return name in self._hosts or (self._any_host and _HOST_NAME.fullmatch(name) is not None)

    def _cross_site(self, headers: Headers, host: str) -> StileError | None:
        site = headers.get("sec-fetch-site")
        if site is not None and site not in ("same-origin", "none"):
            return Forbidden("This write comes from another web site and is refused.")
        origin = headers.get("origin")
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
