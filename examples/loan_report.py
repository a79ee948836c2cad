"""A read model of a real event log, kept up to date by a projection, and charts of it in the terminal.

    python3 examples/loan_log.py bpic2012.xes.gz       # imports the log: see there
    python3 examples/loan_report.py bpic2012.db
    python3 examples/loan_report.py bpic2012.db --follow      # during an import, until Ctrl-C
    python3 examples/loan_report.py bpic2012.db --rebuild     # rebuild it next to the live one, and compare

All that this program knows of `loan_log.py` is the names of two events and the few fields that it needs. Its projection
makes one document of each case: when it began, which activities it reached and how soon, how it ended. The first run reads
the whole log, the next one what is new. It may be killed at any time: documents and checkpoint are written together, so it
resumes where it left off and counts nothing twice.

Exit codes: 0 success, 2 wrong input (the reason is on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from statistics import median, quantiles

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes

log = goes.Registry()

# --- the parts of the events that matter here ---------------------------------------------------------------------------


@log.event("case.opened")
@dataclass(frozen=True)
class CaseOpened:
    """Further stored fields are ignored, like those that were removed from a type."""


@log.event("case.step")
@dataclass(frozen=True)
class Step:
    activity: str | None = None


# --- the read model -----------------------------------------------------------------------------------------------------

OUTCOMES = {"A_APPROVED": "approved", "A_DECLINED": "declined", "A_CANCELLED": "cancelled"}
OPEN = "open"
MAX_ACTIVITIES = 200  # per case: a document is read and written as a whole


@dataclass
class Case:
    begun: datetime | None = None
    days: float = 0.0  # from the beginning to the last step
    steps: int = 0
    outcome: str = OPEN
    reached: dict[str, float] = field(default_factory=dict[str, float])  # days until each activity


class Cases(goes.ModelProjection[Case], name="loan-cases"):
    @goes.projects(CaseOpened)
    def opened(self, case: Case, event: goes.Event[CaseOpened]) -> None:
        case.begun = event.time

    @goes.projects(Step)
    def stepped(self, case: Case, event: goes.Event[Step]) -> None:
        case.steps += 1
        activity = event.data.activity or ""
        case.outcome = OUTCOMES.get(activity, case.outcome)
        if case.begun is None or event.metadata.get("time") == "missing":
            return
        days = (event.time - case.begun).total_seconds() / 86_400
        case.days = max(case.days, days)
        if activity and (activity in case.reached or len(case.reached) < MAX_ACTIVITIES):
            case.reached.setdefault(activity, days)


# --- keeping it up to date ----------------------------------------------------------------------------------------------


class Problem(Exception):
    """A problem that the user can solve; the message says how."""


def show(text: str) -> None:
    """Print a line that the next one overwrites, on a terminal only."""
    if sys.stderr.isatty():
        print(f"{text}\x1b[K", end="\r", file=sys.stderr, flush=True)


def keep(db: goes.blocking.BlockingDatabase, *, forever: bool) -> str:
    """Run the projection up to the end of the log, or until Ctrl-C, and return a summary."""
    head, begun = db.events.head(), time.monotonic()
    checkpoint = db.checkpoints.get(Cases.name)
    first = checkpoint.position if checkpoint else 0
    with db.projection(Cases(), lease=2) as cases:
        behind = True
        while behind:
            try:
                cases.wait_for(head, 0.2)
                behind = False
            except goes.errors.ProcessorBehind as error:
                stats = cases.stats()
                show(
                    f"{error.reached / head:4.0%}, {stats.rate:,.0f} events/s"
                    if stats.owner
                    else "waiting for its turn"
                )
        seconds = time.monotonic() - begun
        with suppress(KeyboardInterrupt):
            while forever:
                seen, stats = db.commits.count, cases.stats()
                if stats.state == "failed":
                    raise stats.error or Problem("the projection has ended")
                show(f"position {stats.position:,}, {stats.lag:,} behind, {stats.handled:,} events; Ctrl-C to stop")
                time.sleep(0.2)  # people do not read faster
                db.commits.wait(seen)
    handled = cases.stats().handled  # including the last batch, now that it has stopped
    since = f"resumed after position {first:,}" if first else "from the first event on"
    rate = "" if forever else f" in {seconds:.1f} s ({handled / seconds:,.0f} events/s)"
    return f"{since}: {handled:,} events{rate}"


def rebuild(db: goes.blocking.BlockingDatabase) -> str:
    """Rebuild the read model next to the live one and replace it, and return how the two compare."""
    cases = db.projection(Cases())
    parity = cases.rebuild(progress=lambda now: show(f"{now.position / now.goal:4.0%}, {now.rate:,.0f} events/s"))
    return f"rebuilt, {parity}"


# --- the report ---------------------------------------------------------------------------------------------------------

WIDTH = 50
MARKS = {"approved": "#", "declined": "-", "cancelled": ".", OPEN: ":"}


def bar(parts: Sequence[int], marks: Sequence[str], most: int) -> str:
    """Draw counts as parts of one bar; a total of `most` is WIDTH wide."""
    ends = [round(sum(parts[: index + 1]) * WIDTH / most) for index in range(len(parts))]
    return "".join(mark * (end - begin) for mark, begin, end in zip(marks, [0, *ends], ends, strict=False))


def span(days: float) -> str:
    """Format a duration in a suitable unit."""
    for unit, size in (("days", 1.0), ("hours", 1 / 24), ("minutes", 1 / 1440)):
        if days >= size:
            return f"{days / size:,.1f} {unit}"
    return f"{days * 86_400:.0f} seconds"


def shown(value: str) -> str:
    """Escape everything that a terminal might interpret: the log is untrusted."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def report(db: goes.blocking.BlockingDatabase) -> Iterator[str]:
    """Yield the lines of the report, from one pass over the documents."""
    months: defaultdict[str, Counter[str]] = defaultdict(Counter)
    ended: defaultdict[str, list[float]] = defaultdict(list)
    reached: defaultdict[str, list[float]] = defaultdict(list)
    steps = 0
    for case in db.models_of(Cases.name, Case).query():
        steps += case.steps
        if case.begun is not None:
            months[f"{case.begun:%Y-%m}"][case.outcome] += 1
        ended[case.outcome].append(case.days)
        for activity, days in case.reached.items():
            reached[activity].append(days)
    yield f"{sum(map(len, ended.values())):,} cases, {steps:,} steps"
    if not ended:
        return
    outcomes = [outcome for outcome in MARKS if outcome in ended]
    marks = [MARKS[outcome] for outcome in outcomes]

    yield f"\nBegun in       {'   '.join(f'{MARKS[outcome]} {outcome}' for outcome in outcomes)}"
    most = max((sum(counts.values()) for counts in months.values()), default=1)
    for month, counts in sorted(months.items()):
        total = sum(counts.values())
        yield f"  {month} {total:>7,}  {bar([counts[outcome] for outcome in outcomes], marks, most)}"

    yield "\nEnded as          cases           median      90th percentile"
    for outcome in outcomes:
        all_days = ended[outcome]
        nine = quantiles(all_days, n=10)[-1] if len(all_days) > 1 else all_days[0]
        yield f"  {outcome:<12} {len(all_days):>8,} {span(median(all_days)):>16} {span(nine):>20}"

    states = {activity: found for activity, found in reached.items() if activity.startswith("A_")} or reached
    yield "\nReached                 after (median)      cases"
    order = sorted(states, key=lambda activity: (-len(states[activity]), median(states[activity]), activity))
    for activity in order[:12]:
        cases = len(states[activity])
        share = bar([cases], "#", len(states[order[0]]))
        yield f"  {shown(activity):<20.20} {span(median(states[activity])):>15} {cases:>10,}  {share}"


def main() -> int:
    parser = argparse.ArgumentParser(description="Keep a read model of an imported log, and print a report of it.")
    parser.add_argument("db", metavar="FILE", help="the store that loan_log.py has created, such as bpic2012.db")
    parser.add_argument("--follow", action="store_true", help="keep running while others import, until Ctrl-C")
    parser.add_argument(
        "--rebuild", action="store_true", help="rebuild the read model next to the live one, and compare"
    )
    options = parser.parse_args()
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        if not options.follow and not os.path.exists(options.db):
            raise Problem(f"{options.db} does not exist: import a log with loan_log.py first")
        with goes.blocking.connect(options.db, registry=log) as db:
            print(keep(db, forever=options.follow), flush=True)
            if options.rebuild:
                print(rebuild(db), flush=True)
            for line in report(db):
                print(line, flush=True)
    except (Problem, goes.errors.GoesError) as error:
        print(f"loan_report: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to resume here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
