"""The command line: `python -m goes_lite`."""

from __future__ import annotations

import sys

from goes_lite.cli.main import main

__all__ = ["main"]

if __name__ == "__main__":
    sys.exit(main())
