"""Loads what the tests of the repository share."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import TYPE_CHECKING

if not TYPE_CHECKING:
    # Test files are imported by path and their folders are not on sys.path; so is this, under the name that they use.
    spec = importlib.util.spec_from_file_location("repository_kit", Path(__file__).with_name("repository_kit.py"))
    repository_kit = sys.modules["repository_kit"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(repository_kit)
