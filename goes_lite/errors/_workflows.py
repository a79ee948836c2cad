"""Errors about workflows and their instances."""

from __future__ import annotations

from goes_lite.errors._base import GoesError, shown


class WorkflowError(GoesError):
    """Base of errors about workflows. Attributes: `workflow` (its name), `key` (of the instance; empty if it is about none)."""

    def __init__(self, workflow: str, key: str, message: str) -> None:
        self.workflow = workflow
        self.key = key
        super().__init__(message)


class InstanceNotFound(WorkflowError, LookupError):
    """There is no such instance: it was never started, or has ended where a live one is needed."""

    def __init__(self, workflow: str, key: str, status: str = "") -> None:
        fact = (
            f"is {status}, so nothing concerns it any more"
            if status
            else "does not exist: it starts with its first event"
        )
        super().__init__(workflow, key, f"the instance {key!r:.120} of the workflow {workflow!r} {fact}")


class InstanceExists(WorkflowError, ValueError):
    """An event would start an instance whose key is taken: `on_second_start` says what happens then."""

    def __init__(self, workflow: str, key: str, status: str) -> None:
        super().__init__(
            workflow,
            key,
            f"the workflow {workflow!r} was already started for {key!r:.120}, and is {status}: pass "
            "on_second_start='ignore', or 'new run' to start again after its end",
        )


class InvalidEffect(WorkflowError, ValueError):
    """A reaction returned something that cannot be done."""


class TooManyEffects(WorkflowError):
    """A reaction to one input has more effects, or larger ones, than an instance may have. Attribute: `limit`."""

    def __init__(self, workflow: str, key: str, what: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            workflow,
            key,
            f"the reaction of {key!r:.120} of the workflow {workflow!r} has more than {limit} {what}: does it loop? "
            "Spread the work over several inputs",
        )


class UnknownStep(WorkflowError, LookupError):
    """An instance needs what its definition does not have here: its version, or a step. Attribute: `step`."""

    def __init__(self, workflow: str, key: str, step: str, known: str) -> None:
        self.step = step
        super().__init__(
            workflow,
            key,
            f"the instance {key!r:.120} of the workflow {workflow!r} needs {shown(step)}, which this program does not have "
            f"({known}): update the program, or migrate the instance",
        )
