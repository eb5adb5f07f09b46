"""A conversation with an MLflow server: what was asked and answered, with what differs by nature taken out.

Two servers give the same run another id and another minute. So ids become names in the order of their
appearance (``<id 1.1>``), times near now become ``<time>``, page tokens ``<token>``: what is left must be equal.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import requests

API = "/api/2.0/mlflow/"
_HEX_ID = re.compile(r"(?<![0-9a-f])[0-9a-f]{32}(?![0-9a-f])")
_EXPERIMENT_URI = re.compile(r"(mlflow-artifacts:/(?://[^/]*/)?)\d+(?=/|$)")
_MOMENT = re.compile(r"20\d\d-\d\d-\d\d[ T]\d\d:\d\d:\d\d(\.\d+)?")
_A_DAY = 86_400_000
_LONG_LIST = 50
_LONG_TEXT = 400
_MACHINE_TAGS = {"mlflow.user", "mlflow.source.name", "mlflow.source.git.commit", "mlflow.source.git.branch"}


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


class Names:
    """Gives every id a name by the exchange in which it was first seen."""

    def __init__(self) -> None:
        self._known: dict[str, str] = {}
        self._exchange = 0
        self._here = 0

    def next_exchange(self) -> None:
        self._exchange, self._here = self._exchange + 1, 0

    def of(self, id: str) -> str:
        if id not in self._known:
            self._here += 1
            self._known[id] = f"<id {self._exchange}.{self._here}>"
        return self._known[id]

    def plain(self, value: Any, key: str = "") -> Any:
        """``value`` without what differs between two servers by nature."""
        if isinstance(value, dict):
            kept = value.keys() - {"file_size"} if value.get("path") == "MLmodel" else value.keys()
            return {name: self.plain(value[name], name) for name in sorted(kept)}  # MLmodel holds ids and times
        if isinstance(value, list):
            of_all = [item for item in value if not (isinstance(item, dict) and item.get("key") in _MACHINE_TAGS)]
            plain = [self.plain(item, key) for item in of_all]
            return plain if len(plain) <= _LONG_LIST else [*plain[:2], f"... {len(plain)} in all, {_digest(plain)}"]
        if isinstance(value, bool) or value is None:
            return value
        if isinstance(value, (int, float)):
            return "<time>" if abs(value - time.time() * 1000) < _A_DAY else value
        if key == "experiment_id" and value.isdigit():
            return "<default experiment>" if value == "0" else self.of(f"experiment {value}")
        if key in {"next_page_token", "page_token"}:
            return "<token>"
        if key == "source" and "mlflow.source.name" in value:
            return "<machine>"
        if value.isdigit() and abs(int(value) - time.time() * 1000) < _A_DAY:
            return "<time>"
        value = _HEX_ID.sub(lambda found: self.of(found[0]), value)
        value = _EXPERIMENT_URI.sub(r"\1<experiment>", value)
        value = _MOMENT.sub("<moment>", value)
        return value if len(value) <= _LONG_TEXT else f"{value[:20]}... {len(value)} characters, {_digest(value)}"


class Conversation:
    """Speaks to one server and writes down every exchange.

    Args:
        url: address of the server.
    """

    def __init__(self, url: str) -> None:
        self.url = url.rstrip("/")
        self.exchanges: list[dict[str, Any]] = []
        self._names = Names()
        self._session = requests.Session()

    def post(self, route: str, **body: Any) -> Any:
        return self.ask("POST", route, body=body)

    def patch(self, route: str, **body: Any) -> Any:
        return self.ask("PATCH", route, body=body)

    def delete(self, route: str, **body: Any) -> Any:
        return self.ask("DELETE", route, body=body)

    def get(self, route: str, **query: Any) -> Any:
        return self.ask("GET", route, query=query)

    def ask(self, method: str, route: str, query: dict[str, Any] | None = None, body: Any = None) -> Any:
        """One call; a route without a leading slash is below ``/api/2.0/mlflow/``.

        Returns:
            The decoded answer, also when it is an error.
        """
        path = route if route.startswith("/") else API + route
        raw = {"data": body} if isinstance(body, (bytes, str)) else {"json": body} if body is not None else {}
        headers = {"Content-Type": "application/json"} if isinstance(body, str) else {}
        answer = self._session.request(method, self.url + path, params=query, headers=headers, timeout=60, **raw)
        asked = body if not isinstance(body, bytes) else f"{len(body)} bytes"
        return self._keep(method, path, query or None, asked, answer)

    @contextmanager
    def listening(self) -> Iterator[None]:
        """Write down what the mlflow client says inside the block, too."""
        genuine = requests.adapters.HTTPAdapter.send

        def send(adapter: Any, request: requests.PreparedRequest, *rest: Any, **more: Any) -> requests.Response:
            answer = genuine(adapter, request, *rest, **more)
            parts = urlsplit(request.url or "")
            if not more.get("stream") or "/artifacts/" not in parts.path:
                body = request.body
                asked = json.loads(body) if isinstance(body, (str, bytes)) and body[:1] in ("{", b"{") else None
                if "server-info" not in parts.path:
                    self._keep(request.method or "", parts.path, dict(parse_qsl(parts.query)) or None, asked, answer)
            return answer

        requests.adapters.HTTPAdapter.send = send  # type: ignore[method-assign]
        try:
            yield
        finally:
            requests.adapters.HTTPAdapter.send = genuine  # type: ignore[method-assign]

    def _keep(self, method: str, path: str, query: Any, asked: Any, answer: requests.Response) -> Any:
        try:
            said = answer.json()
        except ValueError:
            said = {"text": answer.text[:200]} if len(answer.content) < 200 else {"bytes": len(answer.content)}
        self._names.next_exchange()
        self.exchanges.append(
            {
                "asked": f"{method} {self._names.plain(path)}",
                **({"query": self._names.plain(query)} if query else {}),
                **({"body": self._names.plain(asked)} if asked else {}),
                "status": answer.status_code,
                "answer": self._names.plain(said),
            }
        )
        return said
