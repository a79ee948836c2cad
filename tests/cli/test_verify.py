"""`goes-lite verify` and `goes-lite digest`, in processes of their own."""

from __future__ import annotations

import json
import sqlite3
from pathlib import Path

from goes_lite.operations import Receipt
from tests.cli.cli_kit import goes_lite, notes

APP = """
from dataclasses import dataclass
import goes_lite as goes

@goes.event("note.taken")
@dataclass(frozen=True)
class NoteTaken:
    text: str
    language: str
"""


def edit(path: Path, statement: str) -> None:
    raw = sqlite3.connect(path)
    with raw:
        raw.execute(statement)
    raw.close()


def test_a_sound_store(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    ran = goes_lite("verify", "app.db", cwd=tmp_path)
    assert ran.out.startswith("sound: ")
    assert ran.err == ""
    data = goes_lite("verify", "app.db", "--json", cwd=tmp_path).data
    assert data["problems"] == 0
    assert data["events"] > 0


def test_findings_are_told_with_their_codes(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    edit(tmp_path / "app.db", "UPDATE events SET data = '{\x1b[31m' WHERE position = 1")
    ran = goes_lite("verify", "app.db", cwd=tmp_path, code=1)
    assert "payload-unreadable: the event 'note.taken'" in ran.err
    assert "\x1b" not in ran.out + ran.err
    assert ran.out.startswith("1 finding; checked ")
    envelope = goes_lite("verify", "app.db", "--json", cwd=tmp_path, code=1).envelope
    assert [one["code"] for one in envelope["findings"]] == ["payload-unreadable"]
    assert envelope["data"]["problems"] == 1


def test_with_an_application_payloads_have_todays_types(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    (tmp_path / "newer.py").write_text(APP)
    goes_lite("verify", "app.db", cwd=tmp_path)
    envelope = goes_lite("verify", "app.db", "--app", "newer", "--limit", "2", "--json", cwd=tmp_path, code=1).envelope
    assert [one["code"] for one in envelope["findings"]] == ["payload-unreadable", "payload-unreadable", "stopped"]


def test_a_name_that_the_application_does_not_know(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    (tmp_path / "empty.py").write_text("")
    envelope = goes_lite("verify", "app.db", "--app", "empty", "--json", cwd=tmp_path, code=1).envelope
    assert {one["code"] for one in envelope["findings"]} == {"event-unknown"}


def test_a_receipt_is_kept_and_checked(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    ran = goes_lite("digest", "app.db", "--output", "app.receipt", cwd=tmp_path)
    receipt = Receipt.from_json((tmp_path / "app.receipt").read_bytes())
    assert receipt.hash.hex() in ran.out
    again = goes_lite("digest", "app.db", "--output", "app.receipt", cwd=tmp_path, code=2)
    assert again.error == "'app.receipt' exists: a receipt is not overwritten"
    envelope = goes_lite("digest", "app.db", "--json", cwd=tmp_path)
    (tmp_path / "json.receipt").write_text(envelope.out)
    assert Receipt.from_json(json.dumps(envelope.data)).hash == receipt.hash
    for name in ("app.receipt", "json.receipt"):
        assert "is the one of the receipt" in goes_lite("digest", "app.db", "--check", name, cwd=tmp_path).out
        goes_lite("verify", "app.db", "--receipt", name, cwd=tmp_path)
    edit(tmp_path / "app.db", "UPDATE events SET data = json_set(data, '$.text', 'forged') WHERE position = 2")
    goes_lite("verify", "app.db", cwd=tmp_path)  # a payload that is sound, but another
    ran = goes_lite("digest", "app.db", "--check", "app.receipt", "--json", cwd=tmp_path, code=1)
    assert ran.envelope["data"]["difference"] == {"position": 2, "kind": "changed"}
    assert [one["code"] for one in ran.envelope["findings"]] == ["receipt-different"]
    ran = goes_lite("verify", "app.db", "--receipt", "app.receipt", cwd=tmp_path, code=1)
    assert "receipt-different: the log is not the one of the receipt: the event at position 2 was changed" in ran.err


def test_wrong_use(tmp_path: Path) -> None:
    notes(tmp_path / "app.db")
    (tmp_path / "no.receipt").write_text("{}")
    assert "no receipt" in goes_lite("digest", "app.db", "--check", "no.receipt", cwd=tmp_path, code=2).error
    goes_lite("digest", "app.db", "--check", "missing.receipt", cwd=tmp_path, code=3)
    assert "--check" in goes_lite("digest", "app.db", "--check", "x", "--upto", "1", cwd=tmp_path, code=2).error
    goes_lite("verify", "missing.db", cwd=tmp_path, code=3)
    goes_lite("verify", "app.db", "--limit", "0", cwd=tmp_path, code=2)
