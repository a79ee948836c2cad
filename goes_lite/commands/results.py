"""Results of functions as JSON: as the annotated type, else as plain JSON."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from typing import Any, get_type_hints

from goes_lite.codec.json_of import json_of
from goes_lite.errors import EncodeError


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
        """Decode a result. DecodeError if it does not fit the annotation."""
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
                    self._coders = json_of(hint)
            except Exception:  # noqa: BLE001 - names that exist for type checkers only, types that no codec knows
                self._coders = None
            self._known = True
        return self._coders
