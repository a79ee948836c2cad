"""`goes-lite rebuild`: the read model of a projection, from the first event on."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from types import ModuleType
from typing import TYPE_CHECKING

from goes_lite.cli.catalog import did_you_mean
from goes_lite.cli.changing import Change, carry_out
from goes_lite.cli.command import Command, app_argument, store_argument
from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import opened
from goes_lite.cli.output import Output
from goes_lite.database import Database
from goes_lite.errors.functions import form_of
from goes_lite.runtime.face import AsyncFace

if TYPE_CHECKING:
    from goes_lite.projection import Projection


def configure(parser: argparse.ArgumentParser) -> None:
    """Add the arguments."""
    store_argument(parser)
    parser.add_argument("projection", metavar="PROJECTION", help="the name of the projection")
    parser.add_argument(
        "--in-place",
        action="store_true",
        help="clear the read model first: readers see it grow. The projection needs no switch()",
    )
    app_argument(parser)


def run(arguments: argparse.Namespace, out: Output) -> int:
    """Count, ask, rebuild."""
    if not arguments.app:
        raise UsageError("the program's class rebuilds the read model: name its module with --app")
    with opened(arguments, out) as db:
        projection = projection_of(arguments.app.partition(":")[0], arguments.projection)
        query = projection.query(db.registry)
        effect = {"events": db.events.count(query)}
        methods = [*projection.methods(db.registry).values(), projection.create, projection.clear, projection.switch]
        is_async = any(form_of(method) == "a coroutine" for method in methods)
    how = "in place" if arguments.in_place else "next to the live one, and switch"
    change = Change(
        "rebuild", projection.name, f"rebuild {projection.name!r:.80}, version {projection.version}, {how}", effect
    )

    async def work(database: Database) -> Mapping[str, int]:
        of = Database(database.backend, AsyncFace()) if is_async else database
        processor = of.projection(projection)
        if arguments.in_place:
            await processor.reset()
            await processor.catch_up()
            return effect
        parity = await processor.rebuild(progress=lambda told: out.reading(told.position, told.goal))
        out.progress("")
        return {**effect, **({"different rows": parity.different} if parity.compared else {})}

    return carry_out(arguments, out, change, work, loop=is_async)


def projection_of(module: str, name: str) -> Projection:
    """Return the projection of a name that a module defines, as an instance or as a class without arguments."""
    found = {one.name: one for one in _projections(sys.modules[module])}
    if name not in found:
        raise UsageError(f"{module} has no projection {name!r:.80}{did_you_mean(name, found)}")
    return found[name]


def _projections(module: ModuleType) -> Iterator[Projection]:
    from goes_lite.projection import Projection

    for name in dir(module):
        value: object = getattr(module, name)
        if isinstance(value, Projection):
            yield value
        elif isinstance(value, type) and issubclass(value, Projection) and value.name:
            try:
                yield value()
            except TypeError:  # it needs arguments: only an instance of it can be found
                continue


COMMAND = Command(
    "Rebuild the read model of a projection from the events: next to the live one, which readers see until the new one "
    "replaces it, or in place. It can be interrupted; the next run resumes.",
    run,
    configure,
    (
        "goes-lite rebuild shop.db order-summary --app shop.views --dry-run",
        "goes-lite rebuild shop.db order-summary --app shop.views --yes",
    ),
    changes=True,
)
