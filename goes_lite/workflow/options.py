"""The options of a workflow, as type checkers see them on both faces."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal, TypeAlias, get_args

from goes_lite.contract.event_bus import Start
from goes_lite.errors import ConfigError
from goes_lite.errors.options import check_flag, check_period
from goes_lite.processor import RunOptions

OnSecondStart: TypeAlias = Literal["ignore", "error", "new run"]
"""What happens when an event would start an instance whose key is taken: see `WorkflowOptions`."""

YEAR = 366 * 86_400


class WorkflowOptions(RunOptions, total=False):
    """How a workflow runs."""

    start: Start
    """Where it begins the first time: at the 'beginning' by default."""
    earlier: Sequence[Any]
    """Earlier versions of the definition, for the instances that started under them: none by default."""
    on_second_start: OnSecondStart
    """What happens when an event would start an instance whose key is taken: 'ignore' by default, 'error', or 'new run', which
    starts again after the end of the one before and ignores the event until then."""
    strict: bool
    """Whether an event for an instance that does not exist or has ended is an error: by default it is counted and ignored."""
    patience: float
    """Seconds for which an instance that cannot handle an input is tried again before it is suspended: 300 by default."""


def check_workflow_options(on_second_start: object, strict: object, patience: object) -> None:
    """ConfigError for an option of a wrong type or value."""
    if on_second_start not in get_args(OnSecondStart):
        raise ConfigError(
            f"on_second_start must be one of {', '.join(map(repr, get_args(OnSecondStart)))}, not {on_second_start!r:.80}"
        )
    check_flag("strict", strict)
    check_period("patience", patience, YEAR)
