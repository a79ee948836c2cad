"""DBOS on SQLite, with its own defaults: a workflow is a decorated function, whose steps are kept in the system database."""

from __future__ import annotations

import contextlib
from collections.abc import Generator
from typing import Any

from dbos import DBOS
from scenario import Task, Unsupported, main, rate


@DBOS.step()
def charge(order: str) -> str:
    return f"charged {order}"


@DBOS.step()
def pack(order: str) -> str:
    return f"parcel for {order}"


@DBOS.step()
def ship(parcel: str) -> str:
    return f"shipped {parcel}"


@DBOS.workflow()
def deliver(order: str) -> str:
    charge(order)
    return ship(pack(order))


@contextlib.contextmanager
def launched(task: Task) -> Generator[None]:
    if task.relaxed:
        raise Unsupported("it has no option for a commit that does not wait for the disk")
    config: Any = {"name": "bench", "system_database_url": f"sqlite:///{task.path}", "log_level": "ERROR"}
    DBOS(config=config)
    DBOS.launch()
    try:
        yield
    finally:
        DBOS.destroy()


def workflow_one_by_one(task: Task) -> dict[str, float]:
    """Each is begun when the one before has its result."""
    with launched(task):
        deliver("warm")

        def work() -> None:
            for number in range(task.events):
                deliver(str(number))

        return rate(task.events, work)


def workflow_many(task: Task) -> dict[str, float]:
    """All are begun, then all results are waited for."""
    with launched(task):
        deliver("warm")

        def work() -> None:
            for handle in [DBOS.start_workflow(deliver, str(number)) for number in range(task.events)]:
                handle.get_result()

        return rate(task.events, work)


main({"workflow_one_by_one": workflow_one_by_one, "workflow_many": workflow_many})
