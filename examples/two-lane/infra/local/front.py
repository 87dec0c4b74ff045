"""An environment's fixed addresses: passes each connection on to the release that is current.

Which one that is stands in a file, read for every connection, so that a roll-out switches by
replacing the file and connections that are open stay where they are.
"""

from __future__ import annotations

import asyncio
import json
import sys
from contextlib import suppress
from pathlib import Path

_CONNECT_FOR = 1.0
_CHUNK = 65536


class Front:
    """Passes connections for one service to 127.0.0.1, at the port in the file `current`."""

    def __init__(self, service: str, current: Path) -> None:
        self._service = service
        self._current = current

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(OSError):  # either side may go away at any time; the other one is closed
            backend = await self._connect()
            if backend is None:
                await _refuse(reader, writer, f"no release of {self._service} answers here")
            else:
                await asyncio.gather(_pump(reader, backend[1]), _pump(backend[0], writer))
                backend[1].close()
        writer.close()

    async def _connect(self) -> tuple[asyncio.StreamReader, asyncio.StreamWriter] | None:
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _CONNECT_FOR
        while (port := self._port()) is not None:
            try:
                return await asyncio.open_connection("127.0.0.1", port)
            except OSError:
                # It may have been stopped between reading the file and connecting.
                if loop.time() > deadline:
                    return None
                await asyncio.sleep(0.05)
        return None

    def _port(self) -> int | None:
        try:
            return int(json.loads(self._current.read_text(encoding="utf-8"))["port"])
        except FileNotFoundError:
            return None


async def _pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while chunk := await reader.read(_CHUNK):
            writer.write(chunk)
            await writer.drain()
        if writer.can_write_eof():
            writer.write_eof()
    except OSError:
        writer.close()


async def _refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, reason: str) -> None:
    # Read the request's head first: closing with unread data resets the connection.
    with suppress(asyncio.TimeoutError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
        await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 2)
    body = f"{reason}\n".encode()
    head = (
        "HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/plain\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    )
    writer.write(head.encode() + body)
    await writer.drain()


async def main(services: Path, ports: dict[str, int]) -> None:
    servers = [
        await asyncio.start_server(
            Front(service, services / f"{service}.json").serve, "127.0.0.1", port
        )
        for service, port in ports.items()
    ]
    await asyncio.gather(*(server.serve_forever() for server in servers))


if __name__ == "__main__":
    asyncio.run(main(Path(sys.argv[1]), json.loads(sys.argv[2])))
