"""A journal on the command line, with the standard library and goes_lite alone: a program to freeze.

    python3 examples/recipes/journal.py add "It rains."
    python3 examples/recipes/journal.py list
    python3 examples/recipes/journal.py --store postgresql://localhost/journal list

`freeze.py` makes one file or one folder of it, for people who have neither Python nor pip. docs/recipe-frozen.md says how.
"""

from __future__ import annotations

import argparse
import os
import sys
from dataclasses import dataclass

import goes_lite as goes


@goes.event("journal.written")
@dataclass(frozen=True)
class Written:
    text: str


class Journal(goes.Aggregate, name="journal", ignores=Written):
    def write(self, text: str) -> None:
        self.record(Written(text))


def main() -> int:
    parser = argparse.ArgumentParser(prog="journal", description="A journal that keeps everything.")
    default = os.environ.get("JOURNAL", "journal.db")
    parser.add_argument("--store", default=default, help="a file, or the URL of a server (default: %(default)s)")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("add", help="write something down").add_argument("text")
    commands.add_parser("list", help="show what was written")
    commands.add_parser("about", help="show what this program is made of")
    arguments = parser.parse_args()
    try:
        with goes.blocking.connect(arguments.store) as db:
            match arguments.command:
                case "add":
                    db.repository(Journal).use("mine", lambda journal: journal.write(arguments.text), create=True)
                case "list":
                    for event in db.events.query(goes.EventQuery([Written])):
                        print(f"{event.time.astimezone():%Y-%m-%d %H:%M}  {event.data.text}")
                case _:
                    driver = "apsw" if "apsw" in sys.modules else "sqlite3"
                    print(f"goes_lite {goes.__version__}, Python {sys.version.split()[0]}, {driver}, {db.location}")
    except goes.errors.GoesError as error:
        print(f"journal: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
