"""Commands on stores of servers: the same as on files, read-only, and nothing is created."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from goes_lite_conformance.servers import ServerMissing

import goes_lite as goes
from goes_lite.errors import StoreReadOnly, StoreUnavailable
from tests.backends import mongo_kit, postgres_kit
from tests.cli.cli_kit import NoteTaken, goes_lite, notes, registry

pytestmark = pytest.mark.server


@pytest.fixture(params=["postgresql", "mongodb"])
def url(request: pytest.FixtureRequest) -> str:
    """The URL of a store that nobody has used."""
    kit = postgres_kit if request.param == "postgresql" else mongo_kit
    driver = "asyncpg" if request.param == "postgresql" else "pymongo"
    pytest.importorskip(driver, reason=f"{driver} is not installed")
    try:
        return str(kit.store_url())
    except (ServerMissing, ValueError) as missing:  # ValueError: no installation to choose from
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing))


def test_a_store_that_does_not_exist_is_not_created(url: str, tmp_path: Path) -> None:
    for command in (["log"], ["delete", "--yes", url, "pad/p1"]):
        words = command if url in command else [*command, url]
        assert "does not create one: check the URL" in goes_lite(*words, cwd=tmp_path, code=3).error
    with pytest.raises(StoreUnavailable), goes.blocking.connect(url, read_only=True):
        pass


def test_commands_work_as_on_files(url: str, tmp_path: Path) -> None:
    """What they print is the same, but for what a server has of its own."""
    file = notes(tmp_path / "app.db")
    with goes.blocking.connect(file, registry=registry) as source, goes.blocking.connect(url, registry=registry) as db:
        db.events.append(source.events.query().list())

    for words in (["log"], ["stats"], ["aggregates"]):
        of_server = goes_lite(*words, url, "--json", cwd=tmp_path, code=None).envelope
        assert of_server["data"] == goes_lite(*words, "app.db", "--json", cwd=tmp_path).data
    assert goes_lite("consumers", url, "--json", cwd=tmp_path).data == []
    assert len(goes_lite("log", cwd=tmp_path, env={"GOES_LITE_URL": url}).out.splitlines()) == 4

    done = goes_lite("delete", url, "pad/p/1", "--yes", "--json", cwd=tmp_path).data
    assert done["effect"] == {"events": 3, "snapshots": 0}
    assert [one["position"] for one in goes_lite("log", url, "--json", cwd=tmp_path).data] == [4]
    assert [one["action"] for one in goes_lite("audit", url, "--json", cwd=tmp_path).data] == ["delete"]


def test_a_read_only_handle_refuses_every_write(url: str) -> None:
    """As the handle on a file does; reading goes on."""
    event = goes.Event(NoteTaken("one"), aggregate=("pad", "1"), version=1, registry=registry)
    with goes.blocking.connect(url, registry=registry) as db:
        db.events.append([event])
    with goes.blocking.connect(url, registry=registry, read_only=True) as db:
        assert "transactions" not in db.abilities
        with pytest.raises(StoreReadOnly, match="opened read-only"):
            db.events.append([goes.Event(NoteTaken("two"), registry=registry)])
        with pytest.raises(StoreReadOnly):
            db.events.delete(goes.AggregateRef("pad", "1"))
        with pytest.raises(StoreReadOnly):
            db.models.put("things", "1", "{}")
        with pytest.raises(StoreReadOnly):
            db.checkpoints.save("reader", 1)
        with pytest.raises(StoreReadOnly):
            db.leases.acquire("reader", "me", 1)
        with pytest.raises(StoreReadOnly):
            db.snapshots.prune()
        with pytest.raises(StoreReadOnly), db.transaction():
            pass
        assert db.events.query().list() == [event]
