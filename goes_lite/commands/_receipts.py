"""Receipts: that a command was handled, and its result. They make an id count once.

A receipt commits together with what the command wrote, so a crash leaves both or neither. It is a read model, in a
collection whose name begins with `goes:`, so every backend stores it and other tools can read it.
"""

from __future__ import annotations

import hashlib
import inspect
import json
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, get_type_hints

from goes_lite.codec import codec
from goes_lite.commands._command import Command
from goes_lite.contract.backend import Backend, Transaction
from goes_lite.contract.models import Models
from goes_lite.errors import CommandMismatch, EncodeError

COLLECTION = "goes:receipts"


@dataclass(frozen=True)
class Receipt:
    """The receipt of a handled command; its id is that of the command."""

    command: str
    """Its registered name."""
    data: str
    """SHA-256 of the encoded command, so that another command is not mistaken for this one."""
    result: str | None
    """The result of its handler, as JSON; None for None."""
    time: datetime
    """When it was handled (aware, UTC)."""


def receipts_of(store: Backend | Transaction) -> Models[Receipt]:
    """Return the receipts of a store, by the ids of commands."""
    return store.models_of(COLLECTION, Receipt)


class ResultCodec:
    """How the result of a handler is stored: as its annotated type, else as plain JSON."""

    def __init__(self, handler: Callable[..., object]) -> None:
        self._handler = handler
        self._coders: tuple[Callable[[Any], Any], Callable[[Any], Any]] | None = None
        self._known = False

    def encode(self, value: object) -> str | None:
        """Encode a result; EncodeError if it cannot be stored, before anything is committed."""
        if value is None:
            return None
        try:
            if (coders := self._annotated()) is not None:
                return str(coders[0](value))
            text = json.dumps(value, ensure_ascii=False, allow_nan=False)
            if json.loads(text) != value:
                raise ValueError("it would be read back as something else")
        except (TypeError, ValueError, RecursionError) as exc:
            raise EncodeError(
                "$",
                f"the result {value!r:.80} of {self._handler!r:.120} cannot be stored for a command that counts once "
                f"({exc}): annotate the return type of the handler",
            ) from exc
        return text

    def decode(self, text: str | None) -> Any:
        if text is None:
            return None
        coders = self._annotated()
        return json.loads(text) if coders is None else coders[1](text)

    def _annotated(self) -> tuple[Callable[[Any], Any], Callable[[Any], Any]] | None:
        """Return the encoder and decoder of its annotated return type; None without one that can be stored."""
        if not self._known:
            function = inspect.unwrap(self._handler)
            try:
                hint = get_type_hints(function, include_extras=True).get("return")
                if hint not in (None, type(None), Any, object):
                    json_codec = codec("json")
                    json_codec.check(hint)
                    self._coders = json_codec.encoder(hint), json_codec.decoder(hint)
            except Exception:  # noqa: BLE001 - names that exist for type checkers only, types that no codec knows
                self._coders = None
            self._known = True
        return self._coders


def unknown_handler() -> None:
    """Stands for a handler that is not registered here."""


class Receipts:
    """The receipts of one kind of command."""

    def __init__(self, backend: Backend, handler: Callable[..., object]) -> None:
        self._backend = backend
        self._result = ResultCodec(handler)

    async def find(self, command: Command[Any]) -> tuple[Any] | None:
        """Return the result, if it was handled before. CommandMismatch if that was another command with the same id."""
        receipt = await receipts_of(self._backend).find(str(command.id))
        if receipt is None:
            return None
        if receipt.command != command.name or receipt.data != self._digest(command):
            raise CommandMismatch(command.name, command.id, receipt.command)
        return (self.result(receipt),)

    def decode(self, text: str | None) -> Any:
        """Decode a result: as the annotated return type of the handler, else as plain JSON. DecodeError."""
        return self._result.decode(text)

    def result(self, receipt: Receipt) -> Any:
        """Return the result of its handler. DecodeError if that cannot be read."""
        return self._result.decode(receipt.result)

    def encode(self, result: object) -> str | None:
        """Return the result of a handler as JSON. EncodeError if it cannot be stored."""
        return self._result.encode(result)

    def make(self, command: Command[Any], result: object) -> Receipt:
        """Create a receipt. EncodeError if the result cannot be stored."""
        now = self._backend.runtime.clock.now()
        return Receipt(command.name, self._digest(command), self._result.encode(result), now)

    async def put(self, store: Backend | Transaction, command: Command[Any], receipt: Receipt) -> None:
        """Store a receipt. ModelConflict if the command was handled elsewhere in the meantime."""
        await receipts_of(store).put(str(command.id), receipt, expected=0)

    def _digest(self, command: Command[Any]) -> str:
        _, _, (encoding, schema, payload) = self._backend.registry.commands.capture(command.data, command.name)
        text = payload.encode() if isinstance(payload, str) else payload
        return hashlib.sha256(f"{encoding} {schema} ".encode() + text).hexdigest()
