"""One use case: its charter and members, and every verb that happens inside it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from stile.client.data import DataVerbs
from stile.client.govern import GovernVerbs
from stile.client.live import LiveVerbs
from stile.client.session import segment


class UseCase(DataVerbs, GovernVerbs, LiveVerbs):
    """A handle on a use case. Making one asks the server nothing; ``charter`` does."""

    def charter(self) -> dict[str, Any]:
        """The charter.

        Raises:
            Missing: there is no such use case.
        """
        return self._get("")

    def amend(self, **fields: Any) -> dict[str, Any]:
        """Change fields of the charter."""
        answer: dict[str, Any] = self._session.patch(self._path(""), fields)
        return answer

    def set_roles(self, person: str, roles: Iterable[str]) -> Any:
        """Give a person exactly these roles in the use case."""
        return self._session.put(self._path(f"members/{segment(person)}"), {"roles": list(roles)})

    def cards(self) -> list[dict[str, Any]]:
        """Cards of the board."""
        return self._list("cards")

    def add_card(self, title: str, **fields: Any) -> dict[str, Any]:
        """Put a card on the board."""
        return self._post("cards", {"title": title, **fields})

    def iterations(self) -> list[dict[str, Any]]:
        """Iterations of the team."""
        return self._list("iterations")
