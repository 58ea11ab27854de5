"""
A real server for the prober's tests, in a process of its own: ``python stand_in.py LOGFILE [PORT]``. Prints its port.

The path says how to behave: ``/ok``, ``/500``, ``/404``, ``/slow`` (50 ms), ``/hang``, ``/reset``, ``/half`` (a body that stops
short), ``/chunked``, ``/garbage``. Each request is a line in the log. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
import sys

ANSWERS = {
    "/ok": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Chaosfw-Pod: web-1\r\n\r\nok",
    "/500": b"HTTP/1.1 500 No\r\nContent-Length: 2\r\n\r\nno",
    "/404": b"HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n",
    "/302": b"HTTP/1.1 302 Away\r\nContent-Length: 0\r\nLocation: /ok\r\n\r\n",
    "/half": b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
    "/chunked": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
    "/until-close": b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\nabc",
    "/garbage": b"hello, this is not HTTP at all\r\n\r\n",
    "/slow": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
}


async def main(log_path: str, port: int) -> None:
    log = open(log_path, "a", buffering=1)  # noqa: SIM115  # lives as long as the process
    connections = 0
    never = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        connections += 1
        mine = connections
        try:
            while head := await reader.readuntil(b"\r\n\r\n"):
                path = head.split(b" ", 2)[1].decode()
                log.write(f"{mine} {path}\n")
                if path == "/hang":
                    await never.wait()
                if path == "/reset":
                    raw = writer.get_extra_info("socket")
                    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    writer.transport.abort()
                    return
                if path == "/slow":
                    await asyncio.sleep(0.05)
                writer.write(ANSWERS[path])
                await writer.drain()
                if b"connection: close" in head.lower() or path in ("/half", "/garbage", "/until-close"):
                    break
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, backlog=1024)
    print(server.sockets[0].getsockname()[1], flush=True)
    await asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    server.close()
    os._exit(0)  # hanging requests are left as they are


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]) if len(sys.argv) > 2 else 0))
