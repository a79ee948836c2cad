"""Commands: requests to a program, as values of registered types, dispatched to the one handler of each.

    @goes.command("order.place")
    @dataclass(frozen=True)
    class PlaceOrder:
        order: str
        items: list[str]
        total: int  # cents

    db.commands.serve(Order)                     # methods of aggregates, decorated with @handles
    db.commands.handle(SendReminder, remind)     # functions
    await db.commands.dispatch(PlaceOrder("2026-001", ["tea"], 450))

    await db.commands.dispatch_async(SendReminder("2026-001"))     # kept in the store until a worker has handled it
    async with db.commands.worker(): ...

    async with db.commands.service(): ...     # handles commands of other services, over a bus that carries them

A command has exactly one handler. Its return value is the result of `dispatch`, and its exceptions propagate there.
"""

from goes_lite.commands._accepted import AcceptedCommand
from goes_lite.commands._bus import Around, CommandBus, CommandHandler, Middleware, Proceed
from goes_lite.commands._command import Command, DispatchedCommand
from goes_lite.commands._handlers import handles
from goes_lite.commands._keys import command_id
from goes_lite.commands._receipts import Receipt
from goes_lite.commands._service import CommandService
from goes_lite.commands._worker import CommandWorker
from goes_lite.contract.command_transport import BusWithCommands, CommandTransport
from goes_lite.events.outcome import COMMAND_OUTCOME, CommandOutcome

__all__ = [
    "COMMAND_OUTCOME",
    "AcceptedCommand",
    "Around",
    "BusWithCommands",
    "Command",
    "CommandBus",
    "CommandHandler",
    "CommandOutcome",
    "CommandService",
    "CommandTransport",
    "CommandWorker",
    "DispatchedCommand",
    "Middleware",
    "Proceed",
    "Receipt",
    "command_id",
    "handles",
]
