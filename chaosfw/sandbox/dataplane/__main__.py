"""
The main of the data plane process: ``python -m chaosfw.sandbox.dataplane SOCKET KEEPER_FD SEED``.

Started by the keeper. Answers at the Unix socket SOCKET: ``route``, ``fault``, ``exposure``, ``totals``, ``lateness``. Ends with the
keeper.
"""

from __future__ import annotations

import asyncio
import gc
import os
import sys
from pathlib import Path

from chaosfw.sandbox.dataplane.proxy import Proxy
from chaosfw.sandbox.dataplane.table import fault_from_json, route_from_json
from chaosfw.sandbox.lateness import Lateness
from chaosfw.sandbox.lines import Message, pack, serve
from chaosfw.sandbox.mains import until_end_of_file
from chaosfw.sandbox.prctl import die_with_parent
from chaosfw.timing import SYSTEM


def main() -> None:
    die_with_parent()
    socket_path, keeper, seed = sys.argv[1:4]
    asyncio.run(_run(Path(socket_path), keeper=int(keeper), seed=int(seed)))


async def _run(path: Path, *, keeper: int, seed: int) -> None:
    proxy = Proxy(clock=SYSTEM, seed=seed)
    lateness = Lateness(SYSTEM)

    async def answer(request: Message) -> Message:
        match request["do"]:
            case "route":
                await proxy.route(map(route_from_json, request["routes"]))
                return {}
            case "fault":
                await proxy.fault(map(fault_from_json, request["faults"]), of=request.get("of", ""))
                return {}
            case "exposure":
                return {"pods": proxy.exposure.since(int(request["since_ns"])), "now_ns": SYSTEM.monotonic_ns()}
            case "totals":
                return {"totals": proxy.exposure.totals()}
            case "lateness":
                return {"lateness": lateness.figures()}
            case other:
                return {"error": f"the data plane does not know {other!r}"}

    server = await serve(path, answer)
    gc.freeze()
    lateness.start()
    os.write(keeper, pack({"ready": True}))
    await until_end_of_file(keeper)
    server.close()
    proxy.close()


if __name__ == "__main__":
    main()
