"""What the views show of what goes on: commands, workflows, projections step by step, and search."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from tests.explorer import tea_shop as program
from tests.explorer.views_kit import Pages, pages


@pytest.fixture(scope="module")
def tea(tea_shop: Path) -> Iterator[Pages]:
    """With the types of the program, in full."""
    with pages(tea_shop, program.registry, program, disclose="full") as found:
        yield found


# --- commands ---------------------------------------------------------------------------------------------------------


def test_commands_are_listed_by_state(tea: Pages) -> None:
    page = tea.data("/commands")
    states = {one["id"]: one["state"] for one in tea.data("/commands?state=scheduled")["commands"]}

    assert {"scheduled", "failed", "done"} <= {*page["counts"]}
    assert states == {str(program.WAITING): "scheduled"}
    assert {one["state"] for one in tea.data("/commands?state=failed")["commands"]} == {"failed"}


def test_a_command_has_what_it_said_its_error_and_its_receipt(tea: Pages) -> None:
    failed, done = tea.data(f"/commands/{program.FAILED}"), tea.data(f"/commands/{program.DONE}")

    assert (failed["command"], failed["state"]) == ("letter.send", "failed")
    assert failed["accepted"]["said"]["data"] == {"to": "eve"}
    assert "has no address" in failed["accepted"]["error"]
    assert (done["state"], done["accepted"]) == ("done", None)
    assert done["receipt"]["result"]["data"] == "sent"
    assert "nothing is kept" in tea.data("/commands/01900000-0000-7000-8000-0000000000ff", 404)["error"]["message"]
    tea.data("/commands/no-uuid", 404)


def test_a_command_has_the_events_that_it_caused(tmp_path: Path) -> None:
    """They are found near the moment at which it was handled, among many others."""
    registry, path = goes.Registry(), tmp_path / "caused.db"
    registry.register("n", int)

    @registry.commands.event("send")
    @dataclass(frozen=True)
    class Send:
        to: str

    def some(first: int) -> list[goes.Event[int]]:
        return [goes.Event(n, name="n", registry=registry) for n in range(first, first + 1500)]

    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append(some(0))
        db.commands.handle(
            Send, lambda command: db.events.append([goes.Event(-1, name="n", registry=registry)]) and None
        )
        db.commands.dispatch(Send("ada"), id=program.DONE)
        db.events.append(some(1500))
    with pages(path, registry) as found:
        page = found.data(f"/commands/{program.DONE}")
        assert [one["data"] for one in page["events"]] == [-1]
        assert f"/event/{page['events'][0]['position']}" in found.links(f"/commands/{program.DONE}")


# --- workflows --------------------------------------------------------------------------------------------------------


def test_instances_are_listed_by_status(tea: Pages) -> None:
    page = tea.data("/workflows")
    stuck = tea.data("/workflows?name=fulfilment&status=suspended")

    assert page["names"] == ["fulfilment"]
    assert {"running", "completed", "failed", "suspended"} <= {*page["counts"]}
    assert {one["status"] for one in stuck["instances"]} == {"suspended"}
    assert all("eve has no address" in one["failing"]["error"] for one in stuck["instances"])


def test_an_instance_has_its_state_after_each_input_and_what_it_waits_for(tea: Pages) -> None:
    running = next(
        one for one in tea.data("/workflows?status=running")["instances"] if one["inputs"] > 1 and one["timers"]
    )
    address = f"/workflows/fulfilment/{running['key']}"
    page = tea.data(address)

    states = [one["state"] for one in page["history"] if one["event"] == "goes.workflow.handled"]
    assert states[0] == {"order": running["key"], "paid": False}
    assert states[-1] == page["state"]["data"]
    assert [one["name"] for one in page["instance"]["timers"]] == [one["name"] for one in running["timers"]]
    assert {one["command"] for one in page["outbox"]} == {"charge"}
    assert f"/commands/{page['outbox'][0]['id']}" in tea.links(address)
    assert "no instance" in tea.data("/workflows/fulfilment/nobody", 404)["error"]["message"]


@dataclass
class Count:
    total: int = 0


def test_an_instance_has_its_states_under_the_version_that_it_runs_under(tmp_path: Path) -> None:
    registry, path = goes.Registry(), tmp_path / "versions.db"
    registry.register("added", Added)

    class First(goes.Workflow[Count], name="count", version=1):
        @goes.starts("added")
        def started(self, state: Count, event: goes.Event[Added]) -> None: ...

        def evolve(self, state: Count, input: Any) -> Count:
            return Count(state.total + input.data.amount)

    class Second(First, name="count", version=2):
        def evolve(self, state: Count, input: Any) -> Count:
            return Count(-1)

    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append([_added(registry, "a", 1, 5)])
        db.workflow(First()).catch_up()
    with pages(path, registry) as found:
        history = found.data("/workflows/count/a")["history"]
        assert [one["state"] for one in history if one["event"] == "goes.workflow.handled"] == [{"total": 5}]
    assert Second.version == 2


# --- projections ------------------------------------------------------------------------------------------------------


@dataclass
class Bill:
    total: int = 0


@dataclass(frozen=True)
class Added:
    amount: int


def _projections(registry: goes.Registry) -> tuple[type[goes.ModelProjection[Bill]], type[goes.Projection]]:
    registry.register("added", Added)

    class Bills(goes.ModelProjection[Bill], name="bills"):
        @goes.projects("added")
        def added(self, bill: Bill, event: goes.Event[Added]) -> None:
            if event.data.amount == 13:
                raise ValueError("an unlucky amount")
            bill.total += event.data.amount

    class Rows(goes.Projection, name="rows"):
        def create(self, tx: Any) -> None:
            tx.execute("CREATE TABLE IF NOT EXISTS rows_of_days (key TEXT PRIMARY KEY, amount INTEGER)")

        @goes.projects("added")
        def added(self, event: goes.Event[Added], tx: Any) -> None:
            tx.execute(
                "INSERT INTO rows_of_days VALUES ('all', ?) ON CONFLICT (key) DO UPDATE SET amount = amount + excluded.amount",
                (event.data.amount,),
            )

        def rows(self, tx: Any) -> Iterator[tuple[str, str]]:
            for key, amount in tx.execute("SELECT key, amount FROM rows_of_days ORDER BY key"):
                yield key, str(amount)

    return Bills, Rows


def _added(registry: goes.Registry, id: str, version: int, amount: int) -> goes.Event[Added]:
    return goes.Event(Added(amount), aggregate=("bill", id), version=version, registry=registry)


def test_a_projection_is_stepped_without_writing(tmp_path: Path) -> None:
    """One of documents, and one that writes by itself, which is run in memory; parity of the store with the program."""
    registry, path = goes.Registry(), tmp_path / "bills.db"
    bills, rows = _projections(registry)
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append([_added(registry, "a", 1, 5), _added(registry, "b", 1, 7), _added(registry, "a", 2, 2)])
        db.projection(bills()).catch_up()
        db.projection(rows()).catch_up()
        db.models.put("bills", "b", '{"total":8}')
        db.events.append([_added(registry, "a", 3, 13)])
    before = path.read_bytes()
    with pages(path, registry, disclose="full") as found:
        page = found.data("/projection/bills")
        assert (page["step"]["at"], page["stored"]["version"], page["program"]["version"]) == (3, 1, 1)
        (model,) = page["step"]["models"]
        assert (model["id"], model["before"]["data"], model["after"]["data"]) == ("a", {"total": 5}, {"total": 7})
        assert model["changes"] == [{"path": "total", "kind": "changed", "before": 5, "after": 7}]
        assert page["step"]["folded"] == 1, "of the aggregate, and no others"
        assert [one["id"] for one in page["parity"]["different"]] == ["b"]
        first = found.data("/projection/bills?at=1")["step"]["models"][0]
        assert (first["before"], first["after"]["data"]) == (None, {"total": 5})
        assert "an unlucky amount" in found.data("/projection/bills?at=4")["step"]["problem"]
        assert "an unlucky amount" in found.text("/projection/bills?at=4")

        (row,) = found.data("/projection/rows?at=2")["step"]["models"]
        assert (row["id"], row["before"]["data"], row["after"]["data"]) == ("all", 5, 12)
    assert path.read_bytes() == before


def test_read_models_that_are_built_next_to_the_live_ones_are_compared_with_them(tmp_path: Path) -> None:
    registry, path = goes.Registry(), tmp_path / "rebuilt.db"
    bills, _ = _projections(registry)
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append([_added(registry, "a", 1, 5), _added(registry, "b", 1, 7)])
        db.projection(bills()).catch_up()
        db.models.put_many("goes:rebuild:bills", {"a": '{"total": 5}', "b": '{"total": 70}', "c": '{"total": 1}'})
        db.checkpoints.save("goes:rebuild:bills", 2)
    with pages(path, registry) as found:
        rebuilding = found.data("/projection/bills")["rebuilding"]
        assert (rebuilding["position"], rebuilding["compared"]) == (2, 3)
        assert [(one["id"], one["live"] and one["live"]["data"]) for one in rebuilding["different"]] == [
            ("b", {"total": 7}), ("c", None),
        ]  # fmt: skip
        assert "up to position 2: 2 of the first 3 differ" in found.text("/projection/bills")


def test_a_projection_that_the_program_does_not_know_is_shown_as_stored(tea_shop: Path) -> None:
    with pages(tea_shop) as found:
        page = found.data("/projection/sales")
        assert (page["stored"]["version"], page["program"], page["step"]) == (1, None, None)
        found.data("/projection/nobody", 404)


# --- search -----------------------------------------------------------------------------------------------------------


def test_search_finds_ids_names_and_tags_at_once(tea: Pages) -> None:
    def kinds(text: str) -> set[str]:
        return {one["kind"] for one in tea.data(f"/search?q={text}")["things"]}

    event = tea.data("/event/20")["event"]
    assert kinds(event["id"]) == {"event"}
    assert "position" in kinds("20")
    assert kinds("customer:ada") == {"tag"}
    assert kinds("order.paid") == {"event name"}
    assert "aggregate name" in kinds("order")
    assert {one["label"] for one in tea.data("/search?q=2026-0004")["things"]} >= {"order/2026-0004"}
    assert kinds("order/2026-0004") == {"aggregate"}
    assert "handled command" in kinds(str(program.DONE))
    assert "consumer" in kinds("letters")
    assert kinds("a%20text%20of%20nobody") == set()


def test_search_reads_the_log_bit_by_bit(tmp_path: Path) -> None:
    """What is asked for again goes on where the one before ended, until all of it was searched."""
    registry, path = goes.Registry(), tmp_path / "log.db"
    registry.register("said", str)
    with goes.blocking.connect(path, registry=registry) as db:
        texts = ["needle é" if number in (10, 3000) else f"hay {number}" for number in range(6000)]
        db.events.append([goes.Event(text, name="said", registry=registry) for text in texts])
    with pages(path) as found:
        address, positions, searched = "/search?q=Needle%20%C3%89", list[int](), 0
        while True:
            page = found.data(address)
            positions += [one["position"] for one in page["events"]]
            searched += page["searched"]
            if page["next"] is None:
                break
            address = f"/search?q=Needle%20%C3%89&before={page['next']}"
            assert f"before={page['next']}" in "".join(found.links(address.partition("&")[0])) or positions
        assert (positions, searched) == ([3001, 11], 6000)
        assert "Searched the newest 2,000 events; the head of the log is at 6,000" in found.text("/search?q=hay%201%22")


def test_search_reads_fewer_events_if_they_are_large(tmp_path: Path) -> None:
    registry, path = goes.Registry(), tmp_path / "large.db"
    registry.register("said", str)
    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append([goes.Event("x" * 1_000_000, name="said", registry=registry) for _ in range(12)])
    with pages(path) as found:
        first = found.data("/search?q=needle")
        assert (first["searched"], first["next"]) == (4, 9)
        assert found.data("/search?q=needle&before=9")["searched"] == 4


@pytest.mark.parametrize(("level", "seen"), [("full", 2), ("limited", 1), ("masked", 1), ("none", 0)])
def test_nothing_is_found_in_what_is_not_shown(level: Any, seen: int, tmp_path: Path) -> None:
    """A search that sees more than the page would tell what the page hides."""
    registry, path = goes.Registry(), tmp_path / "personal.db"

    @registry.event("joined")
    @dataclass(frozen=True)
    class Joined:
        name: str = field(metadata={"personal": True})
        city: str = ""

    with goes.blocking.connect(path, registry=registry) as db:
        db.events.append(
            [
                goes.Event(Joined("Wonderland", "Rome"), registry=registry),
                goes.Event(Joined("Ada", "Wonderland"), registry=registry),
            ]
        )
    with pages(path, registry, disclose=level) as found:
        page = found.data("/search?q=wonderland")
        assert len(page["events"]) == seen
        assert found.markup("/search?q=wonderland").count("Wonderland") == seen
