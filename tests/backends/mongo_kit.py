"""What the tests of MongoDB share: servers and stores of their own."""

from __future__ import annotations

import importlib.util
import os
from typing import Any
from uuid import uuid4

import pytest
from goes_lite_conformance.servers import ServerMissing, mongo


def needs_mongo() -> None:
    """Skip the module where MongoDB or its driver is not installed; in CI a server that is missing is a failure."""
    if importlib.util.find_spec("pymongo") is None:
        pytest.skip("pymongo is not installed", allow_module_level=True)
    try:
        mongo.program()
    except ServerMissing as missing:
        if os.environ.get("CI"):
            raise
        pytest.skip(str(missing), allow_module_level=True)


def store_url(url: str | None = None, **options: Any) -> str:
    """Of a store that nobody has used, on a server that tests share unless there is another one."""
    query = "".join(f"&{name}={value}" for name, value in options.items())
    return f"{url or mongo.shared_url()}&prefix=t{uuid4().hex[:16]}_{query}"
