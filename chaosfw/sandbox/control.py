"""
The main of the control process: ``python -m chaosfw.sandbox.control KEEPER_FD ORDERS_FD``. A control plane (ours, or the processes
of a real one), kubelets and routes on one loop.

Started by the keeper, whose first line on KEEPER_FD says what to be; ends with it. ORDERS_FD leads to the runtime. Nothing is wound down
at the end: the processes belong to others and all state was in memory.
"""

from __future__ import annotations

import asyncio
import gc
import json
import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Any, Final

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import OUTSIDE, Network
from chaosfw.sandbox.client.verbs import ApiError
from chaosfw.sandbox.door import Names, open_door
from chaosfw.sandbox.kubeconfig import write_kubeconfig
from chaosfw.sandbox.kubelet.hollow import Hollow
from chaosfw.sandbox.kubelet.images import Images
from chaosfw.sandbox.kubelet.kubelet import Kubelet
from chaosfw.sandbox.kubelet.line import Line
from chaosfw.sandbox.kubelet.site import NodeName, Site
from chaosfw.sandbox.lateness import Lateness
from chaosfw.sandbox.lines import Handler, Message, pack, read_line, serve
from chaosfw.sandbox.machines import Machines
from chaosfw.sandbox.mains import until_end_of_file
from chaosfw.sandbox.planes import Plane, embedded, real
from chaosfw.sandbox.prctl import die_with_parent
from chaosfw.sandbox.profiles import profile
from chaosfw.sandbox.provisioner import Provisioner
from chaosfw.sandbox.routes import Routes
from chaosfw.sandbox.runtime.door import RuntimeDoor
from chaosfw.sandbox.spec import KUBERNETES, SandboxSpec, spec_from_json
from chaosfw.sandbox.switches import Switches
from chaosfw.timing import SYSTEM

_PASSED_ON: Final = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "VIRTUAL_ENV", "PYTHONPATH", "USER")


def main() -> None:
    die_with_parent()
    keeper, orders = socket.socket(fileno=int(sys.argv[1])), socket.socket(fileno=int(sys.argv[2]))
    config = read_line(keeper)
    if config is not None:
        asyncio.run(_run(config, keeper=keeper, orders=orders))


async def _run(config: Message, *, keeper: socket.socket, orders: socket.socket) -> None:
    directory = Path(config["directory"])
    ended: asyncio.Future[str] = asyncio.get_running_loop().create_future()
    try:
        parts = await _start(config, directory=directory, orders=orders, ended=ended)
    except (ApiError, SandboxError, OSError) as error:
        keeper.sendall(pack({"error": str(error)}))
        return
    gc.collect()
    gc.freeze()
    keeper.sendall(pack({"ready": True}))
    keeper.setblocking(False)
    over: asyncio.Future[None] = asyncio.ensure_future(until_end_of_file(keeper.fileno()))
    waiting: set[asyncio.Future[Any]] = {over, ended}
    await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
    if ended.done():
        print(ended.result(), file=sys.stderr, flush=True)
    del parts  # held until here: a loop keeps only weak references to its tasks
    os._exit(1 if ended.done() else 0)


async def _start(config: Message, *, directory: Path, orders: socket.socket, ended: asyncio.Future[str]) -> tuple[object, ...]:
    """Everything that runs, when the API answers and every node is registered. ``ended``: why it can not go on."""
    spec, token = spec_from_json(config["spec"]), str(config["token"])
    network = Network(config["network"], calls_nodes=spec.control_plane == KUBERNETES)
    lateness = Lateness(SYSTEM)
    lateness.start()
    plane = await _plane(spec, directory=directory, network=network, token=token, ended=ended)
    kubelets: list[Kubelet] = []
    hollow = Hollow(plane.of_all_nodes, nodes=spec.hollow_zones(), profile=profile(spec.profile))
    machines = Machines(kubelets, hollow=hollow, dataplane=directory / "dataplane.sock")
    routes = Routes(plane.client, network=network, nodes=spec.node_zones(), dataplane=directory / "dataplane.sock")
    runtime, images = await RuntimeDoor.over(orders), Images(spec.images)
    for index, (name, zone) in enumerate(spec.node_zones().items()):
        client, tokens = plane.of_node(name)
        site = Site(
            client=Line(client),
            runtime=runtime,
            fronts=routes,
            network=network,
            directory=directory,
            images=images,
            profile=profile(spec.profile),
            workdir=spec.workdir,
            environment={name: os.environ[name] for name in _PASSED_ON if name in os.environ},
            server=plane.server,
            tokens=tokens,
            proxy=str(routes.doors()[name]),
            awake=_awake(),
        )
        kubelets.append(Kubelet(NodeName(name, zone, index), site))
    await asyncio.gather(plane.run(), routes.start())
    provisioner = Provisioner(plane.client, directory=directory)
    await provisioner.start()
    for index, kubelet in enumerate(kubelets):
        await plane.admit(kubelet, address=network.node(index))
    await asyncio.gather(*(kubelet.start() for kubelet in kubelets))
    if hollow.nodes:
        await hollow.start()
    doors = [
        await open_door(at, Names(services=routes, client=plane.client, network=network, server=plane.server, source=source))
        for source, at in routes.doors().items()
    ]
    _describe(directory, server=f"https://{plane.server}", token=token, spec=spec, proxy=f"http://{routes.doors()[OUTSIDE]}")
    switches = Switches(plane.client, machines)
    await switches.start()
    answering = await serve(directory / "control.sock", _answers(routes, lateness, machines))
    return plane, routes, provisioner, switches, kubelets, hollow, lateness, answering, doors


async def _plane(spec: SandboxSpec, *, directory: Path, network: Network, token: str, ended: asyncio.Future[str]) -> Plane:
    if spec.control_plane != KUBERNETES:
        return await embedded(directory=directory, network=network, token=token, profile=profile(spec.profile))

    def end(why: str) -> None:
        if not ended.done():
            ended.set_result(why)

    return await real(
        directory=directory,
        network=network,
        token=token,
        nodes=spec.node_zones(),
        profile=profile(spec.profile),
        secret=lambda: secrets.token_urlsafe(32),
        ended=end,
    )


def _describe(directory: Path, *, server: str, token: str, spec: SandboxSpec, proxy: str) -> None:
    """What a user who joins needs to know, for this user's eyes only."""
    authority = (directory / "ca.pem").read_bytes()
    write_kubeconfig(directory / "kubeconfig", server=server, token=token, authority=authority)
    facts = {"server": server, "token": token, "nodes": spec.node_zones(), "zones": list(spec.zones), "profile": spec.profile}
    facts |= {"control_plane": spec.control_plane, "proxy": proxy}
    path = directory / "sandbox.json"
    path.touch(mode=0o600)
    path.write_text(json.dumps(facts))


def _awake() -> asyncio.Event:
    event = asyncio.Event()
    event.set()
    return event


def _answers(routes: Routes, lateness: Lateness, machines: Machines) -> Handler:
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
            case "machine":
                await machines.bring(request["node"], request["state"])
                return {}
            case "machines":
                return {"machines": machines.states()}
            case other:
                return {"error": f"the control process does not know {other!r}"}

    return answer


if __name__ == "__main__":
    main()
