"""A real event log of a real process (XES, the exchange format of process mining) as an event log of goes_lite.

    python3 examples/loan_log.py bpic2012.xes.gz
    python3 examples/loan_log.py hospital.xes --db hospital.db

The log for which it was made is that of the BPI Challenge 2012: 13,087 applications for a loan at a Dutch bank (van
Dongen, 4TU.ResearchData, doi 10.4121/uuid:3926db30-f712-4394-aebc-75976070e91f). Any other XES log can be imported,
too; rows that it has no data for are left out.

Every case of the log is an aggregate: one event opens it, one follows for each step. The figures come from a read
model, two SQL tables in the same file. A batch of whole cases and its share of the figures are written in one
transaction, so at any moment they tell the same, and the number of cases in the log says where to go on: the program may
be killed at any time, and run again, also with the whole of a file that was cut off before.

The file is read as a stream, a few cases in memory at a time, and nothing in it is trusted: XML entities are refused,
sizes are bounded, text is escaped before it reaches the terminal.

Exit codes: 0 fine, 2 wrong input (the reason is on stderr), 130 interrupted.
"""

from __future__ import annotations

import argparse
import gzip
import importlib.util
import io
import json
import os
import shutil
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import closing
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

Database = goes.blocking.BlockingBackend

Value = str | int | float | bool

# --- what happens to a case: the domain -------------------------------------------------------------------------------


@goes.event("case.opened")
@dataclass(frozen=True, slots=True)
class CaseOpened:
    amount: Decimal | None
    others: tuple[tuple[str, Value], ...] = ()  # attributes; pairs, since what cannot change need not be copied


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
    resources: frozenset[str] = frozenset()

    @goes.applies(CaseOpened)
    def _opened(self, event: goes.Event[CaseOpened]) -> None:
        self.amount = event.data.amount

    @goes.applies(Step)
    def _step(self, event: goes.Event[Step]) -> None:
        step = event.data
        self.steps += 1
        self.outcome = OUTCOMES.get(step.activity or "", self.outcome)
        if step.resource is not None:
            self.resources |= {step.resource}


# --- reading XES ------------------------------------------------------------------------------------------------------


class Problem(Exception):
    """Something that the user can do something about; the message says what."""


class Broken(Problem):
    """The file stops making sense; what came before makes sense."""


class Trace(NamedTuple):
    """A case as the file has it: its attributes, and those of each of its events."""

    number: int  # 0, 1, 2, … in the order of the file
    attributes: dict[str, Value]
    events: list[dict[str, Value]]


CHUNK = 1 << 17
MAX_TAG = 8 << 20
"""The longest stretch of the file, in bytes, without the beginning of an element."""
MAX_EVENTS = 1_000_000
"""The most events of one case, which is held in memory."""


def _int(text: str) -> Value:
    try:
        number = int(text) if len(text) < 20 else 1 << 64
    except ValueError:
        return text
    return number if -(1 << 63) <= number < 1 << 63 else text


def _float(text: str) -> Value:
    try:
        number = float(text)
    except ValueError:
        return text
    return number if abs(number) < float("inf") else text  # JSON knows neither NaN nor infinity


def _boolean(text: str) -> Value:
    return text.strip().lower() in ("true", "1")


# A date stays text (only that of the event is needed as a time), and so does what cannot be converted.
KINDS: dict[str, Callable[[str], Value] | None] = {
    "string": None, "date": None, "id": None, "list": None, "container": None,
    "int": _int, "float": _float, "boolean": _boolean,
}  # fmt: skip


class XesParser:
    """Takes the bytes of a file as they come, and collects the cases that are complete in `traces`.

    expat is used directly: it is an order of magnitude faster than a tree, keeps nothing, and lets entity declarations
    be refused, which is how a file of one kilobyte becomes gigabytes.
    """

    def __init__(self) -> None:
        self.traces: list[Trace] = []
        self.count = 0
        self.strays = 0  # events outside any case
        self.name: str | None = None  # of the log
        self._depth = 0
        self._quiet = 0  # bytes since the last element began
        self._case: dict[str, Value] | None = None
        self._events: list[dict[str, Value]] = []
        self._target: dict[str, Value] | None = None  # whose attributes are being read, if anybody's
        self._keys: list[str] = []  # of the attributes around the present one
        self._local: dict[str, str] = {}  # tag → its name without the namespace
        self._parser = parser = expat.ParserCreate(namespace_separator=" ")
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.EntityDeclHandler = self._refuse

    def feed(self, data: bytes) -> None:
        self._quiet += len(data)
        try:
            self._parser.Parse(data, not data)
        except expat.ExpatError as error:
            if not data:
                raise Problem("it ends in the middle (an incomplete download?)") from None
            raise Problem(f"it is not well-formed XML: {error}") from None
        except (LookupError, ValueError) as error:  # what pyexpat raises for an encoding that nobody knows
            raise Problem(f"it cannot be decoded: {error}") from None
        if self._quiet > MAX_TAG:
            raise Problem(f"more than {MAX_TAG >> 20} MiB without an element: it is not an XES log")

    def _refuse(self, name: str, *_: object) -> None:
        raise Problem(f"it declares the XML entity {name!r:.80}: no XES log needs that, and it could be an attack")

    def _start(self, tag: str, attributes: dict[str, str]) -> None:
        self._quiet = 0
        name = self._local.get(tag)
        if name is None:
            name = tag.rpartition(" ")[2]
            if len(self._local) < 1000:
                self._local[tag] = name
        self._depth += 1
        if name in KINDS:
            key = attributes.get("key", "")
            if self._keys:
                key = f"{self._keys[-1]}.{key}"
            self._keys.append(key[:1000])
            if len(self._keys) > 100:
                raise Problem("its attributes are nested more than 100 deep")
            target = self._target
            if target is not None:
                value = attributes.get("value")
                if value is not None and key:
                    if key in target:
                        key = f"{key}[{len(target)}]"  # lists repeat keys
                    convert = KINDS[name]
                    target[key] = value if convert is None else convert(value)
            elif self._depth == 2 and key == "concept:name":
                self.name = attributes.get("value")
        elif name == "event":
            self._target = {}
        elif name == "trace":
            self._case = self._target = {}
            self._events = []
        elif name == "global":
            self._target = None
        elif self._depth == 1 and name != "log":
            raise Problem(f"its outermost element is <{name[:80]}>, not <log>: it is not an XES log")

    def _end(self, tag: str) -> None:
        self._depth -= 1
        name = self._local.get(tag) or tag.rpartition(" ")[2]
        if name in KINDS:
            self._keys.pop()
        elif name == "event":
            if self._case is None:
                self.strays += 1
            elif self._target is not None:
                self._events.append(self._target)
                if len(self._events) > MAX_EVENTS:
                    raise Problem(f"case {self.count + 1} has more than {MAX_EVENTS:,} events")
            self._target = self._case
        elif name == "trace" and self._case is not None:
            self.traces.append(Trace(self.count, self._case, self._events))
            self.count += 1
            self._case = self._target = None


class Source:
    """An XES file, compressed or not (the content tells), and how far it has been read."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.parser = XesParser()
        try:
            self._file: IO[bytes] = path.open("rb")
            self.size = os.fstat(self._file.fileno()).st_size
            packed = self._file.read(2) == b"\x1f\x8b"
            self._file.seek(0)
        except OSError as error:
            raise Problem(f"{path} cannot be read: {error.strerror or error}") from None
        self._data = cast("IO[bytes]", gzip.GzipFile(fileobj=self._file)) if packed else self._file

    def done(self) -> float:
        """How much of the file has been read, from 0 to 1."""
        return min(1.0, self._file.tell() / self.size) if self.size else 1.0

    def traces(self) -> Iterator[Trace]:
        """The cases, one after the other; Broken where the file stops making sense."""
        parser = self.parser
        while True:
            broken = ""
            data = b""
            try:
                data = self._data.read(CHUNK)
                parser.feed(data)
            except EOFError:
                broken = "it ends in the middle (an incomplete download?)"
            except (OSError, zlib.error) as error:
                broken = f"it cannot be unpacked: {error}"
            except Problem as problem:
                broken = str(problem)
            traces, parser.traces = parser.traces, []
            yield from traces  # those before the break are whole
            if broken:
                raise Broken(broken)
            if not data:
                return

    def close(self) -> None:
        self._file.close()


# --- from cases to events ---------------------------------------------------------------------------------------------

NAMESPACE = UUID("0f7a9c52-6a0e-5b1c-8c57-3f0b1f3f2012")
EPOCH = datetime(1970, 1, 1, tzinfo=timezone.utc)
AMOUNTS = ("AMOUNT_REQ", "RequestedAmount", "amount", "Amount", "case:amount")
UNTIMED = frozenset(("concept:name", "lifecycle:transition", "org:resource"))
FIELDS = UNTIMED | {"time:timestamp"}
BATCH = 4000
"""So many events, of whole cases, are written at a time."""


def moment(text: object) -> datetime | None:
    """A timestamp as a time; UTC if it names no zone, None if it is none."""
    try:
        time = datetime.fromisoformat(cast("str", text))
    except (TypeError, ValueError):
        return None
    if not 1 < time.year < 9999:  # at the very ends, the same moment in UTC may not exist
        return None
    return time if time.tzinfo else time.replace(tzinfo=timezone.utc)


def amount_of(attributes: dict[str, Value]) -> Decimal | None:
    for key in AMOUNTS:
        if key in attributes:
            try:
                amount = Decimal(str(attributes.pop(key)))
            except InvalidOperation:
                continue
            return amount if amount.is_finite() else None
    return None


def words(value: Value | None) -> str | None:
    return None if value is None else str(value)


def case_id(trace: Trace) -> str:
    """The name of the case, which becomes the id of the aggregate; one that has none is numbered."""
    name = str(trace.attributes.get("concept:name", "")).strip()
    return (name if len(name.encode()) <= 900 else name[:200] + "…") or f"case {trace.number + 1}"


def events_of(trace: Trace, id: str) -> list[goes.Event[Any]]:
    """One event for the case, and one for each of its steps; always the same ones for the same trace."""
    ref = goes.AggregateRef("case", id)
    times = [moment(raw.get("time:timestamp")) for raw in trace.events]
    known = next((time for time in times if time), None)
    # Every event has a time. One without takes that of its predecessor, and says so.
    time = moment(trace.attributes.get("REG_DATE")) or known or EPOCH
    # The ids of a case are numbered from one that follows from what it is: the same trace makes the same events.
    first = uuid5(NAMESPACE, f"{trace.number}/{trace.attributes.get('concept:name')}/{known}").int & ~0xFFFF_FFFF
    attributes = {key: value for key, value in trace.attributes.items() if key != "concept:name"}
    opened = CaseOpened(amount_of(attributes), tuple(attributes.items()))
    events: list[goes.Event[Any]] = [goes.Event(opened, aggregate=ref, version=1, time=time, id=UUID(int=first))]
    for version, (raw, found) in enumerate(zip(trace.events, times, strict=True), 2):
        time = found or time
        fields = FIELDS if found else UNTIMED  # a timestamp that is none stays what it is
        others = () if raw.keys() <= fields else tuple(item for item in raw.items() if item[0] not in fields)
        activity, lifecycle = words(raw.get("concept:name")), words(raw.get("lifecycle:transition"))
        step = Step(activity, lifecycle, words(raw.get("org:resource")), others)
        events.append(
            goes.Event(
                step, aggregate=ref, version=version, time=time, id=UUID(int=first + version),
                metadata=None if found else {"time": "missing"},
            )
        )  # fmt: skip
    return events


# --- the read model ---------------------------------------------------------------------------------------------------

TABLES = (
    """CREATE TABLE IF NOT EXISTS loan_cases (
        id TEXT PRIMARY KEY, events INTEGER NOT NULL, amount REAL, outcome TEXT, first INTEGER, last INTEGER
    ) STRICT""",
    """CREATE TABLE IF NOT EXISTS loan_activities (
        activity TEXT NOT NULL, lifecycle TEXT NOT NULL, events INTEGER NOT NULL, PRIMARY KEY (activity, lifecycle)
    ) STRICT""",
)
# One statement for all rows of a batch, which come as one JSON array of arrays.
ADD_CASES = """INSERT INTO loan_cases
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]'),
           json_extract(value, '$[3]'), json_extract(value, '$[4]'), json_extract(value, '$[5]') FROM json_each(?)"""
ADD_ACTIVITIES = """INSERT INTO loan_activities
    SELECT json_extract(value, '$[0]'), json_extract(value, '$[1]'), json_extract(value, '$[2]') FROM json_each(?)
    WHERE true ON CONFLICT DO UPDATE SET events = events + excluded.events"""


@dataclass(frozen=True, slots=True)
class LogFacts:
    """What is known of the log as a whole, kept as a read model: no figures, those are in the tables."""

    file: str
    name: str | None
    complete: bool


def project(tx: goes.blocking.BlockingTransaction, events: list[goes.Event[Any]]) -> None:
    """Add a batch of new events to the figures. They are of whole cases, so no row has to be changed later."""
    cases: dict[str, list[Any]] = {}
    activities: Counter[tuple[str, str]] = Counter()
    for event in events:
        data = event.data
        id = event.aggregate.id if event.aggregate else ""
        if isinstance(data, CaseOpened):
            cases[id] = [id, 0, None if data.amount is None else float(data.amount), None, None, None]
            continue
        row = cases[id]
        row[1] += 1
        activities[data.activity or "", data.lifecycle or ""] += 1
        if data.activity in OUTCOMES:
            row[3] = OUTCOMES[data.activity]
        if not event.metadata:
            row[4] = event.time if row[4] is None else min(row[4], event.time)
            row[5] = event.time if row[5] is None else max(row[5], event.time)
    for row in cases.values():
        row[4:] = (None if time is None else (time - EPOCH) // timedelta(microseconds=1) for time in row[4:])
    tx.execute(ADD_CASES, (json.dumps(list(cases.values())),))
    tx.execute(ADD_ACTIVITIES, (json.dumps([[*key, count] for key, count in activities.items()]),))


# --- importing --------------------------------------------------------------------------------------------------------


class Importer:
    """Writes the cases that are new, in batches."""

    def __init__(self, db: Database) -> None:
        self.db = db
        self.cases = 0
        self.events = 0
        self._batch: dict[str, Trace] = {}  # by id
        self._size = 0

    def add(self, trace: Trace) -> None:
        id = case_id(trace)
        self._batch[id if id not in self._batch else _second(id, trace)] = trace
        self._size += len(trace.events) + 1
        if self._size >= BATCH:
            self.flush()

    def flush(self) -> None:
        batch, self._batch, self._size = self._batch, {}, 0
        while batch:
            events = [event for id, trace in batch.items() for event in events_of(trace, id)]
            try:
                with self.db.transaction() as tx:
                    if tx.events.append(events).already_committed:
                        raise Problem("another program imports the same log into the same file right now")
                    project(tx, events)
            except goes.errors.ConcurrencyError as error:
                taken = error.aggregate.id  # by another case of this name, which came with an earlier batch
                if error.expected:
                    raise
                batch = {_second(id, trace) if id == taken else id: trace for id, trace in batch.items()}
                continue
            self.cases += len(batch)
            self.events += len(events) - len(batch)
            return

    def has(self, trace: Trace) -> bool:
        """Whether this very case is in the log. Events are equal if everything but their position is."""
        # The id does not depend on the name of the aggregate, which is another one if the file has two cases of a name.
        stored = self.db.events.find(events_of(trace, case_id(trace))[0].id)
        if stored is None or stored.aggregate is None:
            return False
        return self.db.events.load(stored.aggregate) == events_of(trace, stored.aggregate.id)


def _second(id: str, trace: Trace) -> str:
    return f"{id}#{trace.number + 1}"


def import_log(db: Database, source: Source, progress: Progress) -> Importer:
    """Write the cases of the file that the log does not have yet."""
    with db.transaction() as tx:
        for table in TABLES:
            tx.execute(table)
    facts = db.models_of("xes", LogFacts)
    importer = Importer(db)
    known = db.events.count(goes.EventQuery(["case.opened"]))
    try:
        for trace in source.traces():
            if trace.number >= known:
                importer.add(trace)
                progress(source.done(), importer.cases)
            elif trace.number in (0, known - 1) and not importer.has(trace):
                raise Problem(f"its case {trace.number + 1} is not the one that was imported: choose another --db")
    except Broken as problem:
        importer.flush()
        raise Problem(
            f"{problem}; {known + importer.cases:,} whole cases of it are imported, run this again with a sound file"
        ) from None
    importer.flush()
    progress(1.0, importer.cases)
    if source.parser.count < known:
        raise Problem(f"it has {source.parser.count:,} cases, but {known:,} were imported: choose another file (--db)")
    if source.parser.strays:
        print(f"note: events that belong to no case are left out: {source.parser.strays:,}", file=sys.stderr)
    facts.put("log", LogFacts(source.path.name, source.parser.name, True))
    return importer


# --- the figures ------------------------------------------------------------------------------------------------------


def figures(db: Database) -> Iterator[tuple[str, str]]:
    """The rows of the table, as far as the log has data for them."""

    def ask(sql: str) -> tuple[Any, ...]:
        with db.transaction() as tx:
            rows: list[tuple[Any, ...]] = tx.execute(sql)
        return rows[0]

    def median(value: str) -> float | None:
        middle = f"SELECT {value} AS v FROM loan_cases WHERE {value} IS NOT NULL ORDER BY v"
        count = ask(f"SELECT count({value}) FROM loan_cases")[0]
        first, number = (count - 1) // 2, 2 - count % 2
        return ask(f"SELECT avg(v) FROM ({middle} LIMIT {number} OFFSET {first})")[0] if count else None

    cases, events, first, last = ask("SELECT count(*), coalesce(sum(events), 0), min(first), max(last) FROM loan_cases")
    yield "cases", f"{cases:,}"
    yield "events", f"{events:,}"
    names, both = ask("SELECT count(DISTINCT activity), count(*) FROM loan_activities WHERE activity <> ''")
    if names:
        yield "activity names", f"{names:,}" + (f"   ({both:,} with the lifecycle)" if both > names else "")
    if first is not None:
        begin, end = (EPOCH + timedelta(microseconds=micros) for micros in (first, last))
        yield "period", f"{begin:%Y-%m-%d} to {end:%Y-%m-%d}"
    for outcome in OUTCOMES.values():
        (count,) = ask(f"SELECT count(*) FROM loan_cases WHERE outcome = '{outcome}'")
        if count:
            yield outcome, f"{count:,}   ({count / cases:.1%})"
    amount = median("amount")
    if amount is not None:
        (total,) = ask("SELECT sum(amount) FROM loan_cases")
        yield "amount", f"{amount:,.0f} in the median, {total:,.0f} in all"
    duration = median("(last - first)")
    if duration is not None:
        (mean,) = ask("SELECT avg(last - first) FROM loan_cases")
        yield "duration", f"{span(duration)} in the median, {span(mean)} on average"
    if cases:
        (id,) = ask("SELECT id FROM loan_cases ORDER BY events DESC, id LIMIT 1")
        case = db.repository(Case).fetch(id)  # from its events, not from the tables: the two agree
        by = f" by {len(case.resources)} resources" if case.resources else ""
        became = f", {case.outcome}" if case.outcome else ""
        yield "longest case", f"{case.steps:,} events{by} (case {shown(id)}{became})"


DURATIONS = (("a minute", 60), ("an hour", 3600), ("a day", 86400), ("a week", 604800), ("a month", 2592000))


def histogram(db: Database) -> list[tuple[str, int]]:
    """How many cases took how long."""
    limits = enumerate(seconds for _, seconds in DURATIONS)
    steps = " ".join(f"WHEN last - first < {seconds}000000 THEN {index}" for index, seconds in limits)
    with db.transaction() as tx:
        rows = tx.execute(
            f"SELECT CASE {steps} ELSE {len(DURATIONS)} END AS bin, count(*) FROM loan_cases "
            "WHERE first IS NOT NULL GROUP BY bin"
        )
    counts = dict(rows)
    labels = [*(f"under {name}" for name, _ in DURATIONS), "longer"]
    return [(label, counts.get(index, 0)) for index, label in enumerate(labels)] if counts else []


def activities(db: Database, limit: int = 10) -> list[tuple[str, int]]:
    with db.transaction() as tx:
        rows = tx.execute(
            "SELECT activity, sum(events) AS n FROM loan_activities WHERE activity <> '' "
            "GROUP BY activity ORDER BY n DESC, activity LIMIT ?", (limit,)
        )  # fmt: skip
    return [(shown(activity), count) for activity, count in rows]


def report(db: Database) -> Iterator[str]:
    facts = db.models_of("xes", LogFacts).find("log")
    if facts is not None:
        yield shown(facts.name or facts.file)
    for label, value in figures(db):
        yield f"  {label:<16}{value}"
    for title, rows in (("Most frequent activities", activities(db)), ("Cases by duration", histogram(db))):
        if rows:
            yield f"\n{title}"
            yield from bars(rows)


# --- the terminal -----------------------------------------------------------------------------------------------------


def shown(value: str) -> str:
    """The text with everything escaped that a terminal might obey: it comes out of a file of anybody's."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in value)


def span(micros: float) -> str:
    """A duration, in the unit that fits it."""
    seconds = micros / 1e6
    for unit, size in (("days", 86400), ("hours", 3600), ("minutes", 60)):
        if seconds >= size:
            return f"{seconds / size:,.1f} {unit}"
    return f"{seconds:.1f} seconds"


def bars(rows: list[tuple[str, int]]) -> Iterator[str]:
    """A bar for each row: of eighths of a block on a terminal, of # elsewhere."""
    try:
        "█▏".encode(sys.stdout.encoding or "ascii")
        pretty = sys.stdout.isatty()
    except UnicodeEncodeError:
        pretty = False
    longest = min(30, max(len(label) for label, _ in rows))
    most = max(1, *(count for _, count in rows))
    room = max(10, min(60, shutil.get_terminal_size().columns - longest - 13))
    for label, count in rows:
        eighths = -(-count * room * 8 // most)
        bar = "█" * (eighths // 8) + " ▏▎▍▌▋▊▉"[eighths % 8] if pretty else "#" * -(-count * room // most)
        name = label if len(label) <= longest else label[: longest - 1] + "…"
        yield f"  {name:<{longest}} {count:>8,} {bar}".rstrip()


class Progress:
    """How far it is, on one line of stderr, if that is a terminal."""

    def __init__(self) -> None:
        self._wanted = sys.stderr.isatty()
        self._begin = time.monotonic()
        self._next = 0.0

    def __call__(self, done: float, cases: int) -> None:
        if not self._wanted:
            return
        now = time.monotonic()
        if now < self._next and done < 1:
            return
        self._next = now + 0.2
        used = now - self._begin
        left = f", {used / done - used:,.0f} s left" if 0 < done < 1 else ""
        end = "\n" if done == 1 else ""
        print(f"\r{done:4.0%}, {cases:,} new cases{left}\x1b[K", end=end, file=sys.stderr, flush=True)


def peak_memory() -> str:
    try:
        # On Linux, getrusage would count the program that started this one, too.
        status = Path("/proc/self/status").read_text(encoding="ascii", errors="replace")
        kilobytes = float(status.partition("VmHWM:")[2].split()[0])
    except (OSError, IndexError, ValueError):
        try:
            import resource
        except ImportError:  # Windows
            return ""
        kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (1024 if sys.platform == "darwin" else 1)
    return f", {kilobytes / 1024:.0f} MiB of memory at most"


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="loan_log.py", description="Import an XES event log, and print the figures that a read model keeps of it."
    )
    parser.add_argument("xes", metavar="XES", type=Path, help="an event log, such as bpic2012.xes.gz")
    parser.add_argument("--db", metavar="FILE", help="where to keep it (default: NAME.db in this folder)")
    options = parser.parse_args(arguments)
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")
    path = options.db or options.xes.name.removesuffix(".gz").removesuffix(".xes") + ".db"
    try:
        with closing(Source(options.xes)) as source, goes.blocking.connect(path) as db:
            begin = time.monotonic()
            new = import_log(db, source, Progress())
            seconds = time.monotonic() - begin
            what, rate = f"{new.cases:,} new case{'s' * (new.cases != 1)}", ""
            if new.events:
                what += f" with {new.events:,} event{'s' * (new.events != 1)}"
                rate = f" ({new.events / seconds:,.0f}/s)"
            print(f"{path}: {what} in {seconds:.1f} s{rate}{peak_memory()}\n")
            for line in report(db):
                print(line)
            sys.stdout.flush()
    except Problem as problem:
        return complain(f"{options.xes}: {problem}")
    except (goes.errors.ConcurrencyError, goes.errors.DuplicateEventError) as error:
        return complain(f"another program writes into {path} right now, run this again when it is done ({error})")
    except goes.errors.GoesError as error:
        return complain(str(error))
    except KeyboardInterrupt:
        print("\ninterrupted; run it again to go on from here", file=sys.stderr)
        return 130
    except BrokenPipeError:  # … | head
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return 0


def complain(message: str) -> int:
    print(f"loan_log: {message}", file=sys.stderr)
    return 2


if __name__ == "__main__":
    sys.exit(main())
