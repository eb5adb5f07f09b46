"""Every route of the web UI."""

from __future__ import annotations

from stile.edge.route import Route
from stile.web import static
from stile.web.pages import style

ROUTES: list[Route] = [*static.ROUTES, *style.ROUTES]
