"""Links to the page one is on with something changed: what else the address says stays."""

from __future__ import annotations

from urllib.parse import urlencode

from starlette.requests import Request

_PASSING = frozenset({"said", "theme"})


def changed(request: Request, *, at: str = "", **values: str | list[str] | None) -> str:
    """This address with some of its query replaced; an empty value takes a name out.

    Args:
        request: where one is.
        at: fragment to go to.
        values: new values by name (a trailing ``_`` is dropped, for ``from_``); lists give a name several times.
    """
    new = {name.rstrip("_"): value for name, value in values.items()}
    kept = [(k, v) for k, v in request.query_params.multi_items() if k not in new and k not in _PASSING and v]
    for name, value in new.items():
        kept += [(name, one) for one in ([value] if isinstance(value, str) else value or []) if one]
    return request.url.path + (f"?{urlencode(kept)}" if kept else "") + (f"#{at}" if at else "")


def kept_fields(request: Request, *without: str) -> list[tuple[str, str]]:
    """What a form that changes only ``without`` must send along, as hidden fields."""
    gone = {*without, *_PASSING}
    return [(name, value) for name, value in request.query_params.multi_items() if name not in gone and value]
