"""One handle on the events for each process, opened when it is needed first: after a server has forked."""

from __future__ import annotations

import atexit
import threading

from django.conf import settings

import goes_lite as goes

_lock = threading.Lock()
_open: list[goes.blocking.BlockingDatabase] = []


def store() -> goes.blocking.BlockingDatabase:
    """Return the handle, which all threads of the process share."""
    with _lock:
        if not _open:
            db = goes.blocking.connect(settings.GOES_LITE_URL)
            atexit.register(db.close)
            _open.append(db)
        return _open[0]
