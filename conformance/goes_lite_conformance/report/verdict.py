"""What became of the rules: per rule and place, per family, and for a backend as a whole; as text, JSON and Markdown.

The JSON says nothing that changes from run to run (no times, no dates), so it can be kept in a repository.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple, TypeAlias, cast

Result: TypeAlias = Literal["passed", "failed", "error", "not applicable", "skipped"]
"""Of one test. `error`: not the rule failed, but what is around it, such as connecting. `skipped`: without an ability
whose absence excuses it; that is no better than a failure."""

FORMAT = 1
"""Of the JSON."""


class Outcome(NamedTuple):
    """What became of one rule at one place."""

    rule: str
    text: str
    suite: str
    place: str
    """Variant and face, such as 'memory-async'."""
    result: Result
    reason: str = ""
    """The abilities that it lacks; or what went wrong, in one line."""
    details: str = ""
    """What pytest says about a failure."""
    seconds: float = 0.0

    @property
    def family(self) -> str:
        return family_of(self.rule)


class About(NamedTuple):
    """The backend that was judged, as a live handle described it."""

    url: str
    """As it was given, without a password."""
    location: str
    abilities: frozenset[str]
    durability: str
    faces: tuple[str, ...]
    versions: Mapping[str, str]
    bus: str = ""
    """That of the bus that was judged, if it is not the backend's own; without a password."""


class Judged(NamedTuple):
    """What became of one rule, all places taken together."""

    id: str
    text: str
    suite: str
    result: Literal["passed", "failed", "not applicable"]
    outcomes: tuple[Outcome, ...]

    @property
    def failures(self) -> dict[str, list[Outcome]]:
        """Those that went wrong, by the reason."""
        found: dict[str, list[Outcome]] = {}
        for outcome in self.outcomes:
            if outcome.result in _BROKEN:
                found.setdefault(outcome.reason, []).append(outcome)
        return found

    @property
    def excuse(self) -> str:
        """The abilities without which it does not apply, if it does not somewhere."""
        return next((one.reason for one in self.outcomes if one.result == "not applicable"), "")


class Family(NamedTuple):
    """The rules whose ids begin alike, counted."""

    suite: str
    name: str
    passed: int
    failed: int
    not_applicable: int
    seconds: float

    @property
    def rules(self) -> int:
        return self.passed + self.failed + self.not_applicable


_BROKEN = ("failed", "error", "skipped")


@dataclass
class Verdict:
    """What became of the rules of one backend."""

    name: str
    outcomes: list[Outcome] = field(default_factory=list[Outcome])
    about: About | None = None
    not_run: dict[str, str] = field(default_factory=dict[str, str])
    """The suites that could not be run, and why."""
    left_out: dict[str, list[str]] = field(default_factory=dict[str, list[str]])
    """The rules that nobody asked for in this run, by the reason."""
    seconds: float = 0.0

    @property
    def rules(self) -> list[Judged]:
        """Every rule, in the order of the run."""
        found: dict[tuple[str, str], list[Outcome]] = {}
        for outcome in self.outcomes:
            found.setdefault((outcome.suite, outcome.rule), []).append(outcome)
        return [
            Judged(id, outcomes[0].text, suite, _together(outcomes), tuple(outcomes))
            for (suite, id), outcomes in found.items()
        ]

    @property
    def families(self) -> list[Family]:
        """The families, suite by suite."""
        return families(self.rules)

    @property
    def failed(self) -> list[Judged]:
        return [rule for rule in self.rules if rule.result == "failed"]

    @property
    def kept(self) -> bool:
        """Whether every rule that was asked for and applies was run, and passed."""
        return bool(self.outcomes) and not self.failed and not self.not_run

    @property
    def excused(self) -> dict[str, list[Judged]]:
        """The rules that do not apply, everywhere or at some places, by the abilities that are missing."""
        found: dict[str, list[Judged]] = {}
        for rule in self.rules:
            if rule.excuse:
                found.setdefault(rule.excuse, []).append(rule)
        return dict(sorted(found.items()))

    @property
    def places(self) -> list[str]:
        return list(dict.fromkeys(outcome.place for outcome in self.outcomes))

    def total(self) -> str:
        """All of it in a line: '412 rules: 400 passed, 2 failed, 10 not applicable'."""
        rules = self.rules
        counts = [(result, sum(rule.result == result for rule in rules)) for result in _RESULTS]
        said = ", ".join(f"{count} {result}" for result, count in counts if count or result == "passed")
        return f"{_counted(len(rules), 'rule')}: {said}"

    def to_json(self) -> str:
        """The verdict as JSON: the same for the same verdict."""
        suites: dict[str, dict[str, Any]] = {}
        for rule in self.rules:
            results = suites.setdefault(rule.suite, {}).setdefault(family_of(rule.id), {})
            if rule.result == "not applicable":
                results.setdefault(rule.result, {}).setdefault(rule.excuse, []).append(rule.id)
            else:
                results.setdefault(rule.result, []).append(rule.id)
        said: dict[str, Any] = {"format": FORMAT}
        if self.about is not None:
            said |= {
                "url": self.about.url,
                **({"bus": self.about.bus} if self.about.bus else {}),
                "faces": list(self.about.faces),
                "versions": dict(self.about.versions),
                "durability": self.about.durability,
                "abilities": sorted(self.about.abilities),
            }
        said["suites"] = _numbered(suites)
        if self.failed:
            said["failures"] = {
                rule.id: {
                    "text": rule.text,
                    **{one.place: reason for reason, those in rule.failures.items() for one in those},
                }
                for rule in self.failed
            }
        if self.not_run:
            said["not run"] = self.not_run
        return _laid_out(said) + "\n"

    def to_markdown(self) -> str:
        """The verdict for people."""
        return "\n".join(self._markdown()) + "\n"

    def _markdown(self) -> Iterator[str]:
        yield f"# {self.about.url if self.about else self.name}"
        yield ""
        yield f"{self.total()}, in {self.seconds:.1f} s."
        if self.about is not None:
            versions = ", ".join(f"{name} {version}" for name, version in self.about.versions.items())
            yield f"Durability `{self.about.durability}`. Abilities: {', '.join(sorted(self.about.abilities)) or 'none'}."
            yield f"Faces: {', '.join(self.about.faces)}. Versions: {versions}."
        yield ""
        yield "| Suite | family | rules | passed | failed | not applicable | seconds |"
        yield "|---|---|---:|---:|---:|---:|---:|"
        for one in self.families:
            yield (
                f"| {one.suite} | {one.name} | {one.rules} | {one.passed} | {one.failed} | {one.not_applicable} "
                f"| {one.seconds:.1f} |"
            )
        if self.failed:
            yield from ("", "## Failed", "")
        for rule in self.failed:
            yield f"- **{rule.id}**: {rule.text}"
            for reason, outcomes in rule.failures.items():
                reason = reason.replace("`", "'")
                yield f"    - {', '.join(one.place for one in outcomes)}: `{reason}`"
        if self.excused:
            yield from ("", "## Not applicable", "")
        for abilities, rules in self.excused.items():
            yield f"- without {abilities}: {ranges(rule.id for rule in rules)}{_somewhere(rules)}"
        if self.not_run or self.left_out:
            yield from ("", "## Not run", "")
        for what, why in self.not_run.items():
            yield f"- {what}: {why}"
        for why, left_out in self.left_out.items():
            yield f"- {ranges(left_out)}: {why}"

    def shortcomings(self) -> Iterator[str]:
        """What is to be said below the numbers: the rules that failed, those that do not apply, what was not run."""
        for rule in self.failed:
            yield f"failed {rule.id}: {rule.text}"
            for reason, outcomes in rule.failures.items():
                yield f"    {', '.join(one.place for one in outcomes)}: {reason}"
        for abilities, rules in self.excused.items():
            yield f"not applicable without {abilities}: {_counted(len(rules), 'rule')}{_somewhere(rules)}"
        for what, why in self.not_run.items():
            yield f"not run: {what}: {why}"
        for why, left_out in self.left_out.items():
            yield f"left out: {_counted(len(left_out), 'rule')}, {why}"


_RESULTS = ("passed", "failed", "not applicable")


def _together(outcomes: Iterable[Outcome]) -> Literal["passed", "failed", "not applicable"]:
    results = {outcome.result for outcome in outcomes}
    if not results.isdisjoint(_BROKEN):
        return "failed"
    return "passed" if "passed" in results else "not applicable"


def _somewhere(rules: list[Judged]) -> str:
    """At which variants the rules do not apply; nothing if there is only one."""
    places = [one.place for rule in rules for one in rule.outcomes if one.result == "not applicable"]
    variants = sorted({place.rpartition("-")[0] for place in places} - {""})
    return f" ({', '.join(variants)})" if variants else ""


def _counted(number: int, word: str) -> str:
    return f"{number} {word}{'' if number == 1 else 's'}"


def families(rules: Iterable[Judged]) -> list[Family]:
    """The rules counted by suite and family."""
    found: dict[tuple[str, str], list[Judged]] = {}
    for rule in rules:
        found.setdefault((rule.suite, family_of(rule.id)), []).append(rule)
    suites = list(dict.fromkeys(suite for suite, _ in found))  # together, though test processes take turns
    return [
        Family(
            suite,
            name,
            passed=sum(rule.result == "passed" for rule in members),
            failed=sum(rule.result == "failed" for rule in members),
            not_applicable=sum(rule.result == "not applicable" for rule in members),
            seconds=sum(one.seconds for rule in members for one in rule.outcomes),
        )
        for (suite, name), members in sorted(found.items(), key=lambda one: suites.index(one[0][0]))
    ]


def family_of(rule: str) -> str:
    """'ES-APPEND' of 'ES-APPEND-001'."""
    return rule.rpartition("-")[0]


def ranges(rules: Iterable[str]) -> str:
    """Ids of rules, briefly: 'ES-APPEND-001…003, ES-QUERY-007'."""
    by_family: dict[str, list[str]] = {}
    for rule in rules:
        by_family.setdefault(family_of(rule), []).append(rule)
    return ", ".join(f"{family}-{numbers(ids)}" for family, ids in by_family.items())


def numbers(rules: Iterable[str]) -> str:
    """The numbers of the ids of one family, briefly: '001…003, 007'."""
    found = sorted({int(rule.rpartition("-")[2]) for rule in rules})
    runs: list[list[int]] = []
    for number in found:
        if runs and runs[-1][-1] == number - 1:
            runs[-1].append(number)
        else:
            runs.append([number])
    return ", ".join(f"{run[0]:03}…{run[-1]:03}" if len(run) > 1 else f"{run[0]:03}" for run in runs)


def from_numbers(family: str, said: str) -> list[str]:
    """The ids that `numbers` was given."""
    found: list[str] = []
    for first, last in re.findall(r"(\d+)(?:…(\d+))?", said):
        found += [f"{family}-{number:03}" for number in range(int(first), int(last or first) + 1)]
    return found


def _laid_out(tree: Any, indent: str = "") -> str:
    """JSON with a line for each family and each list: as short as can be read, and compared line by line."""
    if not isinstance(tree, dict) or len(indent) == 6:
        return json.dumps(tree, ensure_ascii=False)
    inner = indent + "  "
    values = cast("dict[str, Any]", tree)
    members = [f"{inner}{json.dumps(key)}: {_laid_out(value, inner)}" for key, value in values.items()]
    return "{\n" + ",\n".join(members) + f"\n{indent}}}" if members else "{}"


def _numbered(tree: Mapping[str, Any]) -> dict[str, Any]:
    """The tree with lists of ids written briefly."""
    return {
        key: numbers(cast("list[str]", value)) if isinstance(value, list) else _numbered(value)
        for key, value in tree.items()
    }
