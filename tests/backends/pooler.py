"""A pooler of transactions, as PgBouncer and its like are: each transaction of a client goes to another server process.

More consequent than those: it never gives the same process twice in a row, so whatever is left in a session is missed at
the next statement. For servers that ask for no password.
"""

from __future__ import annotations

import asyncio
import struct
import threading
from collections import deque
from contextlib import suppress
from urllib.parse import urlsplit

SSL_REQUEST, CANCEL_REQUEST = 80877103, 80877102
Pair = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Pooler:
    """Between clients and the server of a URL, in a thread of its own until `close`."""

    def __init__(self, url: str) -> None:
        self._server = urlsplit(url)
        self._ready = threading.Event()
        self._loop: asyncio.AbstractEventLoop
        self._end: asyncio.Event
        self._idle: deque[Pair] = deque()
        self._greeting = b""
        self._clients: set[asyncio.Task[None]] = set()
        self.port = 0
        self._thread = threading.Thread(target=self._run, name="pooler", daemon=True)
        self._thread.start()
        self._ready.wait()

    @property
    def url(self) -> str:
        user, _, _ = self._server.netloc.rpartition("@")
        return self._server._replace(netloc=f"{user}@127.0.0.1:{self.port}").geturl()

    def close(self) -> None:
        self._loop.call_soon_threadsafe(self._end.set)
        self._thread.join()

    def _run(self) -> None:
        asyncio.run(self._main())

    async def _main(self) -> None:
        server = await asyncio.start_server(self._client, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._loop, self._end = asyncio.get_running_loop(), asyncio.Event()
        self._ready.set()
        await self._end.wait()
        server.close()
        for task in self._clients:
            task.cancel()
        await asyncio.gather(*self._clients, return_exceptions=True)
        for _, writer in self._idle:
            writer.close()

    async def _client(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._clients.add(task)
        try:
            with suppress(asyncio.IncompleteReadError, ConnectionError):
                await self._serve(reader, writer)
        finally:
            writer.close()
            self._clients.discard(task)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        startup = await _startup(reader, writer)
        if startup is None:
            return
        while len(self._idle) < 2:
            self._idle.append(await self._connect(startup))
        writer.write(self._greeting)
        said: asyncio.Queue[bytes] = asyncio.Queue()  # so that nothing is lost when one transaction ends
        listening = asyncio.create_task(_listen(reader, said))
        try:
            while (first := await said.get())[:1] not in (b"X", b""):
                server = self._idle.popleft() if self._idle else await self._connect(startup)
                try:
                    await _transaction(first, said, writer, server)
                except BaseException:
                    server[1].close()  # in the middle of something: nobody else's
                    raise
                self._idle.append(server)
        finally:
            listening.cancel()

    async def _connect(self, startup: bytes) -> Pair:
        reader, writer = await asyncio.open_connection(self._server.hostname, self._server.port)
        writer.write(startup)
        greeting = [await _message(reader)]
        while greeting[-1][:1] != b"Z":  # of each its own first byte: what is inside of one may look like anything
            greeting.append(await _message(reader))
        self._greeting = b"".join(greeting)
        return reader, writer


async def _startup(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bytes | None:
    """What a client says first; None if it wants a statement cancelled, which is not passed on."""
    while True:
        head = await reader.readexactly(8)
        length, kind = struct.unpack("!ii", head)
        rest = await reader.readexactly(length - 8)
        if kind == CANCEL_REQUEST:
            return None
        if kind != SSL_REQUEST:
            return head + rest
        writer.write(b"N")


async def _message(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readexactly(5)
    return head + await reader.readexactly(struct.unpack("!i", head[1:])[0] - 4)


async def _listen(reader: asyncio.StreamReader, said: asyncio.Queue[bytes]) -> None:
    """What a client says, and nothing as the last of it."""
    try:
        while True:
            said.put_nowait(await _message(reader))
    except (asyncio.IncompleteReadError, ConnectionError):
        said.put_nowait(b"")


async def _transaction(first: bytes, said: asyncio.Queue[bytes], client: asyncio.StreamWriter, server: Pair) -> None:
    """Pass on what both say, until the server is idle outside of a transaction and has answered everything."""
    asked = 0
    message = first
    hearing = asyncio.create_task(said.get())
    answering = asyncio.create_task(_message(server[0]))
    try:
        while True:
            if message:
                asked += message[:1] in (b"Q", b"S")
                server[1].write(message)
                message = b""
            await asyncio.wait({answering, hearing}, return_when=asyncio.FIRST_COMPLETED)
            if hearing.done():
                message = hearing.result()
                if not message:
                    raise ConnectionResetError("the client is gone")
                hearing = asyncio.create_task(said.get())
            elif answering.done():
                answer = answering.result()
                client.write(answer)
                asked -= answer[:1] == b"Z"
                if answer[:1] == b"Z" and answer[5:6] == b"I" and not asked:
                    return
                answering = asyncio.create_task(_message(server[0]))
    finally:
        hearing.cancel()
        answering.cancel()
