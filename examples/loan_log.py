"""Import the event log of a real process (in XES, the exchange format of process mining) into goes_lite.

    python3 examples/loan_log.py bpic2012.xes.gz
    python3 examples/loan_log.py hospital.xes --db hospital.db

It was written for the log of the BPI Challenge 2012: 13,087 applications for a loan at a Dutch bank (van Dongen,
4TU.ResearchData, doi 10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f). Any other XES log can be imported, too; rows
without data are omitted.

Every case of the log is an aggregate: one event opens it, one follows for each step. The figures come from a read
model, two SQL tables in the same file. A batch of whole cases and its share of the figures are written in one
transaction, so the program may be killed at any time and run again, also with the complete version of a truncated file.

The file is read as a stream, and nothing in it is trusted: XML entities are refused, sizes are bounded, text is escaped
before it reaches the terminal. Exit codes: 0 success, 2 wrong input (the reason is on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import json
import math
import os
import sys
import time
import zlib
from collections import Counter
from collections.abc import Collection, Iterator
from contextlib import closing, suppress
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import IO, Any, NamedTuple, cast
from uuid import UUID, uuid5
from xml.parsers import expat

if not importlib.util.find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[1]))  # a fresh clone: nothing is installed

import goes_lite as goes

Value = str | int | float | bool

# --- what happens to a case: the domain -------------------------------------------------------------------------------


@goes.event("case.opened")
@dataclass(frozen=True, slots=True)
class CaseOpened:
    amount: Decimal | None
    others: tuple[tuple[str, Value], ...] = ()  # attributes; pairs, because immutable data need not be copied


@goes.event("case.step")
@dataclass(frozen=True, slots=True)
class Step:
    activity: str | None
    lifecycle: str | None
    resource: str | None
    others: tuple[tuple[str, Value], ...] = ()


OUTCOMES = {"A_APPROVED": "approved", "A_DECLINED": "declined", "A_CANCELLED": "cancelled"}


class Case(goes.Aggregate, name="case"):
    amount: Decimal | None = None
    steps: int = 0
    outcome: str | None = None

    @goes.applies(CaseOpened)
    def _opened(self, event: goes.Event[CaseOpened]) -> None:
        self.amount = event.data.amount

    @goes.applies(Step)
    def _step(self, event: goes.Event[Step]) -> None:
        self.steps += 1
        self.outcome = OUTCOMES.get(event.data.activity or "", self.outcome)


# --- reading XES ------------------------------------------------------------------------------------------------------


class Problem(Exception):
    """A problem that the user can solve; the message says how."""


class Broken(Problem):
    """The file is broken here; what came before is valid."""


class Trace(NamedTuple):
    """A case in the file."""

    number: int  # 0, 1, 2, … in the order of the file
    attributes: dict[str, Value]
    events: list[dict[str, Value]]  # the attributes of each


CHUNK = 1 << 17  # bytes that are read at a time
BATCH = 1 << 20  # bytes of the file whose cases are written together
MAX_TAG = 8 << 20  # the longest stretch of the file, in bytes, without the beginning of an element
MAX_EVENTS = 1_000_000  # per case, which is held in memory
RACE = "another program is importing the same log into the same file: run this again when it is done"
CUT_OFF = "it ends in the middle (an incomplete download?)"
# Dates stay text: only that of an event is needed as a time.
TEXTS = frozenset(("string", "date", "id", "list", "container"))
ATTRIBUTES = TEXTS | {"int", "float", "boolean"}


def typed(kind: str, text: str) -> Value:
    """Convert the value of an attribute; it stays text if it does not fit its kind, or JSON."""
    try:
        if kind == "boolean":
            return text.strip().lower() in ("true", "1")
        number = int(text) if kind == "int" else float(text)
        fits = math.isfinite(number) and (kind == "float" or abs(number) < 1 << 63)
    except (ValueError, OverflowError):
        return text
    return number if fits else text


class XesParser:
    """A push parser, which collects complete cases in `traces`.

    It uses expat directly, which is an order of magnitude faster than building a tree, keeps nothing, and can refuse entity
    declarations, with which a file of one kilobyte expands to gigabytes.
    """

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.count = 0
        self.strays = 0  # events outside any case
        self.name = ""  # of the log
        self._depth = 0
        self._quiet = 0  # bytes since the last element began
        self._case: dict[str, Value] | None = None
        self._events: list[dict[str, Value]] = []
        self._target: dict[str, Value] | None = None  # where the current attributes belong, if anywhere
        self._keys: list[str] = []  # of the enclosing attributes
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = self._refuse

    def feed(self, data: bytes) -> None:
        self._quiet += len(data)
        try:
            self._parser.Parse(data, not data)
        except expat.ExpatError as error:
            raise Broken(f"it is not well-formed XML: {error}" if data else CUT_OFF) from None
        except (LookupError, ValueError) as error:  # pyexpat raises these for an unknown encoding
            raise Broken(f"it cannot be decoded: {error}") from None
        if self._quiet > MAX_TAG:
            raise Broken(f"more than {MAX_TAG >> 20} MiB without an element: it is not an XES log")

    def _refuse(self, name: str, *_: object) -> None:
        raise Broken(f"it declares the XML entity {name!r:.80}, which no XES log needs, and which could be an attack")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._quiet = 0
        self._depth += 1
        name = tag.rpartition(" ")[2]
        if name in ATTRIBUTES:
            key = attributes.get("key", "")
            if self._keys:
                key = f"{self._keys[-1]}.{key}"
            self._keys.append(key[:1000])
            if len(self._keys) > 100:
                raise Broken("its attributes are nested more than 100 deep")
            target, value = self._target, attributes.get("value")
            if value is None or not key:
                return
            if target is not None:
                if key in target:
                    key = f"{key}[{len(target)}]"  # lists repeat keys
                target[key] = value if name in TEXTS else typed(name, value)
            elif self._depth == 2 and key == "concept:name":
                self.name = value
        elif name == "event":
            self._target = {}
        elif name == "trace":
            self._case = self._target = {}
            self._events = []
        elif name == "global":
            self._target = None
        elif self._depth == 1 and name != "log":
            raise Broken(f"its outermost element is <{name[:80]}>, not <log>: it is not an XES log")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        if (name := tag.rpartition(" ")[2]) in ATTRIBUTES:
            self._keys.pop()
        elif name == "event":
            if self._case is None:
                self.strays += 1
            elif self._target is not None:
                self._events.append(self._target)
                if len(self._events) > MAX_EVENTS:
                    raise Broken(f"case {self.count + 1} has more than {MAX_EVENTS:,} events")
            self._target = self._case
        elif name == "trace" and self._case is not None:
            self.traces.append(Trace(self.count, self._case, self._events))
            self.count += 1
            self._case = self._target = None


class Source:
    """An XES file, compressed or not, as its content tells."""

    def __init__(self, path: Path) -> None:
        self.parser = XesParser()
        try:
            self._file: IO[bytes] = path.open("rb")
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
        except OSError as error:
            raise Problem(f"it cannot be read: {error.strerror or error}") from None
        self._data = cast("IO[bytes]", gzip.GzipFile(fileobj=self._file)) if packed else self._file
        self.close = self._file.close

    def done(self) -> float:
        """Return the share of the file that has been read, from 0 to 1."""
        return self._file.tell() / (os.fstat(self._file.fileno()).st_size or 1)

    def batches(self) -> Iterator[list[Trace]]:
        """Yield the cases of one BATCH at a time; raise Broken where the file is broken."""
        data, broken, size = b"start", None, 0
        while data and not broken:
            try:
                data = self._data.read(CHUNK)
                self.parser.feed(data)
            except (EOFError, OSError, zlib.error) as error:
                broken = Broken(CUT_OFF if isinstance(error, EOFError) else f"it cannot be unpacked: {error}")
            except Broken as error:
                broken = error
            size += len(data)
            if size >= BATCH or broken or not data:
                traces, self.parser.traces, size = self.parser.traces, [], 0
                yield traces  # those before the break are complete
        if broken:
            raise broken


# --- from cases to events ---------------------------------------------------------------------------------------------

NAMESPACE = UUID("0f7a9c52-6a0e-5b1c-8c57-3f0b1f3f2012")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
AMOUNTS = ("AMOUNT_REQ", "RequestedAmount", "amount", "Amount", "case:amount")
FIELDS = ("concept:name", "lifecycle:transition", "org:resource")
TIMED = {*FIELDS, "time:timestamp"}


def moment(text: object) -> datetime | None:
    """Parse a timestamp, in UTC if it names no zone; None if it is not a timestamp."""
    try:
        time = datetime.fromisoformat(cast("str", text))
    except (TypeError, ValueError):
        return None
    time = time if time.tzinfo else time.replace(tzinfo=timezone.utc)
    return time if 1 < time.year < 9999 else None  # at the very ends, the same moment in UTC may not exist


def amount_of(attributes: dict[str, Value]) -> Decimal | None:
    """Remove the amount from the attributes and return it; None if there is no valid one."""
    for key in AMOUNTS:
        with suppress(InvalidOperation, OverflowError, ValueError):
            if math.isfinite(float(Decimal(str(attributes.get(key))))):
                return Decimal(str(attributes.pop(key)))
    return None


def case_id(trace: Trace) -> str:
    """Return the name of the case, which becomes the id of the aggregate, or a number if it has no name."""
    name = str(trace.attributes.get("concept:name", "")).strip()
    return (name if len(name.encode()) <= 900 else name[:200] + "…") or f"case {trace.number + 1}"


def events_of(trace: Trace, id: str) -> list[goes.Event[Any]]:
    """Return an event for the case and one for each of its steps, always the same ones for the same trace."""
    ref = goes.AggregateRef("case", id)
    times = [moment(raw.get("time:timestamp")) for raw in trace.events]
    known = next((time for time in times if time), None)
    # Every event needs a time. A step without one takes that of its predecessor, and its metadata says so.
    time = moment(trace.attributes.get("REG_DATE")) or known or EPOCH
    # The ids of a case count up from one that is derived from the trace: the same trace makes the same events.
    first = uuid5(NAMESPACE, f"{trace.number}/{trace.attributes.get('concept:name')}/{known}").int & ~0xFFFF_FFFF
    attributes = {key: value for key, value in trace.attributes.items() if key != "concept:name"}
    opened = CaseOpened(amount_of(attributes), tuple(attributes.items()))
    events: list[goes.Event[Any]] = [goes.Event(opened, aggregate=ref, version=1, time=time, id=UUID(int=first))]
    for version, (raw, found) in enumerate(zip(trace.events, times, strict=True), 2):
        time = found or time
        fields = TIMED if found else FIELDS  # an invalid timestamp stays an attribute
        others = () if found and raw.keys() <= TIMED else tuple(item for item in raw.items() if item[0] not in fields)
        activity, lifecycle, resource = (None if raw.get(key) is None else str(raw[key]) for key in FIELDS)
        step = Step(activity, lifecycle, resource, others)
        note = None if found else {"time": "missing"}
        made = goes.Event(step, aggregate=ref, version=version, time=time, id=UUID(int=first + version), metadata=note)
        events.append(made)
    return events


# --- the read model ---------------------------------------------------------------------------------------------------

TABLES = (
    """CREATE TABLE IF NOT EXISTS loan_cases (
        id TEXT PRIMARY KEY, events INTEGER NOT NULL, amount REAL, outcome TEXT, first INTEGER, last INTEGER)""",
    """CREATE TABLE IF NOT EXISTS loan_activities (
        activity TEXT NOT NULL, lifecycle TEXT NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (activity, lifecycle))""",
)
# One statement for all rows of a batch, which are passed as one JSON array of arrays.
COLUMNS = [f"json_extract(value, '$[{index}]')" for index in range(6)]
ADD_CASES = f"INSERT INTO loan_cases SELECT {', '.join(COLUMNS)} FROM json_each(?)"
ADD_ACTIVITIES = f"""INSERT INTO loan_activities SELECT {", ".join(COLUMNS[:3])} FROM json_each(?)
    WHERE true ON CONFLICT DO UPDATE SET events = events + excluded.events"""


def project(tx: goes.blocking.BlockingTransaction, cases: list[list[goes.Event[Any]]]) -> None:
    """Add a batch of new cases to the figures. They are complete, so no row has to change later."""
    rows: list[tuple[Any, ...]] = []
    activities: Counter[tuple[str, str]] = Counter()
    for opened, *steps in cases:
        outcome = None
        for step in steps:
            activities[step.data.activity or "", step.data.lifecycle or ""] += 1
            outcome = OUTCOMES.get(step.data.activity, outcome)
        times = [step.time for step in steps if not step.metadata]
        ends = (
            [(time - EPOCH) // timedelta(microseconds=1) for time in (min(times), max(times))] if times else [None] * 2
        )
        amount = None if opened.data.amount is None else float(opened.data.amount)
        rows.append((cast("goes.AggregateRef", opened.aggregate).id, len(steps), amount, outcome, *ends))
    tx.execute(ADD_CASES, (json.dumps(rows),))
    tx.execute(ADD_ACTIVITIES, (json.dumps([(*key, count) for key, count in activities.items()]),))


def free(id: str, trace: Trace, taken: Collection[str]) -> str:
    """Return the id, or one made of it that no other case has: a log may name several cases alike."""
    while id in taken:
        id = f"{id}#{trace.number + 1}"
    return id


def write(db: goes.blocking.BlockingDatabase, traces: list[Trace]) -> int:
    """Write cases and their share of the figures together, and return the number of their steps."""
    ids: dict[str, Trace] = {}
    for trace in traces:
        ids[free(case_id(trace), trace, ids)] = trace
    while True:
        cases = [events_of(trace, id) for id, trace in ids.items()]
        try:
            with db.transaction() as tx:
                if tx.events.append([event for case in cases for event in case]).already_committed:
                    raise Problem(RACE)
                project(tx, cases)
            return sum(len(case) - 1 for case in cases)
        except goes.errors.ConcurrencyError as error:  # an earlier batch has a case of that name
            taken = error.aggregate.id
            ids = {free(id, trace, ids) if id == taken else id: trace for id, trace in ids.items()}
        except goes.errors.DuplicateEventError:
            raise Problem(RACE) from None


def has(db: goes.blocking.BlockingDatabase, trace: Trace) -> bool:
    """Return whether this very case is in the log, under any id. Events are equal if they differ only in position."""
    stored = db.events.find(events_of(trace, case_id(trace))[0].id)
    case = stored.aggregate if stored else None
    return case is not None and db.events.load(case) == events_of(trace, case.id)


def import_log(db: goes.blocking.BlockingDatabase, source: Source) -> tuple[int, int]:
    """Write the cases of the file that the log does not have yet, and return the numbers of cases and of events."""
    with db.transaction() as tx:
        for table in TABLES:
            tx.execute(table)
    known = db.events.count(goes.EventQuery(["case.opened"]))
    cases = events = 0
    try:
        for traces in source.batches():
            for trace in traces:
                if trace.number < known and trace.number in (0, known - 1) and not has(db, trace):
                    raise Problem(
                        f"its case {trace.number + 1} differs from the imported one: choose another file (--db)"
                    )
            if new := [trace for trace in traces if trace.number >= known]:
                events += write(db, new)
                cases += len(new)
            if sys.stderr.isatty():
                print(f"{source.done():4.0%}, {cases:,} new cases\x1b[K", end="\r", file=sys.stderr, flush=True)
    except Broken as problem:
        imported = f"{known + cases:,} complete cases are imported"
        raise Problem(f"{problem}; {imported}, run this again with a valid file") from None
    if source.parser.count < known:
        raise Problem(f"it has {source.parser.count:,} cases, but {known:,} were imported: choose another file (--db)")
    if source.parser.strays:
        print(f"note: events that belong to no case are omitted: {source.parser.strays:,}", file=sys.stderr)
    return cases, events


# --- the figures ------------------------------------------------------------------------------------------------------

# The middle value, or the mean of the two middle ones.
MEDIAN = """SELECT avg(v) FROM (SELECT {0} AS v FROM loan_cases WHERE {0} IS NOT NULL ORDER BY v
    LIMIT 2 - (SELECT count({0}) FROM loan_cases) % 2 OFFSET (SELECT (count({0}) - 1) / 2 FROM loan_cases))"""


def figures(db: goes.blocking.BlockingDatabase) -> Iterator[tuple[str, str]]:
    """Yield the rows of the table for which the log has data."""
    ((cases, events, first, last, total, mean),) = db.select(
        "SELECT count(*), coalesce(sum(events), 0), min(first), max(last), sum(amount), avg(last - first) FROM loan_cases"
    )
    yield "cases", f"{cases:,}"
    yield "events", f"{events:,}"
    ((names, both),) = db.select("SELECT count(DISTINCT activity), count(*) FROM loan_activities WHERE activity <> ''")
    if names:
        yield "activity names", f"{names:,}" + (f"   ({both:,} with the lifecycle)" if both > names else "")
    if first is not None:
        begin, end = (EPOCH + timedelta(microseconds=micros) for micros in (first, last))
        yield "period", f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    counts = "SELECT outcome, count(*) FROM loan_cases WHERE outcome IS NOT NULL GROUP BY outcome ORDER BY outcome"
    for outcome, count in db.select(counts):
        yield outcome, f"{count:,}   ({count / cases:.1%})"
    if total is not None:
        ((amount,),) = db.select(MEDIAN.format("amount"))
        yield "amount", f"median {amount:,.0f}, total {total:,.0f}"
    if mean is not None:
        ((duration,),) = db.select(MEDIAN.format("(last - first)"))
        yield "duration", f"median {span(duration)}, mean {span(mean)}"
    for (id,) in db.select("SELECT id FROM loan_cases ORDER BY events DESC, id LIMIT 1"):
        case = db.repository(Case).fetch(id)  # from its events, not from the tables: the two agree
        yield "longest case", f"{case.steps:,} events (case {shown(id)}{f', {case.outcome}' if case.outcome else ''})"


def report(db: goes.blocking.BlockingDatabase) -> Iterator[str]:
    for label, value in figures(db):
        yield f"  {label:<16}{value}"
    rows = db.select(
        "SELECT activity, sum(events) AS n FROM loan_activities WHERE activity <> '' "
        "GROUP BY activity ORDER BY n DESC, activity LIMIT 10"
    )
    if rows:
        yield "\nMost frequent activities"
    for activity, count in rows:
        yield f"  {shown(activity):<30.30} {count:>8,} {'#' * -(-count * 40 // rows[0][1])}"


def shown(value: str) -> str:
    """Escape everything that a terminal might interpret: the file is untrusted."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def span(micros: float) -> str:
    """Format a duration in a suitable unit."""
    seconds = micros / 1e6
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds"


def peak_memory() -> str:
    try:  # on Linux, getrusage would include the program that started this one
        status = Path("/proc/self/status").read_text(encoding="utf-8")
        return f", {int(status.partition('VmHWM:')[2].split()[0]) >> 10} MiB peak memory"
    except (OSError, IndexError):
        with suppress(ImportError):  # Windows
            import resource

            unit = 1 << (20 if sys.platform == "darwin" else 10)
            return f", {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // unit} MiB peak memory"
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description="Import an XES event log, and print the figures of its read model.")
    parser.add_argument("xes", metavar="XES", type=Path, help="an event log, such as bpic2012.xes.gz")
    parser.add_argument("--db", metavar="FILE", help="the store (default: NAME.db in this folder)")
    options = parser.parse_args()
    path = options.db or options.xes.name.removesuffix(".gz").removesuffix(".xes") + ".db"
    for stream in (sys.stdout, sys.stderr):
        stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]
    try:
        with closing(Source(options.xes)) as source, goes.blocking.connect(path) as db:
            begin = time.monotonic()
            cases, events = import_log(db, source)
            seconds = time.monotonic() - begin
            what = f"{cases:,} new case{'s' * (cases != 1)} with {events:,} event{'s' * (events != 1)}"
            print(f"{path}: {what} in {seconds:.1f} s ({events / seconds:,.0f} events/s){peak_memory()}\n")
            print(shown(source.parser.name or options.xes.name))
            for line in report(db):
                print(line, flush=True)
    except (Problem, goes.errors.GoesError) as error:
        print(f"loan_log: {f'{options.xes}: ' if isinstance(error, Problem) else ''}{error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to resume here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


if __name__ == "__main__":
    sys.exit(main())
