"""Whether an upgrade of a program can read what the program has stored: schemas of its events and commands, and their comparison.

Belongs here: pure functions of registries and of documents; nothing reads a store, and no type of a program is needed to compare
two documents. The command line shows what they return.
"""

from goes_lite.schema.changes import Change, Verdict, changes
from goes_lite.schema.document import Catalogue, Described, describe, parse
from goes_lite.schema.reading import Gap, gaps

__all__ = ["Catalogue", "Change", "Described", "Gap", "Verdict", "changes", "describe", "gaps", "parse"]
