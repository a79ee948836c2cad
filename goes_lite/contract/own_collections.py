"""The collections of read models in which goes_lite keeps records of its own, in every store.

Their names begin with `goes:`. They are here because the features that write them do not know each other, and tools that
check, copy or describe a store know none of the features.
"""

from __future__ import annotations

from uuid import NAMESPACE_OID, uuid5

RESERVED = "goes:"
"""Begins all of them."""
COMMANDS = "goes:commands"
"""Accepted commands that wait to be handled, or that failed; by their ids."""
RECEIPTS = "goes:receipts"
"""The outcomes of handled commands; by their ids."""
PROCESSORS = "goes:processors"
"""Requests to processors; by their names."""
PROJECTIONS = "goes:projections"
"""Which version of a projection made its read model; by their names."""
REBUILD = "goes:rebuild:"
"""Begins the names in the store that belong to a read model while it is built next to the live one."""


def parked_collection(processor: str) -> str:
    """Return the collection of the dead letters of a processor; their ids are in the order of the log."""
    return f"goes:parked:{processor}"


IMPORTS = "goes:imports"
"""An import that was begun and not finished, under the id `UNFINISHED`: what the store holds is only a part."""
UNFINISHED = "unfinished"
LINEAGE = "goes:lineage"
"""The store that this one is a copy of, under the id `origin`."""
STORES_OWN = frozenset({IMPORTS, LINEAGE})
"""Collections about the store itself: a copy has its own."""
AUDIT = "goes:audit"
"""What people have changed with the command line; by ids in the order of time."""


WORKFLOWS = "goes:workflow:"
"""Begins the collections of the instances of workflows; their ids are the keys of the instances."""


def instances_collection(workflow: str) -> str:
    """Return the collection of the instances of a workflow; their ids are their keys."""
    return WORKFLOWS + workflow


def timers_collection(workflow: str) -> str:
    """Return the collection of the timers of a workflow; their ids are in the order in which they are due."""
    return f"goes:timers:{workflow}"


TIMER_PARKED = "~"
"""Begins the id of a timer that cannot be read: after all others in the order of ids."""


def timer_row_id(kind: str, name: str, key: str, due: int) -> str:
    """Return the id of a timer, or of a retry, of an instance, due at a time (microseconds since 1970, UTC)."""
    return f"{due:020d}-{uuid5(NAMESPACE_OID, f'{kind} {name} {key}').hex}"


def associations_collection(workflow: str) -> str:
    """Return the collection of the associations of a workflow: the instances of a key, by that."""
    return f"goes:associations:{workflow}"


def waiting_collection(workflow: str, key: str) -> str:
    """Return the collection of the inputs for which an instance is not ready; their ids are in the order of the log.

    A key may be longer than the name of a collection, so its digest is part of that.
    """
    return f"goes:waiting:{workflow}:{uuid5(NAMESPACE_OID, key).hex}"
