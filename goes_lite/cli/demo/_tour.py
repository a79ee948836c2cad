"""The tour, stop by stop. The code that it prints is the code that it runs, sometimes shortened."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from functools import partial
from statistics import median
from typing import NamedTuple

import goes_lite as goes
from goes_lite.blocking import BlockingDatabase, BlockingRepository, connect
from goes_lite.cli.demo._commands import show_commands
from goes_lite.cli.demo._follower import Follower, interpreter
from goes_lite.cli.demo._projection import ProjectionProcess
from goes_lite.cli.demo._shop import (
    Account,
    Customer,
    Movement,
    Movements,
    Order,
    Refused,
    Stock,
    applied,
    brief,
    cents,
    shop,
    wait_for_next_tick,
)
from goes_lite.cli.terminal import BOLD, DIM, Terminal
from goes_lite.errors import AppendConditionFailed, ConcurrencyError, ConfigError, StoreUnavailable
from goes_lite.operations.forms import size
from goes_lite.sqlite import SQLiteBackend

_PYTHON = "python" if os.name == "nt" else "python3"
_MAILBOX = (
    "CREATE TABLE IF NOT EXISTS demo_mailbox (id INTEGER PRIMARY KEY, recipient TEXT NOT NULL, subject TEXT NOT NULL)"
)
_MAIL = "INSERT INTO demo_mailbox (recipient, subject) VALUES (?, ?)"


class Tour(NamedTuple):
    """The state that every stop of the tour needs."""

    db: BlockingDatabase
    out: Terminal
    path: str
    """The path of the file, as the user wrote it."""
    before: int
    """The number of events when the tour began."""
    start: int
    """The head of the log when the tour began."""
    orders: BlockingRepository[Order]

    def show(self, after: int, *, limit: int | None = None) -> None:
        """Print the events after a position as a table."""
        events = self.db.events.query(after=after, limit=limit)
        rows = [
            (e.position, f"{e.time:%H:%M:%S.%f}"[:-3], e.name, _aggregate_of(e), f"v{e.version}", brief(e.data))
            for e in events
        ]
        self.out.table(("#", "time, UTC", "event", "aggregate", "", "data"), rows, right=[0])


def take_tour(path: str, out: Terminal) -> None:
    """Take the tour on the file at `path`, which is created if needed; a file of an earlier tour is continued."""
    began = time.perf_counter()
    earlier = _events_in(path)
    with connect(path, registry=shop) as db:
        tour = Tour(db, out, path, earlier, db.events.head(), db.repository(Order))
        _file(tour)
        order = _commands(tour)
        _history(tour)
        _time_travel(tour, order)
        _two_editors(tour, order)
        _unique_email(tour)
        _transaction(tour, order)
        show_commands(db, out, order)
        _snapshot(tour)
        _second_process(tour)
        _projection(tour)
        stored = db.events.count()
    _end(tour, stored, began)


def _events_in(path: str) -> int:
    """Return the number of events of earlier tours in the file; ConfigError if it holds events of another program."""
    if not os.path.isfile(path) or not os.path.getsize(path):
        return 0
    try:
        with connect(path, registry=shop, read_only=True) as db:
            stored = db.events.count()
            foreign = stored - db.events.count(goes.EventQuery(shop.names()))
    except StoreUnavailable:  # another tour is creating it; or it cannot be opened, and connecting will say so again
        return 0
    if foreign > 0:
        raise ConfigError(
            f"{path} holds {foreign} event(s) of another program, so the demo does not touch it: choose another file with --db"
        )
    return stored


# --- the stops of the tour --------------------------------------------------------------------------------------------


def _file(tour: Tour) -> None:
    db, out = tour.db, tour.out
    out.line(f"goes_lite {goes.__version__}, a tour: the event log of a small shop", BOLD)
    out.section("One file, nothing to install or start")
    out.code(f"db = goes_lite.blocking.connect({tour.path!r})")
    if tour.before:
        out.good(f"{tour.path} exists from an earlier run, with {tour.before} events; this run adds to them")
    else:
        out.good(f"{tour.path} is new")
    if isinstance(db.backend, SQLiteBackend):
        out.good(f"Python {sys.version.split()[0]}, {db.backend.driver}; durability: {db.durability}")


def _commands(tour: Tour) -> Order:
    db, out = tour.db, tour.out
    customers = db.repository(Customer)
    out.section("Commands decide, events remember")
    for id, name in (("ada", "Ada"), ("bob", "Bob")):
        try:
            customers.use(id, partial(Customer.join, name=name, email=f"{id}@example.org"), create=True)
        except Refused:
            out.good(f"customer {id} exists from an earlier run")
        else:
            out.code(
                f"customers.use({id!r}, lambda c: c.join({name!r}, '{id}@example.org'),", "              create=True)"
            )
    id = _new_order(tour, lambda order: order.place("ada", "tea", 2, 450))
    out.code(
        f"orders.use({id!r}, lambda o: o.place('ada', 'tea', 2, 450), create=True)",
        f"orders.use({id!r}, lambda o: o.add('cup', 1, 800))",
    )
    wait_for_next_tick()
    tour.orders.use(id, lambda order: order.add("cup", 1, 800))
    order = tour.orders.fetch(id)
    out.good(f"{order.ref} is at version {order.version}, its total is {cents(order.total)}")
    out.code(f"orders.use({id!r}, lambda o: o.ship('P-1'))")
    before = db.events.head()
    try:
        tour.orders.use(id, lambda order: order.ship("P-1"))
    except Refused as no:
        out.refused(f"Refused: {no}; {db.events.head() - before} events written")
    return order


def _history(tour: Tour) -> None:
    tour.out.section("The log: everything that happened, in order")
    tour.out.code(f"for event in db.events.query(after={tour.start}): …")
    tour.show(tour.start)


def _time_travel(tour: Tour, order: Order) -> None:
    out, orders = tour.out, tour.orders
    first = orders.fetch_version(order.id, 1)
    then = first.last_event_time
    if then is None:
        return
    moment = then + timedelta(microseconds=500)
    earlier = orders.fetch_version(order.id, moment)
    out.section("Time travel: any aggregate as it was, by version or by time")
    out.code(f"orders.fetch_version({order.id!r}, 1)")
    out.code(f"orders.fetch_version({order.id!r}, moment)        # {moment:%H:%M:%S.%f} UTC today")
    rows = [
        (label, f"v{state.version}", len(state.lines), cents(state.total), state.status)
        for label, state in (("at version 1", first), (f"at {moment:%H:%M:%S.%f}", earlier), ("now", order))
    ]
    out.table(("order " + order.id, "", "lines", "total", "status"), rows, right=[2, 3])


def _two_editors(tour: Tour, order: Order) -> None:
    out, orders = tour.out, tour.orders
    out.section("Two editors of one order: nobody overwrites anybody")
    mine, theirs = orders.fetch(order.id), orders.fetch(order.id)
    theirs.add("honey", 1, 300)
    orders.save(theirs)
    out.good(f"the other editor added honey: {theirs.ref} is at version {theirs.version}")
    mine.add("milk", 1, 150)
    try:
        out.code("orders.save(mine)")
        orders.save(mine)
    except ConcurrencyError as conflict:
        out.refused(
            f"ConcurrencyError: expected version {conflict.expected}, actual version {conflict.actual}; nothing written"
        )
    out.code(f"orders.use({order.id!r}, lambda o: o.add('milk', 1, 150))")
    orders.use(order.id, lambda order: order.add("milk", 1, 150))
    now = orders.fetch(order.id)
    out.good(f"use() retries on conflict: version {now.version} has {', '.join(line.item for line in now.lines)}")


def _unique_email(tour: Tour) -> None:
    db, out = tour.db, tour.out
    email = "ada@example.org"
    out.section("A rule across aggregates: no two customers with the same e-mail")
    taken = goes.EventQuery(["customer.joined"], tags=[f"email:{email}"])
    out.code(
        f"taken = EventQuery(['customer.joined'], tags=['email:{email}'])",
        "customers.save(impostor, condition=AppendCondition(taken))",
    )
    customers = db.repository(Customer)
    impostor = customers.new()
    impostor.join("Mallory", email)
    try:
        customers.save(impostor, condition=goes.AppendCondition(taken))
    except AppendConditionFailed as no:
        out.refused(f"AppendConditionFailed: event {no.position} matches; nothing written")
    out.good("check and write are atomic: of two concurrent attempts only one succeeds")


def _transaction(tour: Tour, order: Order) -> None:
    db, out = tour.db, tour.out
    out.section("One transaction: events, a read model and a table of your own")
    order = tour.orders.fetch(order.id)
    out.code(
        "with db.transaction() as tx:",
        "    orders.within(tx).save(order)                         # order.paid",
        "    tx.models_of('accounts', Account).use('ada', …)       # a read model",
        "    tx.execute('INSERT INTO demo_mailbox …')              # your own SQL",
    )
    with db.transaction() as tx:
        tx.execute(_MAILBOX)

    class PrinterOnFire(Exception):
        pass

    def pay_and_write_to(recipient: str, *, crash: bool) -> None:
        with db.transaction() as tx:
            tour.orders.within(tx).save(order)
            accounts = tx.models_of("accounts", Account)
            accounts.use(
                order.customer,
                lambda account: replace(account, orders=account.orders + 1, paid=account.paid + order.total),
                default=Account(),
            )
            tx.execute(_MAIL, (recipient, f"Thank you for order {order.id}"))
            if crash:
                raise PrinterOnFire

    accounts = db.models_of("accounts", Account)

    def state() -> str:
        account = accounts.find(order.customer) or Account()
        with db.transaction() as tx:
            mails = tx.execute("SELECT count(*) FROM demo_mailbox")[0][0]
        stored = tour.orders.fetch(order.id)
        return f"order {order.id} {stored.status}, {order.customer} has paid {cents(account.paid)}, letters: {mails}"

    order.pay(order.total)
    try:
        pay_and_write_to("ada@example.org", crash=True)
    except PrinterOnFire:
        out.refused(f"the block raised, all three were rolled back: {state()}")
    pay_and_write_to("ada@example.org", crash=False)
    out.good(f"committed together: {state()}")


def _snapshot(tour: Tour) -> None:
    db, out = tour.db, tour.out
    out.section("Snapshots: long histories, fast loads")
    out.code("stock = db.repository(Stock, snapshots=Every(100))")
    item = "tea"
    stocked = db.repository(Stock, snapshots=goes.Every(100), keep_snapshots=2)

    def business(tea: Stock) -> None:
        tea.deliver(50)
        for _ in range(50):
            tea.sell(1)

    for _ in range(4):  # four commits of fifty-one events each
        stocked.use(item, business, create=True)
    for quantity in (10, 10, 10):
        stocked.use(item, partial(Stock.deliver, quantity=quantity))
    latest = db.snapshots.latest(goes.AggregateRef("stock", item))
    assert latest is not None  # noqa: S101 (more than a hundred events were saved)

    def events_applied(repository: BlockingRepository[Stock]) -> int:
        applied.clear()
        repository.fetch(item)
        return applied[item]

    version = stocked.fetch(item).version
    out.good(
        f"{latest.aggregate} is at version {version}, its newest snapshot at version {latest.version}: loading it "
        f"applies {events_applied(stocked)} events instead of {events_applied(db.repository(Stock))}"
    )


def _second_process(tour: Tour) -> None:
    db, out = tour.db, tour.out
    out.section("Another process follows, live")
    python = interpreter()
    if not python:
        out.text("Skipped: this Python does not know its own executable, so it cannot start another process.")
        return
    out.code(f"{_PYTHON} -m goes_lite log {tour.path} --follow    (in a process of its own)")
    head = db.events.head()
    number = ""
    commands: tuple[Callable[[Order], None], ...] = (
        lambda order: order.place("bob", "coffee", 1, 900),
        lambda order: order.add("cake", 2, 350),
        lambda order: order.pay(1600),
        lambda order: order.ship("P-2"),
    )
    rows: list[tuple[object, ...]] = []
    delays: list[float] = []
    with Follower(python, os.path.abspath(tour.path), after=head - 1) as other:
        other.next()  # the last event before: it has caught up, and the next ones are live
        for command in commands:
            if number:
                tour.orders.use(number, command)
            number = number or _new_order(tour, command)
            while (seen := other.next()).aggregate != f"order {number}":
                pass  # written by another program in the meantime
            delays.append(seen.delay)
            rows.append((seen.position, seen.event, seen.aggregate, f"v{seen.version}", f"{seen.delay * 1000:.1f} ms"))
    out.good(f"process {other.pid} saw what process {os.getpid()} wrote, this long after it was recorded:")
    out.table(("#", "event", "aggregate", "", "seen after"), rows, right=[0, 4])
    out.good(f"median {median(delays) * 1000:.1f} ms, commit included; there is no server, only the file")


def _projection(tour: Tour) -> None:
    db, out = tour.db, tour.out
    out.section("A read model that survives a killed process")
    python = interpreter()
    if not python:
        out.text("Skipped: this Python does not know its own executable, so it cannot start another process.")
        return
    out.code("with db.projection(Movements()) as movements:    # of the stock, by item")
    head = db.events.head()
    checkpoint = db.checkpoints.get(Movements.name)
    begin = checkpoint.position if checkpoint else 0
    with ProjectionProcess(python, os.path.abspath(tour.path)) as process:
        out.good(f"process {process.pid} starts after position {begin} of {head}")
        process.kill_at(db, (begin + head) // 2)
    checkpoint = db.checkpoints.get(Movements.name)
    out.refused(f"killed half-way; its last commit was at position {checkpoint.position if checkpoint else 0}")
    killed = time.perf_counter()
    with db.projection(Movements()) as movements:
        movements.wait_for(head)
        seconds = time.perf_counter() - killed
    handled = movements.stats().handled
    out.good(
        f"process {os.getpid()} took over when the lease expired, and handled the other {handled} events: "
        f"{seconds:.1f} s in all"
    )
    tea = db.models_of(Movements.name, Movement).get("tea")
    stock = db.repository(Stock).fetch("tea").quantity
    out.good(
        f"tea: {tea.delivered} delivered, {tea.sold} sold, so {tea.delivered - tea.sold} left; the aggregate says "
        f"{stock}. Read model and checkpoint commit together, so every event counts once"
    )


def _end(tour: Tour, stored: int, began: float) -> None:
    out, path = tour.out, tour.path
    out.section("Explore it yourself")
    shown = f'"{path}"' if " " in path else path
    out.line(f"  {_PYTHON} -m goes_lite ui {shown}                      (in the browser)")
    out.line(f"  {_PYTHON} -m goes_lite log {shown} --last 5")
    out.line(f"  {_PYTHON} -m goes_lite info {shown}")
    out.line(f"  sqlite3 {shown} 'select * from event_log'")
    out.line(f"  datasette {shown}                        (pip install datasette)")
    out.line()
    out.line(
        f"{stored - tour.before} events in {time.perf_counter() - began:.1f} s. {path}: {stored} events, "
        f"{size(sum(os.path.getsize(file) for file in (path, f'{path}-wal') if os.path.exists(file)))}.",
        BOLD,
    )
    out.line("The next run continues with this file. Delete it to start over.", DIM)
    out.line(f"See it in the browser: goes-lite ui {shown}", BOLD)
    out.flush()


# --- helpers ----------------------------------------------------------------------------------------------------------


def _aggregate_of(event: goes.Event[object]) -> str:
    return f"{event.aggregate.name} {event.aggregate.id}" if event.aggregate else ""


def _new_order(tour: Tour, place: Callable[[Order], None]) -> str:
    """Place an order under the next free number; other programs may take numbers at the same time."""
    number = 1001 + len(tour.db.events.aggregates("order").list())
    while True:
        try:
            tour.orders.use(str(number), place, create=True)
            return str(number)
        except Refused:
            number += 1
