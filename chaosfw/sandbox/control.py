"""
The main of the control process: ``python -m chaosfw.sandbox.control KEEPER_FD ORDERS_FD``. API server, controllers, scheduler, kubelets,
routes on one loop.

Started by the keeper, whose first line on KEEPER_FD says what to be; ends with it. ORDERS_FD leads to the runtime. Nothing is wound down
at the end: the processes belong to others and all state was in memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import socket
import ssl
import sys
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import HostPort, Network
from chaosfw.sandbox.apiserver.server import ApiServer
from chaosfw.sandbox.controllers.manager import Controllers
from chaosfw.sandbox.kubeconfig import write_kubeconfig
from chaosfw.sandbox.kubelet.images import Images
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.kubelet.logs import Logs
from chaosfw.sandbox.kubelet.site import NodeName, Site
from chaosfw.sandbox.lateness import Lateness
from chaosfw.sandbox.lines import Handler, Message, pack, read_line, serve
from chaosfw.sandbox.mains import until_end_of_file
from chaosfw.sandbox.prctl import die_with_parent
from chaosfw.sandbox.profiles import profile
from chaosfw.sandbox.routes import Routes
from chaosfw.sandbox.runtime.door import RuntimeDoor
from chaosfw.sandbox.scheduler.scheduler import Scheduler
from chaosfw.sandbox.spec import SandboxSpec, spec_from_json
from chaosfw.timing import SYSTEM

USER: Final = "system:admin"
_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "USER")


def main() -> None:
    die_with_parent()
    keeper, orders = socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
    config = read_line(keeper)
    if config is not None:
        asyncio.run(_run(config, keeper=keeper, orders=orders))


async def _run(config: Message, *, keeper: socket.socket, orders: socket.socket) -> None:
    directory = Path(config["directory"])
    try:
        parts = await _start(config, directory=directory, orders=orders)
    except (SandboxError, OSError) as error:
        keeper.sendall(pack({"error": str(error)}))
        return
    gc.collect()
    gc.freeze()
    keeper.sendall(pack({"ready": True}))
    keeper.setblocking(False)
    await until_end_of_file(keeper.fileno())
    del parts  # held until here: a loop keeps only weak references to its tasks
    os._exit(0)


async def _start(config: Message, *, directory: Path, orders: socket.socket) -> tuple[object, ...]:
    """Everything that runs, when the API answers and every node is registered."""
    spec, network, token = spec_from_json(config["spec"]), Network(config["network"]), str(config["token"])
    kubelets: list[Kubelet] = []
    lateness = Lateness(SYSTEM)
    lateness.start()
    server = ApiServer(ssl_context=_tls(directory), tokens={token: USER}, pod_door=Logs(kubelets))
    port = await server.start(network.api_host)
    routes = Routes(server.client(), network=network, nodes=spec.node_zones(), dataplane=directory / "dataplane.sock")
    site = Site(
        client=server.client(),
        runtime=await RuntimeDoor.over(orders),
        fronts=routes,
        network=network,
        directory=directory,
        images=Images(spec.images),
        profile=profile(spec.profile),
        workdir=spec.workdir,
        environment={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
        server=HostPort(network.api_host, port),
        token=token,
    )
    nodes = [NodeName(name, zone, index) for index, (name, zone) in enumerate(spec.node_zones().items())]
    kubelets += [Kubelet(node, site) for node in nodes]
    controllers = Controllers(server.client(), root_ca=(directory / "ca.pem").read_text())
    scheduler = Scheduler(server.client())
    await asyncio.gather(controllers.start(), scheduler.start(), routes.start())
    await asyncio.gather(*(kubelet.start() for kubelet in kubelets))
    _describe(directory, server=f"https://{network.api_host}:{port}", token=token, spec=spec)
    door = await serve(directory / "control.sock", _answers(routes, lateness))
    return server, controllers, scheduler, routes, kubelets, lateness, door


def _tls(directory: Path) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(directory / "server.pem")
    return context


def _describe(directory: Path, *, server: str, token: str, spec: SandboxSpec) -> None:
    """What a user who joins needs to know, for this user's eyes only."""
    authority = (directory / "ca.pem").read_bytes()
    write_kubeconfig(directory / "kubeconfig", server=server, token=token, authority=authority)
    facts = {"server": server, "token": token, "nodes": spec.node_zones(), "zones": list(spec.zones), "profile": spec.profile}
    path = directory / "sandbox.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts))


def _answers(routes: Routes, lateness: Lateness) -> Handler:
    async def answer(request: Message) -> Message:
        match request["do"]:
            case "endpoint":
                await routes.know(request["namespace"], request["service"])
                return {"at": str(routes.endpoint(request["namespace"], request["service"], port=request["port"]))}
            case "backends":
                return {"backends": routes.backends()}
            case "endpoints":
                return {"endpoints": routes.endpoints()}
            case "lateness":
                return {"lateness": lateness.figures()}
            case other:
                return {"error": f"the control process does not know {other!r}"}

    return answer


if __name__ == "__main__":
    main()
