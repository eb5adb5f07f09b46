"""SQL of comments and mentions."""

from __future__ import annotations

import msgspec

from stile.store.database import Tx


class Comment(msgspec.Struct, frozen=True, kw_only=True):
    """What somebody wrote below a card."""

    id: str
    card: str
    at: int
    by: str
    text: str


class Mention(msgspec.Struct, frozen=True, kw_only=True):
    """A comment that addresses a person."""

    comment: str
    card: str
    use_case: str
    at: int
    by: str
    text: str
    card_title: str


def insert(tx: Tx, comment: Comment) -> None:
    """Add a comment."""
    tx.run(
        "INSERT INTO card_comments (id, card, at, by, text) VALUES (?, ?, ?, ?, ?)",
        (comment.id, comment.card, comment.at, comment.by, comment.text),
    )


def of_card(tx: Tx, card: str) -> list[Comment]:
    """Comments of a card, oldest first."""
    rows = tx.all("SELECT id, card, at, by, text FROM card_comments WHERE card = ? ORDER BY at, id", (card,))
    return [Comment(id=id, card=c, at=at, by=by, text=text) for id, c, at, by, text in rows]


def counts(tx: Tx, use_case: str) -> dict[str, int]:
    """How many comments each card of a board has."""
    rows = tx.all(
        "SELECT c.card, COUNT(*) FROM card_comments c JOIN cards k ON k.id = c.card "
        "WHERE k.use_case = ? GROUP BY c.card",
        (use_case,),
    )
    return dict(rows)


def add_mention(tx: Tx, *, comment: str, person: str, card: str, use_case: str) -> None:
    """Remember that a comment addresses a person."""
    tx.run(
        "INSERT INTO card_mentions (comment, person, card, use_case, at) VALUES (?, ?, ?, ?, ?)",
        (comment, person, card, use_case, tx.now_ms()),
    )


def mentions_of(tx: Tx, person: str) -> list[Mention]:
    """Comments that address a person, oldest first."""
    rows = tx.all(
        "SELECT m.comment, m.card, m.use_case, m.at, c.by, c.text, k.title FROM card_mentions m "
        "JOIN card_comments c ON c.id = m.comment JOIN cards k ON k.id = m.card "
        "WHERE m.person = ? ORDER BY m.at, m.comment",
        (person,),
    )
    return [
        Mention(comment=comment, card=card, use_case=use_case, at=at, by=by, text=text, card_title=title)
        for comment, card, use_case, at, by, text, title in rows
    ]
