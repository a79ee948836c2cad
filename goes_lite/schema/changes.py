"""What an upgrade changes, for each event and command: who reads what the other wrote, and what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from enum import Enum
from typing import NamedTuple

from goes_lite.schema.document import KINDS, PLAIN, Catalogue, Described
from goes_lite.schema.reading import Gap, gaps


class Verdict(Enum):
    """Who reads what: BACKWARD means that the new program reads what is stored."""

    FULL = "FULL"
    """The new program reads what the old one stored, and the old one what the new one stores."""
    BACKWARD = "BACKWARD"
    """The new program reads what is stored. The old one cannot read what the new one stores."""
    FORWARD = "FORWARD"
    """The old program reads what the new one stores. The new one cannot read all that is stored."""
    BREAKING = "BREAKING"
    """Neither reads all that the other stores."""
    UNKNOWN = "UNKNOWN"
    """Only its codec knows the type: its own rules decide."""


class Change(NamedTuple):
    """What becomes of one event or command."""

    kind: str
    """`event` or `command`."""
    name: str
    """As the new program has it; of one that is gone, as the old one had it."""
    verdict: Verdict
    before: int | None
    """The schema in the old program; None for a new name."""
    after: int | None
    """The schema in the new program; None for a name that is gone."""
    backward: tuple[Gap, ...]
    """Why the new program cannot read what is stored. Without an example where the cause is not the type."""
    forward: tuple[Gap, ...]
    """Why the old program cannot read what the new one stores."""
    fix: str
    """What makes stored values readable; "" if they are."""


def changes(old: Catalogue, new: Catalogue) -> list[Change]:
    """Compare two programs; each event and command of either is in the result once."""
    return [
        change
        for kind, before, after in zip(KINDS, old, new, strict=True)
        for change in _compared(kind.removesuffix("s"), before, after)
    ]


def _compared(kind: str, old: Mapping[str, Described], new: Mapping[str, Described]) -> Iterator[Change]:
    today = {stored: one for one in new.values() for stored in one.steps}
    for name, before in old.items():
        after = today.get(name)
        former = [stored for stored in before.steps if stored != name and stored not in old]
        yield (
            _gone(kind, before)
            if after is None
            else _kept(
                kind, before, after, after.name in old, [one for one in former if today.get(one) in (None, after)]
            )
        )
        for stored in former:  # one that has become an event of its own, or a former name of another one
            other = today.get(stored)
            if other not in (None, after):
                yield _kept(kind, _as_former(before, stored), other, other.name in old)
    known = {stored for before in old.values() for stored in before.steps}
    for name, after in new.items():
        if not known & after.steps.keys():
            yield Change(kind, name, Verdict.BACKWARD, None, after.schema, (), (_why(f"the {kind} is new"),), "")


def _as_former(before: Described, name: str) -> Described:
    """Return what is stored under a former name, as if it was an event of that name."""
    return before._replace(name=name)


def _gone(kind: str, before: Described) -> Change:
    why = _why(f"the {kind} is not registered any more, so what is stored under its name cannot be read")
    fix = f"register a type for {before.name!r}, or name it in the aliases of the {kind} that it has become"
    return Change(kind, before.name, Verdict.BREAKING, before.schema, None, (why,), (), fix)


def _kept(kind: str, before: Described, after: Described, joined: bool, former: Iterable[str] = ()) -> Change:
    """Compare what is stored under its name, and under former names that lead to the same type, or to none.

    `joined` if the old program had today's name as well, so that it has upcasters for another form.
    """
    backward, fix = _backward(before, after, joined)
    fixes = [fix] if fix else []
    for stored in former:
        found, fix = (
            _backward(_as_former(before, stored), after, True) if stored in after.steps else _unknown(after, stored)
        )
        new = tuple(gap for gap in found if gap not in backward)
        backward += new
        fixes += [fix] if new and fix not in fixes else []
    fix = "; ".join(fixes)
    forward = _forward(kind, before, after)
    if before.schema == after.schema and not (before.judged and after.type is not None) and not backward:
        why = (_why("only its codec knows the type: the rules of that codec say who can read what"),)
        return Change(kind, after.name, Verdict.UNKNOWN, before.schema, after.schema, why, why, "")
    verdict = _VERDICTS[not backward, not forward]
    return Change(kind, after.name, verdict, before.schema, after.schema, backward, forward, fix)


def _unknown(after: Described, stored: str) -> tuple[tuple[Gap, ...], str]:
    why = f"{stored!r}, a former name, is not known any more, so what is stored under it cannot be read"
    return (_why(why),), f"name {stored!r} in the aliases of {after.name!r}"


_VERDICTS = {
    (True, True): Verdict.FULL,
    (True, False): Verdict.BACKWARD,
    (False, True): Verdict.FORWARD,
    (False, False): Verdict.BREAKING,
}


def _why(problem: str) -> Gap:
    return Gap("", problem, None)


def _backward(before: Described, after: Described, joined: bool) -> tuple[tuple[Gap, ...], str]:
    """Return why the new program cannot read what is stored, and what helps."""
    name, schema = before.name, before.schema
    steps = after.steps[name]
    lost = [step for step in before.steps[name] if step not in steps and step < after.schema]
    if schema > after.schema:
        why = _why(f"schema {schema} is stored, and the program knows only up to {after.schema}")
        return (why,), f"register {after.name!r} with schema={schema} or more"
    missing = [*lost, *(step for step in range(schema, after.schema) if step not in steps)]
    if missing:
        steps_text = " and ".join(f"from schema {step} to {step + 1}" for step in missing)
        gone = " any more" if lost else ""
        fix = " and ".join(f"upcast({name!r}, {step})" for step in missing)
        return (
            _why(f"no upcaster leads {steps_text}{gone}, so what is stored in that form cannot be read"),
        ), f"register {fix}"
    if joined and name != after.name and before.own and after.own is not None:
        others = [step for step in before.own[name] if step < after.schema and step not in after.own.get(name, ())]
        if others:
            steps_text = " and ".join(f"from schema {step} to {step + 1}" for step in others)
            taken = f"the upcaster of {name!r} {steps_text} is gone, and that of {after.name!r} is for another form"
            return (_why(taken),), f"register {' and '.join(f'upcast({name!r}, {step})' for step in others)}"
    if (other := _encoding(before, after, "program")) and (schema == after.schema or before.encoding not in _BUILT_IN):
        return (_why(other),), f"register it with the codec {before.encoding!r}, and the type as before"
    if schema < after.schema or not before.judged or after.type is None:
        return (), ""
    found = tuple(gaps(before.type, after.type)) if before.type is not None else ()
    fix = f"register it with schema={schema + 1}, and upcast({name!r}, {schema}) from the old form to the new one"
    return found, fix if found else ""


_BUILT_IN = (*PLAIN, "protobuf")


def _encoding(stored: Described, reader: Described, program: str) -> str:
    """Return why a program cannot decode what is stored, whatever the type; "" if it can."""
    if stored.encoding == reader.encoding or (stored.encoding in PLAIN and reader.type is not None):
        return ""
    return f"{stored.encoding!r} is the encoding of what is stored, and the {program} reads {reader.encoding!r}"


def _forward(kind: str, before: Described, after: Described) -> tuple[Gap, ...]:
    """Return why the old program cannot read what the new one stores."""
    if before.name != after.name:
        return (_why(f"{before.name!r} is called {after.name!r}, a name that the old program does not know"),)
    if before.schema < after.schema:
        return (_why(f"schema {after.schema} is stored, and the old program knows only up to {before.schema}"),)
    if before.schema > after.schema:
        return (_why(f"schema {after.schema} is stored, of which the old program expects another form"),)
    if why := _encoding(after, before, "old program"):
        return (_why(why),)
    if not after.judged or after.type is None or before.type is None:
        return ()
    return tuple(gaps(after.type, before.type, earlier=False))
