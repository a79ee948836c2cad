"""docs/operations.md explains every finding, and no other."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "operations.md"
SOURCES = (
    "goes_lite/operations/log_pass.py", "goes_lite/operations/lookups.py", "goes_lite/operations/snapshot_check.py",
    "goes_lite/operations/record_check.py", "goes_lite/operations/verifying.py", "goes_lite/operations/reporting.py",
    "goes_lite/sqlite/_integrity.py", "adapters/goes_lite_postgres/_integrity.py", "adapters/goes_lite_mongo/_integrity.py",
)  # fmt: skip
"""Where the codes of verify are."""
CODE = re.compile(r'(?:wrong|Finding)\(\s*"([a-z]+(?:-[a-z]+)*)"|(?:expect)\((?:[^"]|\n)*?"([a-z]+(?:-[a-z]+)+|count)"')

pytestmark = pytest.mark.skipif(
    not (ROOT / "goes_lite").is_dir(), reason="the sources are not here: a built package is tested"
)


def explained(heading: str) -> set[str]:
    section = PAGE.read_text(encoding="utf-8").split(f"\n### {heading}\n")[1].split("\n#")[0]
    firsts = [line.split("|")[1] for line in section.splitlines() if line.startswith("| `")]
    return {code for first in firsts for code in re.findall(r"`([a-z-]+)`", first)}


def test_every_code_of_verify_is_explained() -> None:
    texts = [(ROOT / source).read_text(encoding="utf-8") for source in SOURCES]
    used = {one or two for text in texts for one, two in CODE.findall(text)}
    composed = {
        "receipt-different",
        "receipt-shorter",
        "parked-wrong",
        "commands-wrong",
        "receipts-wrong",
        "records-wrong",
        "workflow-association",
        "workflow-history",
        "workflow-timer",
        "workflow-wrong",
    }
    lookups = {"id-lookup", "tag-lookup", "aggregate-lookup"}  # passed on by name
    assert used | composed | lookups == explained("What the findings of verify mean")


def test_every_code_of_doctor_is_explained() -> None:
    package = ROOT / "goes_lite"
    sources = [package / "operations" / "doctoring.py", package / "kit" / "examining.py", *ROOT.glob("*/*/_examine.py")]
    used = {one or two for source in sources for one, two in CODE.findall(source.read_text(encoding="utf-8"))}
    assert used == explained("What the findings of doctor mean")
