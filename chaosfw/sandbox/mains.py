"""
What the mains of the sandbox's processes share: they end when the keeper's end of their socket closes.

Used by the data plane and control mains. The runtime has no loop and watches the socket itself.
"""

from __future__ import annotations

import asyncio
import os


async def until_end_of_file(fd: int) -> None:
    """Returns when the other side of the inherited socket is closed. What it says meanwhile is dropped."""
    loop = asyncio.get_running_loop()
    ended = loop.create_future()

    def look() -> None:
        try:
            silent = not os.read(fd, 65_536)
        except OSError:
            silent = True
        if silent and not ended.done():
            ended.set_result(None)

    loop.add_reader(fd, look)
    try:
        await ended
    finally:
        loop.remove_reader(fd)
