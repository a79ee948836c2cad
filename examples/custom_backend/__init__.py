"""A backend of one's own, in full: everything is kept in a journal, a file to which lines of JSON are appended.

    import custom_backend  # which registers the scheme

    with goes_lite.blocking.connect("journal:///app.journal") as db: ...

A line is a commit: a checksum, and the records of what changed. It is written, fsynced and only then acknowledged, so
a line that a crash has torn was never promised to anybody, and the next writer cuts it off. What the lines add up to
is held in memory; before each operation a handle reads the lines that others have added. So everything has to fit into
memory, every event costs an fsync, and opening reads the whole file. Only a delete rewrites it: what is erased is gone.

It keeps the whole contract of goes_lite all the same (see tests/test_example_backend.py); docs/writing-a-backend.md
goes through it, in this order: records, file, events, stores, transactions, backend. Several processes may share the
file where there is `fcntl`, that is everywhere but on Windows.
"""

from __future__ import annotations

import sys
from importlib.util import find_spec
from pathlib import Path

if not find_spec("goes_lite"):
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))  # a fresh clone: nothing is installed

from goes_lite.connect import register_backend

from .backend import JournalBackend

__all__ = ["JournalBackend"]

register_backend("journal", JournalBackend)
