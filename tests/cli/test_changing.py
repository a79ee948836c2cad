"""Commands that change a store: what they say before, what they do, and what the audit log keeps."""

from __future__ import annotations

import hashlib
import os
import signal
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import goes_lite as goes
from tests.cli.cli_kit import PATIENCE, goes_lite, start
from tests.cli.shop_names import FAILED, WAITING

CHANGES: dict[str, tuple[list[str], dict[str, int]]] = {
    "delete": (["delete", "shop.db", "order/2026-002"], {"events": 2, "snapshots": 1}),
    "parked redrive": (["parked", "redrive", "shop.db", "letters"], {"parked": 3}),
    "parked drop": (["parked", "drop", "shop.db", "letters", "2"], {"parked": 1, "released": 1}),
    "commands withdraw": (["commands", "withdraw", "shop.db", WAITING], {"commands": 1}),
    "commands retry": (["commands", "retry", "shop.db", FAILED], {"commands": 1}),
    "snapshots prune": (["snapshots", "prune", "shop.db"], {"snapshots": 2}),
    "rebuild": (["rebuild", "shop.db", "sales", "--app", "shop_app"], {"events": 2, "different rows": 0}),
}
"""How each is called, and what it changes in the store of `shop_app.py`."""


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "shop.db").read_bytes()).hexdigest()


def audit(folder: Path) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = goes_lite("audit", "shop.db", "--json", cwd=folder).data
    return found


@pytest.mark.parametrize("name", CHANGES)
def test_a_change_is_announced_done_and_kept(name: str, own_shop: Path) -> None:
    """A dry run changes no byte; without a terminal or --yes nothing happens; then it happens once, and is in the audit log."""
    words, effect = CHANGES[name]
    before = digest(own_shop)

    dry = goes_lite(*words, "--dry-run", "--json", cwd=own_shop).data
    assert dry["done"] is False
    assert "--yes" in goes_lite(*words, cwd=own_shop, code=2).error
    assert digest(own_shop) == before

    done = goes_lite(*words, "--yes", "--json", "--reason", "a test", cwd=own_shop).data
    assert (done["done"], done["effect"]) == (True, effect)
    assert dry["effect"] == {kind: count for kind, count in effect.items() if kind in dry["effect"]}
    (entry,) = audit(own_shop)
    assert (entry["action"], entry["effect"], entry["reason"], entry["outcome"]) == (name, effect, "a test", "done")
    assert "@" in entry["who"]


def test_deleting_deletes(own_shop: Path) -> None:
    goes_lite("delete", "shop.db", "order/2026-002", "--yes", cwd=own_shop)

    assert [one["position"] for one in goes_lite("log", "shop.db", "--json", cwd=own_shop).data] == [1, 2, 3, 4]
    assert "has no '2026-002'" in goes_lite("delete", "shop.db", "order/2026-002", "--yes", cwd=own_shop, code=2).error
    assert len(audit(own_shop)) == 1


def test_what_is_asked_of_consumers_and_commands_is_done_by_them(own_shop: Path) -> None:
    goes_lite("parked", "drop", "shop.db", "letters", 2, "--yes", cwd=own_shop)
    goes_lite("parked", "redrive", "shop.db", "letters", "--position", 6, "--yes", cwd=own_shop)
    goes_lite("commands", "withdraw", "shop.db", WAITING, "--yes", cwd=own_shop)
    goes_lite("commands", "retry", "shop.db", FAILED, "--yes", cwd=own_shop)

    seen: list[int] = []

    def see(event: goes.Event[Any]) -> None:
        seen.append(event.position)

    with goes.blocking.connect(own_shop / "shop.db", registry=goes.Registry(), unknown="raw") as db:
        retry = goes.Retry(1, then="park", order="strict")
        processor = db.processor("letters", see, retry=retry)
        processor.catch_up()
        assert processor.parked() == []
        assert [str(one.id) for one in db.commands.accepted()] == [FAILED]
        assert db.commands.accepted(failed=True) == []
    assert sorted(seen) == [4, 6]


def test_a_lease_is_released(own_shop: Path) -> None:
    """That of an instance that hangs, in another process."""
    with goes.blocking.connect(own_shop / "shop.db", registry=goes.Registry(), unknown="raw") as db:
        held = db.leases.acquire("letters", "somebody", 600)
        (listed,) = goes_lite("leases", "list", "shop.db", "--json", cwd=own_shop).data
        assert (listed["name"], listed["owner"], listed["token"]) == ("letters", "somebody", held.token)
        assert "consumers" in goes_lite("consumers", "shop.db", "--json", cwd=own_shop, code=1).envelope["command"]

        goes_lite("leases", "release", "shop.db", "letters", "--yes", cwd=own_shop)

        assert db.leases.get("letters") is None
        with pytest.raises(goes.errors.LeaseLost):
            db.leases.renew(held, 600)
    assert "nobody holds" in goes_lite("leases", "release", "shop.db", "letters", "--yes", cwd=own_shop, code=2).error


def test_a_read_model_is_rebuilt(own_shop: Path) -> None:
    """In place as well; and what is there is compared."""
    with goes.blocking.connect(own_shop / "shop.db", registry=goes.Registry()) as db:
        db.models.put("sales", "all", '{"total": 1, "orders": 1}')
    words = ["rebuild", "shop.db", "sales", "--app", "shop_app", "--yes", "--json"]
    assert goes_lite(*words, cwd=own_shop).data["effect"] == {"events": 2, "different rows": 1}
    assert goes_lite("models", "shop.db", "sales", "--json", cwd=own_shop).data[0]["data"] == {
        "total": 1550,
        "orders": 2,
    }
    assert goes_lite(*words, "--in-place", cwd=own_shop).data["effect"] == {"events": 2}
    assert goes_lite("models", "shop.db", "sales", "--json", cwd=own_shop).data[0]["data"] == {
        "total": 1550,
        "orders": 2,
    }
    wrong = goes_lite("rebuild", "shop.db", "sale", "--app", "shop_app", "--yes", cwd=own_shop, code=2)
    assert "no projection 'sale': did you mean 'sales'?" in wrong.error


@pytest.mark.skipif(sys.platform == "win32", reason="needs a pseudo-terminal")
@pytest.mark.parametrize(("answer", "code"), [("y\n", 0), ("n\n", 2), ("\n", 2), ("\x03", 130)])
def test_on_a_terminal_it_asks(answer: str, code: int, own_shop: Path) -> None:
    """Ctrl-C at the question leaves everything as it was."""
    import pty
    import subprocess

    from tests.cli.cli_kit import environment, words_of

    before = digest(own_shop)
    ours, theirs = pty.openpty()
    with subprocess.Popen(
        words_of("delete", "shop.db", "order/2026-002"), cwd=own_shop, env=environment(), stdin=theirs,
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", start_new_session=True,
    ) as process:  # fmt: skip
        os.close(theirs)
        assert process.stderr is not None
        assert process.stderr.readline().startswith("About to delete order/2026-002 for good (events: 2, snapshots: 1)")
        assert process.stderr.read(len("Continue?")) == "Continue?"
        if answer == "\x03":
            process.send_signal(signal.SIGINT)  # it has no controlling terminal that would send it
        else:
            os.write(ours, answer.encode())
        process.communicate(timeout=PATIENCE)
    os.close(ours)
    assert process.returncode == code
    assert (digest(own_shop) == before) == (code != 0)


@pytest.mark.skipif(os.name == "nt", reason="needs a signal like that of Ctrl-C for one process")
@pytest.mark.slow
def test_an_interrupt_at_any_moment_changes_all_or_nothing(own_shop: Path) -> None:
    """The aggregate is there or not, never in part, and the file is a store."""
    import shutil

    original = own_shop / "original.db"
    shutil.copy(own_shop / "shop.db", original)
    ended: set[int] = set()
    for moment in range(24):
        shutil.copy(original, own_shop / "shop.db")
        for suffix in ("-wal", "-shm"):
            (own_shop / f"shop.db{suffix}").unlink(missing_ok=True)
        with start("delete", "shop.db", "order/2026-002", "--yes", cwd=own_shop) as process:
            time.sleep(0.02 * moment)
            process.send_signal(signal.SIGINT)
            process.communicate(timeout=PATIENCE)
        ended.add(process.returncode)
        left = goes_lite("log", "shop.db", "--aggregate", "order/2026-002", "--json", cwd=own_shop).data
        assert len(left) in (0, 2)
    assert ended <= {0, 130, 1, -signal.SIGINT}  # 1 and the signal: before Python has started, or while it ends
