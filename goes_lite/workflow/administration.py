"""Looking at instances, and letting those go on that wait for a person: `db.workflows`."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from typing import Any, TypeAlias

from goes_lite.contract.backend import TRANSACTIONS, Backend
from goes_lite.contract.own_collections import WORKFLOWS
from goes_lite.errors import AbilityMissing, ConfigError, InstanceNotFound, WorkflowError
from goes_lite.events.fields import to_micros
from goes_lite.events.workflow import InputRef, WorkflowEnded, WorkflowResumed
from goes_lite.processor.target import Displaced
from goes_lite.runtime.backoff import Backoff
from goes_lite.workflow.checking import HistoryDifference, differences
from goes_lite.workflow.definition import Definition, Workflow
from goes_lite.workflow.history import Moment, history_of
from goes_lite.workflow.instance import ENDED, Failing, Instance
from goes_lite.workflow.stored import Stored
from goes_lite.workflow.transition import Recorded, Step
from goes_lite.workflow.work import Work

Which: TypeAlias = Workflow[Any] | type[Workflow[Any]] | str
"""A workflow: an instance of its class, the class, or its name."""

TRIES = 10


class Workflows:
    """The workflows of a store, in whatever process they run. Available as `db.workflows`.

    What it changes is in the log at once; the running instance of the processor, in any process, goes on from there.
    """

    def __init__(self, backend: Backend) -> None:
        self._backend = backend

    def __repr__(self) -> str:
        return f"<Workflows of {self._backend.location}>"

    # --- looking ----------------------------------------------------------------------------------------------------

    async def names(self) -> list[str]:
        """Return the names of the workflows that have an instance in this store."""
        found = await self._backend.models.collections()
        return [name.removeprefix(WORKFLOWS) for name in found if name.startswith(WORKFLOWS)]

    async def find(self, workflow: Which, key: str) -> Instance | None:
        """Return an instance, its latest run; None if there is none."""
        return await Stored(self._backend, _name(workflow)).instances.find(key)

    async def stuck(self, workflow: Which | None = None) -> list[Instance]:
        """Return the instances that cannot handle their next input: those that are tried again, and the suspended ones.

        `Instance.failing` says since when and why, and `retry`, `skip`, `cancel` and `migrate` let them go on.
        """
        return [one for one in await self.list(workflow, live=True) if one.failing is not None]

    async def show(self, workflow: Which, key: str, *, earlier: Sequence[Workflow[Any]] = ()) -> list[Moment]:
        """Return the history of an instance, of all its runs: what it was told, what it did, and when.

        Given the workflow itself, not only its name, with the state after each input; `earlier` are older versions, for
        instances that run under them. Only `evolve` is called; nothing is done again. Empty if there is no such instance.
        """
        definitions: dict[int, Definition] = {}
        for one in (*((workflow,) if isinstance(workflow, Workflow) else ()), *earlier):
            definition = Definition(one, self._backend.registry)
            definitions[definition.version] = definition
        return await history_of(self._backend, _name(workflow), key, definitions)

    async def check_histories(
        self, workflow: Workflow[Any], *, earlier: Sequence[Workflow[Any]] = (), limit: int | None = None
    ) -> list[HistoryDifference]:
        """Run the history of every instance through today's code; return, for each that would go another way, where it begins.

        For tests before an upgrade, on a copy of a real store: if nothing differs, running instances can go on with the new
        code. Otherwise raise the version and pass the old definition as `earlier`, here and to `Database.workflow`. An instance
        is checked with the definition of its version, or the newest one if that is missing. Nothing is done again; functions
        of the definition are called with the inputs of the log. At most `limit` instances, by their keys.
        """
        newest = Definition(workflow, self._backend.registry)
        definitions = {one.version: Definition(one, self._backend.registry) for one in earlier} | {
            newest.version: newest
        }
        return await differences(self._backend, newest, definitions, limit)

    # --- changing ---------------------------------------------------------------------------------------------------

    async def retry(self, workflow: Which, key: str) -> None:
        """Let an instance that cannot handle its next input try again, now and with all its patience; then what waited follows.

        InstanceNotFound if there is none, or it has ended; WorkflowError if it is not stuck.
        """

        async def resumed(work: Work, instance: Instance) -> None:
            _step(work, _again(work, instance), WorkflowResumed("retry", instance.version))

        await self._change(workflow, key, resumed, stuck=True)

    async def skip(self, workflow: Which, key: str) -> None:
        """Let an instance go on without the input that it cannot handle, or without the undo that has failed.

        It is never told that input; its later ones follow. Errors as for `retry`; WorkflowError if that would be its first input:
        cancel it instead.
        """

        async def skipped(work: Work, instance: Instance) -> None:
            failing = instance.failing
            if failing is None:
                return
            told: InputRef | None = None
            if instance.compensating and instance.undoing is None and instance.undo:
                instance = replace(instance, undo=instance.undo[:-1], failed_undo=None)
            elif failing.timer:
                told = InputRef("timer", failing.input, due=failing.timer, time=to_micros(work.now))
                instance = replace(instance, timers=instance.timers_without(failing.input))
            else:
                if not instance.inputs:
                    raise WorkflowError(
                        _name(workflow), key, f"{key!r:.120} cannot skip the event that starts it: cancel it instead"
                    )
                waiting = await work.stored.waiting(key).query(limit=1).list()
                for row in waiting:
                    told = InputRef("event", row.name, row.position, row.id)
                    work.told(key, row.position)
                    instance = replace(instance, position=max(instance.position, row.position))
            _step(work, _again(work, instance), WorkflowResumed("skip", instance.version, told))

        await self._change(workflow, key, skipped, stuck=True)

    async def cancel(self, workflow: Which, key: str, *, reason: str = "") -> None:
        """End an instance as cancelled: its timers and what waits for it are removed, and nothing is undone.

        Commands that it has dispatched are handled nevertheless. InstanceNotFound if there is none, or it has ended.
        """
        if not isinstance(reason, str):
            raise ConfigError(f"reason must be a str, not {reason!r:.80}")

        async def cancelled(work: Work, instance: Instance) -> None:
            await work.stored.waiting(key).clear()
            _step(work, instance.ending("cancelled", reason), WorkflowEnded("cancelled", reason))

        await self._change(workflow, key, cancelled)

    async def migrate(self, workflow: Which, key: str, version: int | None = None) -> None:
        """Let an instance go on under another version of its definition, by default that of the workflow that is given.

        If it is stuck, it tries its next input again. Its state must be one of that version, too. InstanceNotFound if there is
        none, or it has ended; ConfigError without a version.
        """
        to = version if version is not None or isinstance(workflow, str) else workflow.version
        if type(to) is not int or to < 1:
            raise ConfigError(f"version must be an int ≥ 1, not {to!r:.80}")

        async def migrated(work: Work, instance: Instance) -> None:
            instance = replace(instance, version=to)
            instance = instance if instance.failing is None else _again(work, instance)
            _step(work, instance, WorkflowResumed("migrate", to))

        await self._change(workflow, key, migrated)

    async def _change(
        self, workflow: Which, key: str, change: Callable[[Work, Instance], Awaitable[None]], *, stuck: bool = False
    ) -> None:
        """Change an instance in a transaction; if the engine was faster, look again."""
        name, backend = _name(workflow), self._backend
        if TRANSACTIONS not in backend.abilities:
            raise AbilityMissing(TRANSACTIONS, backend.location)
        for attempt in range(1, TRIES + 1):
            try:
                async with backend.transaction() as tx:
                    work = Work(backend, tx, name, backend.runtime.clock.now(), careful=True)
                    await work.load([key])
                    instance = work.get(key)
                    if instance is None or instance.status in ENDED:
                        raise InstanceNotFound(name, key, "" if instance is None else instance.status)
                    if stuck and instance.failing is None:
                        raise WorkflowError(
                            name,
                            key,
                            f"{key!r:.120} of the workflow {name!r} is {instance.status}, and not stuck: let it go on",
                        )
                    await change(work, instance)
                    await work.save()
                return
            except Displaced:
                if attempt == TRIES:
                    raise WorkflowError(
                        name,
                        key,
                        f"{key!r:.120} of the workflow {name!r} was changed by others {TRIES} times meanwhile: try again",
                    ) from None
                await backend.runtime.sleep(Backoff(0.01, maximum=1.0)(attempt))

    # --- all of them (last, because of its name) --------------------------------------------------------------------------

    async def list(
        self, workflow: Which | None = None, *, status: str | None = None, live: bool = False, limit: int | None = None
    ) -> list[Instance]:
        """Return the instances of one workflow, or of all, by their keys.

        `status` selects those that are running, compensating, suspended, completed, failed or cancelled; `live` those that have
        not ended. At most `limit` of each workflow. ConfigError for something that is no workflow.
        """
        names = await self.names() if workflow is None else [_name(workflow)]
        found: list[Instance] = []
        for name in names:
            where = None if status is None else {"status": status}
            limited = None if live else limit
            mine = [
                one
                async for one in Stored(self._backend, name).instances.query(where=where, limit=limited)
                if not (live and one.ended)
            ]
            found += mine[:limit]
        return found


def _again(work: Work, instance: Instance) -> Instance:
    """Return the instance as one that is tried again at once."""
    before = instance.failing or Failing(work.now, 0, "")
    failing = replace(before, since=work.now, attempts=0, retry=to_micros(work.now))
    return replace(instance, status="compensating" if instance.compensating else "running", failing=failing)


def _step(work: Work, instance: Instance, data: Any) -> None:
    instance = replace(instance, events=instance.events + 1, updated=work.now)
    work.step(Step(instance, (), (Recorded(data),), ()), None)


def _name(workflow: object) -> str:
    name = workflow if isinstance(workflow, str) else getattr(workflow, "name", None)
    if not isinstance(name, str) or not name:
        raise ConfigError(f"a workflow is a Workflow or its name, not {workflow!r:.80}")
    return name
