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


class StepError(WorkflowError):
    """Base of errors about one step of a workflow that is written as a function. Attribute: `step`."""

    def __init__(self, workflow: str, key: str, step: str, message: str) -> None:
        self.step = step
        super().__init__(workflow, key, f"workflow {workflow!r}, instance {key!r:.120}: {shown(step)} {message}")


class StepFailed(StepError):
    """A step was given up: its call raised at each attempt. Attributes: `error` (the last one, as text), `code`."""

    def __init__(self, workflow: str, key: str, step: str, error: str, code: str = "") -> None:
        self.error = error
        self.code = code
        super().__init__(workflow, key, step, f"failed: {error}")


class StepTimeout(StepError, TimeoutError):
    """What a workflow waited for did not happen in time."""

    def __init__(self, workflow: str, key: str, step: str) -> None:
        super().__init__(workflow, key, step, "did not happen in time")


class DuplicateStep(StepError, ValueError):
    """Two steps of one run have the same name, so nobody could tell their results apart."""

    def __init__(self, workflow: str, key: str, step: str) -> None:
        super().__init__(
            workflow, key, step, "is used twice: give each step a name of its own, in a loop with its number"
        )


class TooManySteps(StepError):
    """A workflow has more steps than one instance may have. Attribute: `limit`."""

    def __init__(self, workflow: str, key: str, step: str, limit: int, what: str = "steps") -> None:
        self.limit = limit
        super().__init__(
            workflow,
            key,
            step,
            f"is one too many, an instance may have {limit} {what}: does it loop? Start another instance",
        )


class ResultTooLarge(StepError):
    """The result of a step is larger than an instance may remember. Attribute: `limit` (bytes)."""

    def __init__(self, workflow: str, key: str, step: str, limit: int) -> None:
        self.limit = limit
        super().__init__(
            workflow, key, step, f"has a result of more than {limit} bytes: store it elsewhere, and return a reference"
        )
