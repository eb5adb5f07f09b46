"""A client of a gateway: rows in, answers with their prediction ids out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self

import msgspec

from stile.client.credentials import Credentials
from stile.client.session import Session


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """What the champion said about one row.

    Attributes:
        id: names the prediction for feedback, outcomes and ``why``.
        output: the answer; ``score`` the number behind it, when there is one.
        version: the model version that answered.
    """

    id: str
    output: Any
    score: float | None
    version: str


class Gateway:
    """Asks one gateway for predictions. Safe to use from several threads.

    Args:
        url: address of the gateway.
    """

    def __init__(self, url: str) -> None:
        self.session = Session(Credentials(url=url.rstrip("/")), timeout_s=10.0, serves="gateway", start="stile serve")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.session.close()

    def predict(self, row: Mapping[str, Any]) -> Answer:
        """The answer about one row, a mapping of column to value."""
        return self.predict_many([row])[0]

    def predict_many(self, rows: Sequence[Mapping[str, Any]]) -> list[Answer]:
        """The answers about several rows, asked in one request and in the order of the rows."""
        records = [{name: _cell(value) for name, value in row.items()} for row in rows]
        said = self.session.post("/invocations", {"dataframe_records": records})
        scores = said.get("scores") or [None] * len(records)
        return [
            Answer(id=id, output=output, score=score, version=str(said.get("model_version")))
            for id, output, score in zip(said["prediction_ids"], said["predictions"], scores, strict=True)
        ]


def _cell(value: Any) -> Any:
    return None if isinstance(value, float) and value - value != 0 else value
