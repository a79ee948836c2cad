"""`connect_timeout` bounds all of opening a handle, wherever the server stops answering."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncGenerator
from urllib.parse import urlsplit

import pytest

import goes_lite as goes
from goes_lite.errors import StoreUnavailable

WITHIN = 180.0
"""Seconds after which the test fails, if opening has not ended by itself long before."""


@contextlib.asynccontextmanager
async def deaf_after(url: str, answers: int) -> AsyncGenerator[str]:
    """Yield the URL of a proxy that passes on so many answers of the server on all its connections, then no more."""
    server = urlsplit(url)
    tasks: set[asyncio.Task[None]] = set()
    writers: list[asyncio.StreamWriter] = []
    left = answers

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        behind, ahead = await asyncio.open_connection(server.hostname, server.port)
        writers.append(ahead)
        for work in (there(reader, ahead), back(behind, writer)):
            tasks.add(asyncio.create_task(work))

    async def there(reader: asyncio.StreamReader, ahead: asyncio.StreamWriter) -> None:
        while said := await reader.read(65536):
            ahead.write(said)
        ahead.close()

    async def back(behind: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        while said := await behind.read(65536):
            if left > 0:
                left -= 1
                writer.write(said)
        writer.close()

    proxy = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = proxy.sockets[0].getsockname()[1]
    try:
        yield url.replace(f":{server.port}", f":{port}")
    finally:
        proxy.close()
        for task in tasks:
            task.cancel()
        for writer in writers:
            writer.transport.abort()
        await asyncio.gather(*tasks, *(writer.wait_closed() for writer in writers), return_exceptions=True)


@pytest.mark.parametrize("url", ["postgresql", "mongodb"], indirect=True)
@pytest.mark.parametrize("answers", [0, 1, 3, 8])
@pytest.mark.parametrize("made", [False, True], ids=["new", "made"])
async def test_wherever_the_server_stops_answering(url: str, answers: int, made: bool) -> None:
    """Opening raises StoreUnavailable, or succeeds if nothing more was to be answered; then nothing is left behind."""
    if made:
        await (await goes.connect(url)).close()
    url = url.replace("replicaSet=rs0", "directConnection=true")
    async with asyncio.timeout(WITHIN), deaf_after(url, answers) as deaf:
        try:
            db = await goes.connect(deaf, connect_timeout=0.3, lock_timeout=0.5, retry_timeout=0.3)
        except StoreUnavailable as refused:
            assert "answer" in str(refused) or "primary" in str(refused) or "reached" in str(refused)
        else:
            await db.close()
            assert answers > 3
