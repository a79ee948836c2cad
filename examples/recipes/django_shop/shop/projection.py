"""Events into models of the ORM, each exactly once, although the two are in different databases."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from django.db import transaction

import goes_lite as goes

from . import models
from .domain import Paid, Placed

NAME = "orders"


def processor(db: goes.blocking.BlockingDatabase) -> goes.blocking.BlockingProcessor:
    """Return what keeps the models up to date. One process at a time does so; others stand by."""
    return db.processor(NAME, project, query=goes.EventQuery([Placed, Paid]), batched=True, lease=2)


def project(events: Sequence[goes.Event[Any]]) -> None:
    """Write what a batch of events changes. A batch may come again after a crash: what is written already is left out."""
    with transaction.atomic():
        progress, _ = models.Progress.objects.get_or_create(projection=NAME)
        for event in events:
            assert event.position is not None
            if event.position > progress.position:
                apply(event)
                progress.position = event.position
        progress.save()


def apply(event: goes.Event[Any]) -> None:
    match event.data:
        case Placed(item, cents):
            models.Order.objects.create(id=event.aggregate_id, item=item, cents=cents, placed_at=event.time)
        case Paid():
            models.Order.objects.filter(id=event.aggregate_id).update(paid=True)
        case _:
            pass  # the query lets nothing else in


def forget() -> None:
    """Remove all that was written, so that it is written again from the first event."""
    with transaction.atomic():
        models.Order.objects.all().delete()
        models.Progress.objects.filter(projection=NAME).delete()
