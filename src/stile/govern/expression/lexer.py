"""Text into tokens."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from stile.govern.expression.errors import expression_error

MAX_SOURCE = 10_000

TokenKind = Literal["int", "float", "string", "name", "word", "op", "end"]
WORDS = frozenset({"true", "false", "null", "in"})

_PATTERN = re.compile(
    r"(?P<space>\s+|//[^\n]*)"
    r"|(?P<float>(?:\d+\.\d+|\.\d+|\d+(?=[eE][+-]?\d))(?:[eE][+-]?\d+)?)"
    r"|(?P<int>0[xX][0-9a-fA-F]+|\d+)"
    r"|(?P<string>\"(?:[^\"\\\n]|\\.)*\"|'(?:[^'\\\n]|\\.)*')"
    r"|(?P<name>[A-Za-z_][A-Za-z0-9_]*)"
    r"|(?P<op>&&|\|\||==|!=|<=|>=|[<>+\-*/%!?:.,()\[\]{}])"
)
_ESCAPES = {"n": "\n", "t": "\t", "r": "\r", "\\": "\\", '"': '"', "'": "'", "`": "`", "?": "?"}
_HINTS = {
    "=": "to compare, write '=='",
    "&": "for 'and', write '&&'",
    "|": "for 'or', write '||'",
    "≥": "write '>='",
    "≤": "write '<='",
    "≠": "write '!='",
    "“": 'use straight quotes "',
    "”": 'use straight quotes "',
}


@dataclass(frozen=True, slots=True)
class Token:
    """One token: its kind, its text as written, its decoded value and where it starts."""

    kind: TokenKind
    text: str
    at: int
    value: object = None


def tokens(source: str) -> list[Token]:
    """The tokens of ``source``, closed by one of kind ``end``.

    Raises:
        ExpressionError: a character that starts no token, an open string, a bad escape, or too long a text.
    """
    if len(source) > MAX_SOURCE:
        raise expression_error(source, MAX_SOURCE, f"an expression may have at most {MAX_SOURCE} characters")
    found: list[Token] = []
    at = 0
    while at < len(source):
        match = _PATTERN.match(source, at)
        if match is None:
            raise expression_error(source, at, _unknown_character(source, at))
        kind, text = str(match.lastgroup), match.group()
        if kind != "space":
            found.append(_token(source, kind, text, at))
        at = match.end()
        if kind in ("int", "float") and at < len(source) and (source[at].isalpha() or source[at] == "_"):
            raise expression_error(source, at, f"a number cannot be followed by {source[at]!r}")
    found.append(Token("end", "", len(source)))
    return found


def _token(source: str, kind: str, text: str, at: int) -> Token:
    if kind == "int":
        if len(text) > 40:
            raise expression_error(source, at, "this number is too long")
        return Token("int", text, at, int(text, 0) if text[:2] in ("0x", "0X") else int(text))
    if kind == "float":
        value = float(text)
        if value == float("inf"):
            raise expression_error(source, at, "this number is too large")
        return Token("float", text, at, value)
    if kind == "string":
        return Token("string", text, at, _unescaped(source, text, at))
    if kind == "name":
        return Token("word" if text in WORDS else "name", text, at)
    return Token("op", text, at)


def _unescaped(source: str, text: str, at: int) -> str:
    inner = text[1:-1]
    if "\\" not in inner:
        return inner
    parts: list[str] = []
    position = 0
    while position < len(inner):
        character = inner[position]
        if character != "\\":
            parts.append(character)
            position += 1
            continue
        mark = inner[position + 1]
        if mark in _ESCAPES:
            parts.append(_ESCAPES[mark])
            position += 2
        elif mark == "u" and re.fullmatch(r"[0-9a-fA-F]{4}", inner[position + 2 : position + 6]):
            parts.append(chr(int(inner[position + 2 : position + 6], 16)))
            position += 6
        else:
            raise expression_error(source, at + 1 + position, f"'\\{mark}' is not an escape this language knows")
    return "".join(parts)


def _unknown_character(source: str, at: int) -> str:
    character = source[at]
    if character in "\"'":
        return f"this text is not closed; expected another {character}"
    hint = _HINTS.get(character)
    return f"unexpected {character!r}" + (f"; {hint}" if hint else "")
