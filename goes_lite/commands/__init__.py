"""Commands: what a program is asked to do, as values of registered types, and the way to what does it.

@goes.command("order.place")
@dataclass(frozen=True)
class PlaceOrder:
order: str
items: list[str]
total: int  # cents

db.commands.serve(Order)                     # methods of aggregates, decorated with @handles
db.commands.handle(SendReminder, remind)     # functions
await db.commands.dispatch(PlaceOrder("2026-001", ["tea"], 450))
"""

from goes_lite.commands._bus import CommandBus
from goes_lite.commands._command import Command
from goes_lite.commands._handlers import handles
from goes_lite.commands._receipts import Receipt, receipts_of

__all__ = ["Command", "CommandBus", "Receipt", "handles", "receipts_of"]
