"""Worker processes on PostgreSQL that append without the lock, to see that the judge of readers notices."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from goes_lite_postgres import _append, _statements

if TYPE_CHECKING:
    from goes_lite_postgres._statements import Statements


def mutate(mutant: str) -> None:
    """Take the lock away, and draw positions from a sequence instead, if that is asked for (see `mutated`)."""
    real = _statements.statements

    def unlocked(*args: Any, **kwargs: Any) -> Statements:
        made = real(*args, **kwargs)
        begin = made.begin_append.partition("; SELECT pg_advisory")[0]
        session = made.begin_session.partition("; SELECT pg_advisory")[0]
        return made._replace(begin_append=begin, begin_session=session, lock_log="SELECT 1")

    sys.modules["goes_lite_postgres"].statements = unlocked  # type: ignore[attr-defined]
    if mutant == "sequence":
        write = _append.Group.write

        async def drawn(self: _append.Group, connection: Any, sql: str) -> int | None:
            before = await write(self, connection, sql)
            self.before = self.before if before is None else before  # no longer what was looked up
            return before

        _append.Group.write = drawn  # type: ignore[method-assign]
