"""Options: their types and values, checked where they are given, with an error that says what they may be."""

from __future__ import annotations

from collections.abc import Iterable

from goes_lite.errors._backends import ConfigError


def check_flag(option: str, value: object) -> None:
    """ConfigError unless the value is True or False: any other is more likely to be meant for another option."""
    if not isinstance(value, bool):
        raise ConfigError(f"{option} must be True or False, not {value!r:.80}")


def check_number(option: str, value: object, least: int) -> None:
    """ConfigError unless the value is an int that is not less."""
    if type(value) is not int or value < least:
        raise ConfigError(f"{option} must be an int ≥ {least}, not {value!r:.80}")


def check_period(option: str, value: object, most: float = 86_400) -> None:
    """ConfigError unless the value is a positive number of seconds that is not greater."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 < value <= most:
        raise ConfigError(f"{option} must be a number of seconds > 0 and ≤ {most:g}, not {value!r:.80}")


def similar(name: str, known: Iterable[str], most: int = 1) -> list[str]:
    """Return the known names that are similar to a name, the most similar first."""
    from difflib import get_close_matches

    return get_close_matches(name, [*known], n=most)


def did_you_mean(name: str, known: Iterable[str], most: int = 1) -> str:
    """Return the question whether a known name was meant, such as "did you mean 'url'?"; empty if none is similar."""
    meant = similar(name, known, most)
    return f"did you mean {' or '.join(map(repr, meant))}?" if meant else ""
