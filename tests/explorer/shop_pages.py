"""Every page of the tea shop: one address of each view, and of what a view can be asked."""

from __future__ import annotations

PAGES = (
    "/",
    "/log",
    "/log?name=order.paid&not=order.placed&tag=customer:ada",
    "/event/7",
    "/event/40",
    "/aggregate/order/2026-0003",
    "/aggregate/order/2026-0001?at=2",
    "/aggregates",
    "/models",
    "/models/sales",
    "/projection/sales?at=40",
    "/consumers",
    "/consumers/letters",
    "/commands",
    "/commands/01900000-0000-7000-8000-000000000002",
    "/workflows",
    "/workflows/fulfilment/2026-0003",
    "/search?q=2026-0003",
)
