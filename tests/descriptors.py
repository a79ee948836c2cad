"""What this process has open, as Linux tells it."""

from __future__ import annotations

import gc
import os

import pytest

FOLDER = "/proc/self/fd"

needs_descriptors = pytest.mark.skipif(not os.path.isdir(FOLDER), reason="no /proc here")


def open_files() -> list[str]:
    """Return what the descriptors of this process point to, once garbage is collected.

    One that another thread closes meanwhile, or that listed the folder, is not among them.
    """
    gc.collect()
    found: list[str] = []
    for number in os.listdir(FOLDER):
        try:
            found.append(os.readlink(f"{FOLDER}/{number}"))
        except FileNotFoundError:
            continue
    return found
