"""The read model: what is looked at, in tables of Django. Only `projection.py` writes to them."""

from __future__ import annotations

from datetime import datetime
from typing import ClassVar

from django.db import models


class Order(models.Model):
    id: models.CharField[str, str] = models.CharField(primary_key=True, max_length=100)
    item: models.CharField[str, str] = models.CharField(max_length=200)
    cents: models.IntegerField[int, int] = models.IntegerField()
    paid: models.BooleanField[bool, bool] = models.BooleanField(default=False)
    placed_at: models.DateTimeField[datetime, datetime] = models.DateTimeField()

    objects: ClassVar[models.Manager[Order]] = models.Manager()

    def __str__(self) -> str:
        return f"order {self.id}"


class Progress(models.Model):
    """How far a projection has come. It commits with what the projection writes, so each event counts once."""

    projection: models.CharField[str, str] = models.CharField(primary_key=True, max_length=100)
    position: models.BigIntegerField[int, int] = models.BigIntegerField(default=0)

    objects: ClassVar[models.Manager[Progress]] = models.Manager()

    def __str__(self) -> str:
        return f"{self.projection} at {self.position}"
