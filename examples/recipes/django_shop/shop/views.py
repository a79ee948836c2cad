"""Requests: those that change something go to the aggregate, those that look at something go to the ORM."""

from __future__ import annotations

import json
from collections.abc import Callable

from django.http import HttpRequest, JsonResponse
from django.views.decorators.http import require_GET, require_POST

import goes_lite as goes

from . import domain, models, projection
from .store import store


def change(id: str, how: Callable[[domain.Order], object], *, create: bool = False) -> JsonResponse:
    """Load, decide and save; the answer has a position with which the client reads what it wrote."""
    try:
        store().repository(domain.Order).use(id, how, create=create)
    except domain.Refused as no:
        return JsonResponse({"detail": str(no)}, status=409)
    except goes.errors.AggregateNotFound as error:
        return JsonResponse({"detail": f"there is no {error.aggregate}"}, status=404)
    return JsonResponse({"position": store().events.head()})


@require_POST
def place(request: HttpRequest, id: str) -> JsonResponse:
    try:
        sent = json.loads(request.body or b"null")
    except ValueError:
        sent = None
    match sent:
        case {"item": str(item), "cents": int(cents)}:
            return change(id, lambda order: order.place(item, cents), create=True)
        case _:
            return JsonResponse({"detail": "item and cents are needed"}, status=400)


@require_POST
def pay(request: HttpRequest, id: str) -> JsonResponse:
    return change(id, lambda order: order.pay())


@require_GET
def orders(request: HttpRequest) -> JsonResponse:
    """List the orders; with `?seen=POSITION`, not before the models have come as far."""
    if "seen" in request.GET:
        try:
            projection.processor(store()).wait_for(max(0, int(request.GET["seen"])), timeout=10)
        except ValueError:
            return JsonResponse({"detail": "seen is a position"}, status=400)
        except goes.errors.ProcessorBehind as error:
            return JsonResponse({"detail": str(error)}, status=503)
    found = models.Order.objects.order_by("id").values("id", "item", "cents", "paid")
    return JsonResponse({"orders": list(found)})
