"""The placeholders in a program's own SQL: `?` and `$1` both work on every backend, each of which knows one of them.

A statement is read only as far as needed to find them: what is in a string, a quoted name, a comment or, on PostgreSQL, a
dollar-quoted string is left alone. Everything here is a pure function of the statement, and remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

from goes_lite.errors import InvalidQueryError

_REMEMBERED = 1000

_WORDS = r"(?P<word>[^\W\d][\w$]*+|\d[\w.$]*+)"
"""Names and numbers: a $ or ? within one is no placeholder."""
_NUMBERED = r"(?P<numbered>\$(?P<number>\d++)(?!\w))"
_ASKED = r"(?P<asked>\?(?P<asked_number>\d*+))"

_SQLITE = re.compile(
    r"'(?:[^']|'')*+(?:'|\Z)"
    r'|"(?:[^"]|"")*+(?:"|\Z)'
    r"|`(?:[^`]|``)*+(?:`|\Z)"
    r"|\[[^\]]*+(?:\]|\Z)"
    r"|--[^\n]*+"
    r"|/\*(?:(?!\*/).)*+(?:\*/|\Z)"
    rf"|[:@#][\w$]++|{_WORDS}|{_NUMBERED}|{_ASKED}",
    re.DOTALL,
)
_POSTGRES = re.compile(
    r"[eE]'(?:[^'\\]|\\.|'')*+(?:'|\Z)"
    r"|'(?:[^']|'')*+(?:'|\Z)"
    r'|"(?:[^"]|"")*+(?:"|\Z)'
    r"|\$(?P<tag>(?:[^\W\d]\w*+)?)\$(?:(?!\$(?P=tag)\$).)*+(?:\$(?P=tag)\$|\Z)"
    r"|--[^\n\r]*+"
    r"|(?P<comment>/\*)"
    r"|@\?|\?&|\?\|(?!\|)"  # operators; ?|| is a parameter that is joined to something
    rf"|{_WORDS}|{_NUMBERED}|{_ASKED}",
    re.DOTALL,
)
_COMMENT = re.compile(r"/\*|\*/")


class _Mark(NamedTuple):
    """A placeholder: where it is, and its number; `?` without one has 0."""

    begin: int
    end: int
    number: int
    asked: bool
    """Whether it is written with a question mark."""


def end_of_comment(sql: str, begin: int) -> int:
    """Return where the comment that begins there ends, in which others may be nested; -1 if it does not end."""
    depth, at = 1, begin + 2
    while depth:
        found = _COMMENT.search(sql, at)
        if found is None:
            return -1
        depth += 1 if found[0] == "/*" else -1
        at = found.end()
    return at


def _marks(sql: str, tokens: re.Pattern[str]) -> Iterator[_Mark]:
    at = 0
    while found := tokens.search(sql, at):
        at = found.end()
        kind = found.lastgroup
        if kind == "comment":
            at = end_of_comment(sql, found.start())
            if at < 0:
                return
        elif kind == "numbered":
            yield _Mark(found.start(), at, int(found["number"]), asked=False)
        elif kind == "asked":
            yield _Mark(found.start(), at, int(found["asked_number"] or 0), asked=True)


def _replaced(sql: str, marks: list[_Mark], texts: list[str]) -> str:
    """Return the statement with these texts in the places of the placeholders."""
    parts: list[str] = []
    at = 0
    for mark, text in zip(marks, texts, strict=True):
        parts += [sql[at : mark.begin], text]
        at = mark.end
    return "".join([*parts, sql[at:]])


@lru_cache(_REMEMBERED)
def with_question_marks(sql: str) -> str:
    """Return a statement with `?1` for each `$1`, as SQLite writes it; InvalidQueryError if it has both kinds."""
    if "$" not in sql:
        return sql
    marks = list(_marks(sql, _SQLITE))
    numbered = [mark for mark in marks if not mark.asked]
    if not numbered:
        return sql
    if len(numbered) < len(marks):
        raise InvalidQueryError(f"{sql!r:.80} has both ? and $1: write all of its parameters in one way")
    return _replaced(sql, numbered, [f"?{mark.number}" for mark in numbered])


def with_numbers(sql: str, parameters: int) -> str:
    """Return a statement with so many parameters with `$1` for each `?`, as PostgreSQL writes it.

    Where a statement has a `$1`, or no parameters, each `?` is an operator. InvalidQueryError for another number of `?`.
    """
    if "?" not in sql or not parameters:
        return sql
    text, found = _numbered(sql)
    if found is not None and found != parameters:
        raise InvalidQueryError(
            f"{sql!r:.80} has {found} ?, but there are {parameters} parameters: pass one for each; in a statement in which ? "
            "is an operator, write them as $1, $2, …"
        )
    return text


@lru_cache(_REMEMBERED)
def _numbered(sql: str) -> tuple[str, int | None]:
    """Return the statement and how many parameters its question marks stand for; None if they are none."""
    marks = list(_marks(sql, _POSTGRES))
    if not marks or not all(mark.asked for mark in marks):
        return sql, None
    if all(mark.number for mark in marks):
        numbers = [mark.number for mark in marks]
    elif not any(mark.number for mark in marks):
        numbers = list(range(1, len(marks) + 1))
    else:
        raise InvalidQueryError(f"{sql!r:.80} has both ? and ?1: write all of its parameters in one way")
    return _replaced(sql, marks, [f"${number}" for number in numbers]), max(numbers)
