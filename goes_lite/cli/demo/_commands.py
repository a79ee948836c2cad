"""The stop of the tour that dispatches commands: twice, with a context, and for later."""

from __future__ import annotations

import time
from datetime import datetime, timedelta, timezone

import goes_lite as goes
from goes_lite.cli.demo._shop import Order, ShipOrder, ThankCustomer
from goes_lite.cli.terminal import Terminal

LATER = 0.1


def show_commands(db: goes.blocking.BlockingDatabase, out: Terminal, order: Order) -> None:
    """Dispatch a command twice, which takes effect once, and schedule another one."""
    out.section("Commands: dispatched twice, handled once; or scheduled for later")
    db.commands.serve(Order)

    @db.commands.handles(ThankCustomer)
    def thank(command: ThankCustomer) -> str:
        return f"{command.customer} has been thanked"

    id, before = goes.new_id(), db.events.head()
    out.code(f"db.commands.dispatch(ShipOrder({order.id!r}, 'P-7'), id=id)    # and again")
    with goes.Context.bind(actor="the shop"):
        results = {db.commands.dispatch(ShipOrder(order.id, "P-7"), id=id) for _ in range(2)}
    shipped = db.events.query(after=before).list()
    out.good(f"both calls return {' and '.join(map(repr, results))}; {len(shipped)} event written")
    for event in shipped:
        out.good(
            f"its metadata: actor {event.metadata['actor']!r}, causation {event.metadata['causation'][:13]}…, the command"
        )
    scheduled = time.perf_counter()
    at = datetime.now(timezone.utc) + timedelta(seconds=LATER)
    out.code(f"db.commands.schedule(ThankCustomer('ada'), at=in_{round(LATER * 1000)}_ms)    # into the file")
    later = db.commands.schedule(ThankCustomer("ada"), at=at)
    with db.commands.worker():
        result = db.commands.outcome(later, timeout=30)
    out.good(f"{result}, {round((time.perf_counter() - scheduled) * 1000)} ms later, by a worker")
