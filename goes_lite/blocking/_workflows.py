"""The blocking face of `db.workflows`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from goes_lite.runtime.portal import Portal
from goes_lite.workflow import HistoryDifference, Instance, Moment, Which, Workflow, Workflows


class BlockingWorkflows:
    """The workflows of a store, in whatever process they run. Available as `db.workflows`."""

    def __init__(self, workflows: Workflows, portal: Portal) -> None:
        self._workflows = workflows
        self._portal = portal

    def __repr__(self) -> str:
        return f"<blocking {self._workflows!r}>"

    def names(self) -> list[str]:
        """Return the names of the workflows that have an instance in this store."""
        return self._portal.run(self._workflows.names())

    def find(self, workflow: Which, key: str) -> Instance | None:
        """Return an instance, its latest run; None if there is none."""
        return self._portal.run(self._workflows.find(workflow, key))

    def stuck(self, workflow: Which | None = None) -> list[Instance]:
        """Return the instances that cannot handle their next input: those that are tried again, and the suspended ones.

        `Instance.failing` says since when and why, and `retry`, `skip`, `cancel` and `migrate` let them go on.
        """
        return self._portal.run(self._workflows.stuck(workflow))

    def show(self, workflow: Which, key: str, *, earlier: Sequence[Workflow[Any]] = ()) -> list[Moment]:
        """Return the history of an instance, of all its runs: what it was told, what it did, and when.

        Given the workflow itself, not only its name, with the state after each input; `earlier` are older versions, for
        instances that run under them. Only `evolve` is called; nothing is done again. Empty if there is no such instance.
        """
        return self._portal.run(self._workflows.show(workflow, key, earlier=earlier))

    def check_histories(
        self, workflow: Workflow[Any], *, earlier: Sequence[Workflow[Any]] = (), limit: int | None = None
    ) -> list[HistoryDifference]:
        """Run the history of every instance through today's code; return, for each that would go another way, where it begins.

        For tests before an upgrade, on a copy of a real store: if nothing differs, running instances can go on with the new
        code. Otherwise raise the version and pass the old definition as `earlier`, here and to `Database.workflow`. An instance
        is checked with the definition of its version, or the newest one if that is missing. Nothing is done again; functions
        of the definition are called with the inputs of the log. At most `limit` instances, by their keys.
        """
        return self._portal.run(self._workflows.check_histories(workflow, earlier=earlier, limit=limit))

    def retry(self, workflow: Which, key: str) -> None:
        """Let an instance that cannot handle its next input try again, now and with all its patience; then what waited follows.

        InstanceNotFound if there is none, or it has ended; WorkflowError if it is not stuck.
        """
        self._portal.run(self._workflows.retry(workflow, key))

    def skip(self, workflow: Which, key: str) -> None:
        """Let an instance go on without the input that it cannot handle, or without the undo that has failed.

        It is never told that input; its later ones follow. Errors as for `retry`; WorkflowError if that would be its first input:
        cancel it instead.
        """
        self._portal.run(self._workflows.skip(workflow, key))

    def cancel(self, workflow: Which, key: str, *, reason: str = "") -> None:
        """End an instance as cancelled: its timers and what waits for it are removed, and nothing is undone.

        Commands that it has dispatched are handled nevertheless. InstanceNotFound if there is none, or it has ended.
        """
        self._portal.run(self._workflows.cancel(workflow, key, reason=reason))

    def migrate(self, workflow: Which, key: str, version: int | None = None) -> None:
        """Let an instance go on under another version of its definition, by default that of the workflow that is given.

        If it is stuck, it tries its next input again. Its state must be one of that version, too. InstanceNotFound if there is
        none, or it has ended; ConfigError without a version.
        """
        self._portal.run(self._workflows.migrate(workflow, key, version))

    def list(
        self, workflow: Which | None = None, *, status: str | None = None, live: bool = False, limit: int | None = None
    ) -> list[Instance]:
        """Return the instances of one workflow, or of all, by their keys.

        `status` selects those that are running, compensating, suspended, completed, failed or cancelled; `live` those that have
        not ended. At most `limit` of each workflow. ConfigError for something that is no workflow.
        """
        return self._portal.run(self._workflows.list(workflow, status=status, live=live, limit=limit))
