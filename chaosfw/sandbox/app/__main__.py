"""
The main of the stand-in app: ``python -m chaosfw.sandbox.app``, with its character in ``CHAOSFW_APP``. Runs in a fork of the runtime.
"""

from __future__ import annotations

import asyncio
import os

from chaosfw.sandbox.app.character import VARIABLE, from_text
from chaosfw.sandbox.app.server import App


async def _main() -> None:
    app = App(from_text(os.environ[VARIABLE]))
    if app.character.ends:
        print(f"{app.character.pod}: done")
        return
    print(f"serving {app.character.pod} on {app.character.host} ports {list(app.character.ports)}")
    await app.serve()
    print(f"stopped after {app.served} requests")


if __name__ == "__main__":
    asyncio.run(_main())
