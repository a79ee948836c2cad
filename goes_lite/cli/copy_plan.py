"""What `goes-lite copy --dry-run` says, and the part of the log that its arguments name."""

from __future__ import annotations

import argparse
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from goes_lite.cli.exits import UsageError
from goes_lite.cli.opening import imported
from goes_lite.cli.pace import duration
from goes_lite.cli.terminal import DIM, PLAIN, Terminal
from goes_lite.operations.forms import size

if TYPE_CHECKING:
    from goes_lite.blocking import BlockingDatabase
    from goes_lite.cli.output import Output
    from goes_lite.operations import CopyPlan


def part_of(arguments: argparse.Namespace) -> dict[str, Any]:
    """Return the arguments of `copy_part`; none for a whole copy."""
    part: dict[str, Any] = {
        name: getattr(arguments, name) for name in ("upto", "until") if getattr(arguments, name) is not None
    }
    if arguments.only:
        part["only"] = arguments.only
    if arguments.transform is not None:
        part["transform"] = _function(arguments.transform)
    return part


def _function(name: str) -> object:
    module, attribute = imported("--transform", name)
    function: object = getattr(module, attribute, None)
    if not callable(function):
        raise UsageError(f"--transform {name}: {module.__name__} has no function {attribute!r}")
    return function


def tell_plan(arguments: argparse.Namespace, out: Output, source: BlockingDatabase) -> None:
    """Say what a copy would do; nothing is created or written."""
    from goes_lite.blocking import connect, operations
    from goes_lite.database.address import shown_url
    from goes_lite.database.config import read_configuration
    from goes_lite.database.connect import factory_for, store_of
    from goes_lite.errors import StoreUnavailable
    from goes_lite.events.registry import Registry

    factory, address = store_of(read_configuration(arguments.target))
    missing = frozenset[str]()
    if isinstance(able := getattr(factory, "abilities", None), frozenset):
        ours = getattr(factory_for(_scheme(arguments.store)), "abilities", source.backend.abilities)
        missing = ours - able  # pyright: ignore[reportUnknownVariableType]
    with ExitStack() as stack:
        url: object = Path(address.location) if address.scheme == "sqlite" else address.location
        options: dict[str, Any] = dict(address.options)
        if "read_only" in getattr(factory, "options", {}):
            options["read_only"] = True
        try:
            target = stack.enter_context(
                connect(url, registry=Registry(), unknown="raw", unfinished=True, **options)  # type: ignore[arg-type]
            )
        except StoreUnavailable as problem:  # there is none yet: what a new one is like is known from one elsewhere
            out.note(f"nothing can be read at {shown_url(arguments.target)} yet: {problem}")
            scratch = stack.enter_context(TemporaryDirectory(prefix="goes-lite-"))
            target = stack.enter_context(connect(Path(scratch, "new.db"), registry=Registry()))
        plan = operations.plan_copy(source, target, update=arguments.update or arguments.follow)
    plan = plan._replace(missing=missing)
    if plan.refused:
        out.finding("copy-refused", f"the copy would be refused: {plan.refused}")
    data = {"action": "copy", "target": source.location, "done": False, **plan._asdict()}
    out.result(data, lambda terminal: _lines(terminal, plan, f"{source.location} into {shown_url(arguments.target)}"))


def _scheme(url: str) -> str:
    from goes_lite.database.address import parse

    return parse(url).scheme


def _lines(terminal: Terminal, plan: CopyPlan, what: str) -> None:
    rows = [
        ("would copy", what),
        ("events", f"{plan.events:,}, of {sum(plan.aggregates.values()):,} aggregates; head at position {plan.head}"),
        ("models", f"{sum(plan.models.values()):,}, in {len(plan.models)} collections, those of goes_lite included"),
        ("others", f"{plan.snapshots:,} snapshots, {plan.checkpoints:,} checkpoints"),
        ("size", "unknown" if plan.size is None else f"{size(plan.size)} in the source"),
        ("time", f"about {duration(plan.seconds)}, if the target writes as fast as the source is read"),
        ("lacks", ", ".join(sorted(plan.missing)) or "nothing that the source can do"),
    ]
    for label, value in rows:
        terminal.parts((f"{label:<12}", DIM), (value, PLAIN))
