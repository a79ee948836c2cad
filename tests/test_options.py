"""Type checkers see the options that the constructors accept."""

from __future__ import annotations

import inspect
from typing import Any

import pytest

from goes_lite.processor import Processor, ProcessorOptions
from goes_lite.repository import Repository, RepositoryOptions


@pytest.mark.parametrize(("options", "made"), [(ProcessorOptions, Processor), (RepositoryOptions, Repository)])
def test_the_typed_options_are_the_keywords_of_the_constructor(options: Any, made: type[Any]) -> None:
    parameters = inspect.signature(made).parameters.values()
    keywords = {parameter.name for parameter in parameters if parameter.kind is parameter.KEYWORD_ONLY}
    assert set(options.__annotations__) | set(getattr(options, "__optional_keys__", ())) == keywords
