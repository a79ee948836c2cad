"""Repositories: where the aggregates of one class are loaded from and saved to.

What decides and saves events on the caller's behalf belongs here, with what makes loading shorter (snapshots, the cache).
"""

from __future__ import annotations

from goes_lite.repository._repository import Repository
from goes_lite.repository._tries import Refusal
from goes_lite.repository.options import RepositoryOptions

__all__ = ["Refusal", "Repository", "RepositoryOptions"]
