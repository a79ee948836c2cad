"""Generated ids: RFC 9562, version 7."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from uuid import RFC_4122, UUID

import pytest

from goes_lite.events.ids import new_id, new_id_bytes, new_id_text

MANY = 2000
"""More ids than one draw of randomness is enough for."""


def test_they_are_of_version_7_and_differ() -> None:
    ids = [new_id() for _ in range(MANY)]
    assert {(one.version, one.variant) for one in ids} == {(7, RFC_4122)}
    assert len(set(ids)) == MANY


def test_they_contain_their_time() -> None:
    before = time.time_ns() // 1_000_000
    made = new_id().int >> 80
    assert before <= made <= time.time_ns() // 1_000_000


def test_they_sort_by_time() -> None:
    """To a quarter of a microsecond: if the clock ticks between two ids, the later one is greater."""
    ids: list[bytes] = []
    while len(ids) < 100:
        ids.append(new_id_bytes())
        tick = time.time_ns()
        while time.time_ns() < tick + 1000:
            pass
    assert ids == sorted(ids)


def test_the_random_part_is_random() -> None:
    """Each of its 62 bits is set in about half of them; none is the same in all."""
    lows = [new_id().int & (1 << 62) - 1 for _ in range(MANY)]
    shares = [sum(low >> bit & 1 for low in lows) / MANY for bit in range(62)]
    assert 0.4 < min(shares) <= max(shares) < 0.6
    assert len(set(lows)) == MANY


def test_the_text_is_the_canonical_one() -> None:
    text = new_id_text()
    assert str(UUID(text)) == text
    assert UUID(text).version == 7


_FORKING = """
import os, sys
from goes_lite.events.ids import new_id_bytes
new_id_bytes()
child = os.fork()
if child:
    os.waitpid(child, 0)  # it writes first, so that the lines do not mix
print(*(new_id_bytes()[8:].hex() for _ in range(50)))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")
def test_a_forked_child_has_randomness_of_its_own() -> None:
    done = subprocess.run([sys.executable, "-P", "-c", _FORKING], capture_output=True, text=True, check=True)
    assert len(set(done.stdout.split())) == 100
