"""Where a webhook may lead: to addresses everybody can reach, over TLS, and nowhere inside.

A server that sends to addresses others choose could be used to reach what only it can reach (cloud
metadata, databases, itself). So a name is resolved, every address it has is judged, and the connection
goes to an address that was judged, not to the name again.
Source: OWASP Server Side Request Forgery Prevention; RFC 6890, 6052 and 3056 for addresses inside addresses.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from stile.kernel.errors import Invalid

_LENGTH = 2000
_RESOLVE_S = 5.0
_NAT64 = ipaddress.IPv6Network("64:ff9b::/96")

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


class Place(msgspec.Struct, frozen=True, kw_only=True):
    """A webhook's address taken apart: where to connect to, whom to expect there, what to ask for."""

    scheme: str
    host: str
    port: int
    target: str

    @property
    def authority(self) -> str:
        """What the Host header says."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        standard = {"https": 443, "http": 80}[self.scheme]
        return host if self.port == standard else f"{host}:{self.port}"

    def at(self, address: str) -> str:
        """The same with a numeric address in place of the name."""
        host = f"[{address}]" if ":" in address else address
        return f"{self.scheme}://{host}:{self.port}{self.target}"


def read(url: str, *, loopback: bool) -> Place:
    """The place a webhook's address names.

    Args:
        url: the address as given.
        loopback: plain ``http`` and this machine's own addresses are allowed.

    Raises:
        Invalid: it is no address a webhook may have; says why.
    """
    if not url or len(url) > _LENGTH or not url.isascii() or any(c <= " " or c in '\\"<>^`{|}\x7f' for c in url):
        raise Invalid(f"Invalid webhook URL {url[:80]!r}: it must be plain text of at most {_LENGTH} characters.")
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise Invalid(f"Invalid webhook URL {url[:80]!r}: {error}.") from error
    if parts.scheme != "https" and not (parts.scheme == "http" and loopback):
        raise Invalid(f"Invalid webhook URL scheme: {parts.scheme[:20]!r}. Use https.")
    if not parts.hostname:
        raise Invalid(f"Webhook URL must include a hostname: {url[:80]!r}.")
    if "@" in parts.netloc or parts.fragment:
        raise Invalid("A webhook URL must not have a user, a password or a fragment. Give a secret instead.")
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    standard = 443 if parts.scheme == "https" else 80
    return Place(scheme=parts.scheme, host=parts.hostname, port=standard if port is None else port, target=target)


def refusal(address: Address, place: Place, *, loopback: bool) -> str:
    """Why nothing is sent to this address; '' when it may be."""
    real = _inside(address)
    if real.is_loopback:
        return "" if loopback else f"{address} is an address of this machine"
    if place.scheme != "https":
        return f"only this machine's own addresses may be reached without TLS, and {address} is not one"
    if not real.is_global or real.is_multicast or real.is_reserved or real.is_unspecified or real.is_link_local:
        return f"{address} is not a public address"
    return ""


async def resolve(place: Place, *, loopback: bool) -> list[str]:
    """The numeric addresses of a place, all of them allowed.

    Raises:
        Unresolved: the name has no address now; it may have one later.
        Invalid: one of its addresses may not be reached.
    """
    loop = asyncio.get_running_loop()
    try:
        async with asyncio.timeout(_RESOLVE_S):
            found = await loop.getaddrinfo(place.host, place.port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError, TimeoutError) as error:
        raise Unresolved(f"The name {place.host[:200]!r} cannot be resolved. Check the webhook's URL.") from error
    return judged(place, [str(entry[4][0]) for entry in found], loopback=loopback)


def judged(place: Place, found: Sequence[str], *, loopback: bool) -> list[str]:
    """The addresses, each once, after making sure that every one of them is allowed.

    Raises:
        Invalid: one may not be reached, so none is.
    """
    for text in found:
        try:
            why = refusal(ipaddress.ip_address(text.partition("%")[0]), place, loopback=loopback)
        except ValueError:
            why = f"{text[:60]!r} is no address"
        if why:
            raise Invalid(f"Nothing is sent to {place.host[:200]!r}: {why}. A webhook's receiver must be public.")
    return list(dict.fromkeys(found))


class Unresolved(Invalid):
    """A name has no address at the moment."""


def _inside(address: Address) -> Address:
    """The IPv4 address that an IPv6 address stands for, if it stands for one."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    if address.ipv4_mapped is not None:
        return address.ipv4_mapped
    if address.sixtofour is not None:
        return address.sixtofour
    if address.teredo is not None:
        return address.teredo[1]
    if address in _NAT64:
        return ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    return address
