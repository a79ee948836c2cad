"""Where the placeholders in a statement are: read by the rules of SQLite and PostgreSQL, which are asked as well."""

from __future__ import annotations

import sqlite3

import pytest
from hypothesis import given
from hypothesis import strategies as st

from goes_lite.errors import InvalidQueryError
from goes_lite.kit.placeholders import with_numbers, with_question_marks


@pytest.mark.parametrize(
    ("sql", "translated"),
    [
        ("INSERT INTO t VALUES ($1,$2)", "INSERT INTO t VALUES (?1,?2)"),
        ("SELECT $2, $10 WHERE a=$1", "SELECT ?2, ?10 WHERE a=?1"),
        ("SELECT '$1', 'it''s $1', x'24', $1", "SELECT '$1', 'it''s $1', x'24', ?1"),
        ('SELECT "$1", "a""$1", `$1`, [$1], $1', 'SELECT "$1", "a""$1", `$1`, [$1], ?1'),
        ("SELECT $1 -- $2 '\n, $3 /* $4 ' /* */ , $5", "SELECT ?1 -- $2 '\n, ?3 /* $4 ' /* */ , ?5"),
        ("SELECT a$1, é$1, 1$1, $name, :b$1, @c$1, $1x", "SELECT a$1, é$1, 1$1, $name, :b$1, @c$1, $1x"),
        ("SELECT 'never ends $1", "SELECT 'never ends $1"),
        ("SELECT /* never ends $1", "SELECT /* never ends $1"),
        ("SELECT ?, ?1, '$1'", "SELECT ?, ?1, '$1'"),
    ],
)
def test_numbers_become_question_marks(sql: str, translated: str) -> None:
    """As SQLite reads them; everything else stays as it is."""
    assert with_question_marks(sql) == translated


@pytest.mark.parametrize(
    ("sql", "parameters", "translated"),
    [
        ("INSERT INTO t VALUES (?,?)", 2, "INSERT INTO t VALUES ($1,$2)"),
        ("SELECT ?2, ?1, ?2", 2, "SELECT $2, $1, $2"),
        ("SELECT 'a?', 'it''s ?', E'it\\'s ?', e'\\\\', ?", 1, "SELECT 'a?', 'it''s ?', E'it\\'s ?', e'\\\\', $1"),
        ("SELECT '\\', ?", 1, "SELECT '\\', $1"),
        ('SELECT "?", "a""?", U&"?", ?', 1, 'SELECT "?", "a""?", U&"?", $1'),
        ("SELECT $$ ? $a$ $$, $a$ ? $$ $b$ $a$, ?", 1, "SELECT $$ ? $a$ $$, $a$ ? $$ $b$ $a$, $1"),
        ("SELECT /* ? /* ? */ ? */ ? -- ?\n, ?", 2, "SELECT /* ? /* ? */ ? */ $1 -- ?\n, $2"),
        ("SELECT a ?| b, a ?& b, a @? b, ?||'x', 'x'||?", 2, "SELECT a ?| b, a ?& b, a @? b, $1||'x', 'x'||$2"),
        ("SELECT a=?,a<?,(?),-?,?::text", 5, "SELECT a=$1,a<$2,($3),-$4,$5::text"),
        ("SELECT data ? 'k' WHERE a = $1", 1, "SELECT data ? 'k' WHERE a = $1"),
        ("SELECT data ? 'k'", 0, "SELECT data ? 'k'"),
        ("SELECT $1", 1, "SELECT $1"),
        ("SELECT 'never ends ?", 1, "SELECT 'never ends ?"),
        ("SELECT /* never ends ?", 1, "SELECT /* never ends ?"),
        ("SELECT $$ never ends ?", 1, "SELECT $$ never ends ?"),
    ],
)
def test_question_marks_become_numbers(sql: str, parameters: int, translated: str) -> None:
    """As PostgreSQL reads them; everything else stays as it is, and so does a statement in which they are operators."""
    assert with_numbers(sql, parameters) == translated


@pytest.mark.parametrize("sql", ["SELECT ?, $1", "SELECT $1, ?2"])
def test_both_kinds_are_refused_by_sqlite(sql: str) -> None:
    """Which would number the question marks after the greatest number so far."""
    with pytest.raises(InvalidQueryError, match=r"both \? and \$1"):
        with_question_marks(sql)


def test_a_wrong_number_is_refused_before_the_server_is_asked() -> None:
    """The message says what to do where a question mark was meant as an operator."""
    with pytest.raises(
        InvalidQueryError, match=r"has 2 \?, but there are 1 parameters: .* is an operator, write them as \$1"
    ):
        with_numbers("SELECT data ? 'k' WHERE a = ?", 1)
    with pytest.raises(InvalidQueryError, match=r"both \? and \?1"):
        with_numbers("SELECT ?, ?1", 2)


PIECES = st.sampled_from(
    [
        "'",
        '"',
        "`",
        "[",
        "]",
        "--",
        "/*",
        "*/",
        "\n",
        " ",
        "$1",
        "$2",
        "a",
        "$",
        "é",
        "''",
        ",",
        "$1 ",
        " $2",
        ";",
        ":x",
    ]
)


@given(st.lists(PIECES, max_size=12).map("".join))
def test_sqlite_finds_the_same_placeholders(text: str) -> None:
    """SQLite's own tokenizer is the judge: the statement needs as many parameters as we found, and reads the rest alike."""
    sql = f"SELECT 1 /* {text}" if text.count("/*") else f"SELECT {text}"
    connection = sqlite3.connect(":memory:")
    try:
        translated = with_question_marks(sql)
        try:
            connection.execute(sql.replace("$1", ":p1").replace("$2", ":p2"), {"p1": 5, "p2": 6, "x": 7}).fetchall()
        except sqlite3.Error:
            return  # what SQLite cannot read says nothing about us
        with_names = translated.replace("?1", ":p1").replace("?2", ":p2")
        before = connection.execute(
            sql.replace("$1", ":p1").replace("$2", ":p2"), {"p1": 5, "p2": 6, "x": 7}
        ).fetchall()
        assert connection.execute(with_names, {"p1": 5, "p2": 6, "x": 7}).fetchall() == [
            tuple(_undone(value) for value in row) for row in before
        ]
    finally:
        connection.close()


def _undone(value: object) -> object:
    """What is left of a placeholder in a string is as it was."""
    return value.replace(":p1", "$1").replace(":p2", "$2") if isinstance(value, str) else value
