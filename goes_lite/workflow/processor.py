"""The engine: a processor that tells the instances of a workflow their inputs, in one transaction with all that they do."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from typing import Any, Unpack, cast

from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.event_bus import Start
from goes_lite.errors import (
    TRANSIENT,
    CodecError,
    ConfigError,
    TransactionError,
)
from goes_lite.events.event import Event
from goes_lite.processor import Processor, Retry, RunOptions
from goes_lite.processor.records import parked_events, parked_key
from goes_lite.processor.target import HandlerFailed
from goes_lite.runtime.face import Face, call
from goes_lite.workflow.code import CodeWorkflow
from goes_lite.workflow.definition import Definition, Workflow
from goes_lite.workflow.due import DueWork
from goes_lite.workflow.options import OnSecondStart, check_workflow_options
from goes_lite.workflow.steps import Steps
from goes_lite.workflow.telling import About, Teller
from goes_lite.workflow.work import UNSTORABLE, Work


class WorkflowProcessor(Processor):
    """A processor that runs a workflow; see `Database.workflow`."""

    of_workflow = True

    def __init__(
        self,
        backend: Backend,
        workflow: Workflow[Any],
        face: Face,
        *,
        start: Start = "beginning",
        earlier: Sequence[Workflow[Any]] = (),
        on_second_start: OnSecondStart = "ignore",
        strict: bool = False,
        patience: float = 300.0,
        **options: Unpack[RunOptions],
    ) -> None:
        check_workflow_options(on_second_start, strict, patience)
        newest = Definition(workflow, backend.registry)
        definitions = {newest.version: newest}
        for one in earlier:
            found = Definition(one, backend.registry)
            if found.name != newest.name or found.version >= newest.version or found.version in definitions:
                raise ConfigError(
                    f"earlier must be definitions of {newest.name!r} with versions below {newest.version}, each once, not {one!r}"
                )
            definitions[found.version] = found
        self.workflow = workflow
        self.teller = Teller(definitions, newest.version, on_second_start, patience, strict=strict)
        if options.get("retry") is None:
            options["retry"] = Retry() if strict or on_second_start == "error" else Retry(then="park")
        if options.get("batch") is None:
            options["batch"] = 500
        query = reduce(lambda one, other: one | other, (one.query for one in definitions.values()))
        super().__init__(
            backend, newest.tag, _TellingTarget(backend, newest.tag, self.teller, face),
            query=query, start=start, transactional=True, **options,
        )  # fmt: skip
        self.chores = DueWork(backend, self.teller, face)
        self.steps: Steps | None = None
        """What makes the calls of a workflow that is a function; None for any other."""
        if isinstance(workflow, CodeWorkflow):
            self.steps = Steps(backend, definitions, newest, face, patience)

    @property
    def ignored(self) -> int:
        """How many inputs this instance of the processor has ignored: for instances that do not exist, or have ended."""
        return self.teller.ignored


class _TellingTarget:
    """Tells instances the events of a batch."""

    def __init__(self, backend: Backend, name: str, teller: Teller, face: Face) -> None:
        self._backend = backend
        self._name = name
        self._teller = teller
        # The functions of the program run for a whole batch at a time: in a thread where they would block an event loop.
        self._concerned = face.function(teller.concerned, "key")
        self._tell = cast("Callable[..., Any]", face.function(teller.tell, "a method of a workflow"))

    async def apply(self, events: Sequence[Event[Any]], tx: Transaction | None) -> None:
        if tx is None:
            raise TransactionError(
                "a workflow writes in a transaction, and got none: run it on a backend with transactions"
            )
        if not events:
            return
        work = Work(self._backend, tx, self._teller.newest.name, self._backend.runtime.clock.now())
        about = cast("list[About]", await call(self._concerned, events))
        await work.load_associated(dict.fromkeys(key for one in about for key in one.reacts))
        await work.load(dict.fromkeys(key for one in about for key in (*one.starts, *one.reacts)))
        self._teller.again = await self._dead_letter(events, about, work, tx)
        index = 0
        while index < len(events):
            index, missing = cast("tuple[int, list[str]]", await call(self._tell, work, events, about, index))
            await work.load(missing)
        try:
            await work.save()
        except TRANSIENT:
            raise
        except UNSTORABLE as exc:
            raise HandlerFailed(exc, None) from exc  # it is unknown which event caused it

    async def _dead_letter(
        self, events: Sequence[Event[Any]], about: Sequence[About], work: Work, tx: Transaction
    ) -> int | None:
        """Return the position of the event if it is a dead letter that is tried again: later ones were told since."""
        if len(events) != 1:
            return None
        position = events[0].position
        try:
            starts, reacts, _ = about[0]
            known = [
                work.get(key) for key in (*starts, *reacts, *(one for key in reacts for one in work.associated(key)))
            ]
        except CodecError:  # of an instance that cannot be told anything
            return None
        if not any(one is not None and position <= one.position for one in known):
            return None
        letter = await parked_events(tx.models, self._name, self._backend.runtime).find(parked_key(position))
        return None if letter is None else position
