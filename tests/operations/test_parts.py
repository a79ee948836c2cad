"""Forks and subsets: they have what they say, say what they leave out, and go on after an interruption."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import pytest
from goes_lite_conformance.harness.samples import A, B, note, snapshot, story

import goes_lite as goes
from goes_lite.blocking import operations
from goes_lite.errors import ConfigError, CopyDiffers, CopyRefused, ImportUnfinished, InvalidEventError
from goes_lite.events.event import Event
from goes_lite.operations import PartCopied, Step, rewritten
from tests.operations.copy_kit import contents, fill_everything, opened

NOON = datetime(2026, 12, 1, 12, tzinfo=timezone.utc)


def part(source: object, target: object, **options: Any) -> PartCopied:
    with opened(source) as db, opened(target, unfinished=True) as copied:
        return operations.copy_part(db, copied, **options)


def test_a_fork_is_the_log_as_it_was(url: str, tmp_path: Path) -> None:
    """Of each backend into a file and back: the same positions, hashes and gaps up to there, and nothing after it."""
    with opened(tmp_path / "a.db") as db:
        fill_everything(db, 300)
        whole = contents(db)
        operations_copy(db, url)
        receipt = operations.digest(db, upto=200)
    done = part(url, tmp_path / "fork.db", upto=200)
    assert (done.receipt.hash, done.upto, done.renumbered) == (receipt.hash, 200, False)
    assert done.left_out == (
        len(whole["events"]) - receipt.events, 3, sum(map(len, whole["models"].values())) + 1, 2,
    )  # fmt: skip
    part(tmp_path / "fork.db", tmp_path / "again.db", upto=1_000)
    with opened(tmp_path / "again.db") as db:
        found = contents(db)
        assert found["events"] == [event for event in whole["events"] if event[0] <= 200]
        assert found["head"] == 200
        assert found["models"] == {}
        assert db.events.append([note("what if")]).position == 201
    with pytest.raises(CopyRefused, match="is a copy of"):
        part(url, tmp_path / "fork.db", upto=200)
    with pytest.raises(CopyRefused, match="up to position 200"), opened(url) as db:
        operations_copy(db, tmp_path / "fork.db")


def operations_copy(db: Any, url: object) -> None:
    with opened(url, unfinished=True) as target:
        operations.copy(db, target)


def test_a_fork_at_a_time(tmp_path: Path) -> None:
    """It ends before the first later event, although the clock was set back after that."""
    times = [NOON + timedelta(seconds=seconds) for seconds in (1, 2, 2, 3, 1, 4)]
    with opened(tmp_path / "a.db") as db:
        db.events.append([note(str(number), time=time) for number, time in enumerate(times)])
    assert part(tmp_path / "a.db", tmp_path / "b.db", until=times[1]).upto == 3
    assert part(tmp_path / "a.db", tmp_path / "c.db", until=times[1] - timedelta(microseconds=1)).upto == 1
    assert part(tmp_path / "a.db", tmp_path / "d.db", until=NOON).receipt.events == 0
    assert part(tmp_path / "a.db", tmp_path / "e.db", until=times[-1]).upto == 6


def test_a_subset_by_names_is_renumbered(url: str, tmp_path: Path) -> None:
    """Whole aggregates of a name keep their versions; of others, events of a name get new ones."""
    other = goes.AggregateRef("invoice", "1")
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("no"), *story(A, 3), *story(other, 2), note("yes", B, 1)])
        db.snapshots.save(snapshot(A, 1))
        db.events.append([*story(A, 1, after=3)])
        every = db.events.stored().list()
    done = part(tmp_path / "a.db", url, only=["order"])
    assert (done.receipt.events, done.left_out.events, done.left_out.snapshots) == (5, 3, 1)
    with opened(url) as db:
        found = db.events.stored().list()
        assert [(event.position, event.aggregate, event.version) for event in found] == [
            (1, A, 1), (2, A, 2), (3, A, 3), (4, B, 1), (5, A, 4),
        ]  # fmt: skip
        assert [event.id for event in found] == [every[number].id for number in (1, 2, 3, 6, 7)]
    name = every[2].name
    names = [event.name for event in every]
    done = part(tmp_path / "a.db", tmp_path / "b.db", only=[name])
    with opened(tmp_path / "b.db") as db:
        found = db.events.stored().list()
        assert len(found) == names.count(name)
        for ref in (A, B, other):
            versions = [event.version for event in found if event.aggregate == ref]
            assert versions == [*range(1, len(versions) + 1)]


def anonymous(event: Event[Any]) -> Any:
    """Drop one event, double one, and replace every payload."""
    text = event.encoded.payload
    assert isinstance(text, str)
    if event.position == 2:
        return None
    new = rewritten(event, payload=json.dumps({"text": "*"}), metadata={}, tags=["k:new"])
    return [new, Event(note("two").data, registry=registry())] if event.position == 4 else new


def same(event: Event[Any]) -> Event[Any]:
    return event


def nonsense(event: Event[Any]) -> Any:
    return "nonsense"


def registry() -> goes.Registry:
    from goes_lite_conformance.harness.samples import registry as samples

    return samples


def test_a_transform(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append(
            [note("secret"), note("gone", A, 1), note("secret", A, 2, metadata={"who": "ada"}), note("secret")]
        )
    done = part(tmp_path / "a.db", tmp_path / "b.db", transform=anonymous)
    assert (done.receipt.events, done.left_out.events, done.renumbered) == (4, 1, True)
    with opened(tmp_path / "b.db") as db:
        found = db.events.query().list()
        assert [(event.position, event.version, event.data.text) for event in found] == [
            (1, 0, "*"), (2, 1, "*"), (3, 0, "*"), (4, 0, "two"),
        ]  # fmt: skip
        assert dict(found[1].metadata) == {}
        assert found[1].tags == {"k:new"}
    assert b"secret" not in (tmp_path / "b.db").read_bytes()
    with pytest.raises(InvalidEventError, match="transform returns"):
        part(tmp_path / "a.db", tmp_path / "c.db", transform=nonsense)


@pytest.mark.parametrize("options", [{"upto": 9_000}, {"only": ["order"]}, {"transform": same}])
def test_an_interrupted_part_goes_on(tmp_path: Path, options: dict[str, Any]) -> None:
    """And only with the same arguments; in the end it is that of an uninterrupted one."""

    class Enough(Exception):
        pass

    def stop(step: Step) -> None:
        if step.done > 5_000:
            raise Enough

    with opened(tmp_path / "a.db", durability="normal") as db:
        for number in range(100):
            db.events.append([*story(goes.AggregateRef("order", f"{number}"), 90), note("x")])
    with pytest.raises(Enough):
        part(tmp_path / "a.db", tmp_path / "b.db", progress=stop, **options)
    with pytest.raises(ImportUnfinished):
        opened(tmp_path / "b.db")
    with pytest.raises(CopyRefused, match="is a copy of"):
        part(tmp_path / "a.db", tmp_path / "b.db", upto=7)
    resumed = part(tmp_path / "a.db", tmp_path / "b.db", **options)
    fresh = part(tmp_path / "a.db", tmp_path / "c.db", **options)
    assert resumed.receipt.hash == fresh.receipt.hash
    with opened(tmp_path / "b.db") as one, opened(tmp_path / "c.db") as two:
        assert contents(one) == contents(two)


def test_a_transform_that_answers_otherwise_each_time_is_told(tmp_path: Path) -> None:
    class Enough(Exception):
        pass

    def stop(step: Step) -> None:
        if step.done > 4_500:
            raise Enough

    def by(text: str) -> Callable[[Event[Any]], Event[Any]]:
        def transform(event: Event[Any]) -> Event[Any]:
            return rewritten(event, payload=json.dumps({"text": text}))

        return transform

    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x") for _ in range(5_000)])
    with pytest.raises(Enough):
        part(tmp_path / "a.db", tmp_path / "b.db", transform=by("1"), progress=stop)
    with pytest.raises(CopyDiffers, match="the transform returns now"):
        part(tmp_path / "a.db", tmp_path / "b.db", transform=by("2"))


def test_arguments_that_do_not_fit(tmp_path: Path) -> None:
    with opened(tmp_path / "a.db") as db:
        db.events.append([note("x")])
    for options in ({"upto": 1, "until": NOON}, {"only": "order"}, {"only": [7]}):
        with pytest.raises(ConfigError):
            part(tmp_path / "a.db", tmp_path / "b.db", **options)


def test_a_plan_says_what_a_copy_would_do(url: str, tmp_path: Path) -> None:
    """Counted on the source; nothing is written to the target."""
    with opened(tmp_path / "a.db") as db, opened(url) as target:
        fill_everything(db, 50)
        whole = contents(db)
        plan = operations.plan_copy(db, target)
        assert (plan.events, plan.head, plan.snapshots, plan.checkpoints) == (
            len(whole["events"]), whole["head"], 3, 2,
        )  # fmt: skip
        assert plan.models == {name: len(records) for name, records in whole["models"].items()}
        assert plan.aggregates == {"order": 2}
        assert plan.missing == db.backend.abilities - target.backend.abilities
        assert (plan.refused, plan.seconds >= 0) == ("", True)
        assert target.models.collections() == []
        target.events.append([note("y")])
        assert "already holds events" in operations.plan_copy(db, target).refused
