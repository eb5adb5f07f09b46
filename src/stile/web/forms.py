"""Plain HTML forms: small, URL-encoded, read into text fields."""

from __future__ import annotations

from urllib.parse import parse_qsl

from stile.edge.call import Call
from stile.kernel.errors import Invalid

_LIMIT_BYTES = 64 << 10
_MAX_FIELDS = 64
_MAX_FIELDS_OF_MANY = 2000


async def form(call: Call) -> dict[str, str]:
    """The fields of a form that was sent; of a name sent twice the last counts.

    Raises:
        TooLarge: it is larger than forms of people are.
        Invalid: it is not a URL-encoded form.
    """
    return dict(await _pairs(call, _MAX_FIELDS))


async def form_with_many(call: Call, name: str) -> tuple[dict[str, str], list[str]]:
    """The same, and all values of a field that may be sent many times, such as ticked boxes; each once.

    Raises:
        TooLarge, Invalid: as ``form``.
    """
    pairs = await _pairs(call, _MAX_FIELDS_OF_MANY)
    return dict(pairs), list(dict.fromkeys(value for each, value in pairs if each == name and value))


async def _pairs(call: Call, most: int) -> list[tuple[str, str]]:
    kind = call.request.headers.get("content-type", "").split(";")[0].strip()
    if kind != "application/x-www-form-urlencoded":
        raise Invalid("This address takes forms sent by a page. Programs use the API under /api/v1.")
    body = await call.body(_LIMIT_BYTES)
    try:
        pairs = parse_qsl(body.decode(), keep_blank_values=True, max_num_fields=most, strict_parsing=False)
    except (UnicodeDecodeError, ValueError):
        raise Invalid("The form could not be read. Go back and send it again.") from None
    return [(name, value.strip()) for name, value in pairs]


def needed(fields: dict[str, str], name: str, message: str) -> str:
    """A field that must not be empty.

    Raises:
        Invalid: with ``message``, when it is.
    """
    value = fields.get(name, "")
    if not value:
        raise Invalid(message)
    return value
