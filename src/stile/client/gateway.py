"""A client of a gateway: rows in, answers with their prediction ids out."""

from __future__ import annotations

from types import TracebackType
from typing import Self

from stile.client.credentials import Credentials
from stile.client.session import Session


class Gateway:
    """Asks one gateway for predictions of one use case.

    Args:
        url: address of the gateway.
        use_case: whose model.
    """

    def __init__(self, url: str, use_case: str) -> None:
        self._session = Session(Credentials(url=url.rstrip("/")), timeout_s=10.0)
        self._use_case = use_case

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._session.close()
