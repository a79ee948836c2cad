"""Ids of commands: UUIDs, and keys of a program's own, such as the `Idempotency-Key` of an HTTP request."""

from __future__ import annotations

import re
from uuid import UUID, uuid5

from goes_lite.errors import InvalidCommandKey
from goes_lite.events.fields import is_unicode, plain

NAMESPACE = UUID("8d0a9a1e-6d2c-5b0e-9c54-0b7a3f1f6c21")
"""The namespace of the UUIDs (version 5) that stand for keys."""

MAX_KEY = 255
"""How many characters a key may have."""

_UUID = re.compile("[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}", re.IGNORECASE)


def command_id(id: UUID | str) -> UUID:
    """Return the id of a command for a UUID or a key: equal keys, equal ids, in every program and for ever.

    - A UUID, or its canonical text (32 hexadecimal digits in five groups), is that UUID.
    - Any other text stands for `uuid5(UUID("8d0a9a1e-6d2c-5b0e-9c54-0b7a3f1f6c21"), text)`, as it is: spaces and case count.

    A key has 1 to 255 printable characters. Keys of different users, or for different commands, must differ: put what sets
    them apart in front, such as `f"{user}/{key}"`. InvalidCommandKey for anything else.
    """
    if isinstance(id, UUID):
        return id
    if not isinstance(id, str):
        raise InvalidCommandKey(f"the id of a command must be a UUID or a key, not {id!r:.80}: new_id() makes one")
    if not id or len(id) > MAX_KEY:
        raise InvalidCommandKey(f"a key of a command has 1 to {MAX_KEY} characters, not {len(id)}: {plain(id):.40}…")
    if not id.isprintable() or not is_unicode(id) or not id.strip():
        raise InvalidCommandKey(f"a key of a command has printable characters, not only spaces: {id!r:.80}")
    return UUID(id) if _UUID.fullmatch(id) else uuid5(NAMESPACE, id)
