"""Who is addressed in a text: ``@name``."""

from __future__ import annotations

import re
from collections.abc import Collection

_MENTION = re.compile(r"(?<![\w@./])@([a-z0-9][a-z0-9._-]*)", re.IGNORECASE)


def mentioned(text: str, known: Collection[str]) -> list[str]:
    """The ``known`` names addressed as ``@name`` in ``text``, each once, in order of appearance.

    A full stop or dash after a name belongs to the sentence; e-mail addresses address nobody.
    """
    by_lower = {name.lower(): name for name in known}
    found: list[str] = []
    for match in _MENTION.finditer(text):
        written = match.group(1).lower()
        while written and written not in by_lower and written[-1] in "._-":
            written = written[:-1]
        name = by_lower.get(written)
        if name is not None and name not in found:
            found.append(name)
    return found
