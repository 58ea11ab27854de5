"""
One container of a pod through all its incarnations: start, probes, exit, back-off, start again, stop.

Owned by :mod:`.pod`, which decides the order of containers and sends the status. Everything here is one task, :meth:`Container.live`;
``stop`` is the only other thing that acts on the process.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Final

from chaosfw.errors import SandboxError, UsageError
from chaosfw.sandbox.addresses import HostPort
from chaosfw.sandbox.client.verbs import Object, Wanted
from chaosfw.sandbox.kubelet.back_off import BackOff
from chaosfw.sandbox.kubelet.commands import Command, command_of
from chaosfw.sandbox.kubelet.events import Recorder
from chaosfw.sandbox.kubelet.executing import Execution, execute
from chaosfw.sandbox.kubelet.images import digest, full_name
from chaosfw.sandbox.kubelet.place import Place
from chaosfw.sandbox.kubelet.probing import Probe, Target, ask
from chaosfw.sandbox.kubelet.site import Site
from chaosfw.sandbox.kubelet.sources import Missing, Sources
from chaosfw.sandbox.objects.moments import stamp
from chaosfw.sandbox.runtime.door import Ended, Process
from chaosfw.sandbox.runtime.orders import Order
from chaosfw.timing import seconds

_RETRY: Final = 1.0
"""Seconds until a missing config map or secret is looked for again."""
_LEAST_AFTER_PRE_STOP: Final = 2.0
_PERIOD: Final = 30.0
"""terminationGracePeriodSeconds when the pod does not say."""


class Container:
    def __init__(
        self, spec: Object, *, place: Place, site: Site, recorder: Recorder, changed: Callable[[], None], policy: str, init: bool
    ) -> None:
        self.spec = spec
        self.name: str = spec["name"]
        self.started = asyncio.Event()
        """Set while it runs and its startup probe, if any, has succeeded."""
        self.stopping = asyncio.Event()
        self._place = place
        self._site = site
        self._recorder = recorder
        self._changed = changed
        self._policy = policy
        self._init = init
        self._state: Object = {"waiting": {"reason": "PodInitializing"}}
        self._last_state: Object = {}
        self._restarts = 0
        self._ready = False
        self._id = ""
        self._identity = ""
        self._process: Process | None = None
        self._command: Command | None = None
        self._starting = asyncio.Lock()
        self._back_off = BackOff()
        self._grace: float | None = None
        self._executed = 0
        self._killing: asyncio.Task[None] | None = None
        self._paused: Process | None = None

    # --- what is told

    def status(self) -> Object:
        """Its ContainerStatus, complete."""
        running = "running" in self._state
        return {
            "name": self.name,
            "state": self._state,
            "lastState": self._last_state,
            "ready": self._ready,
            "restartCount": self._restarts,
            "image": full_name(self.spec["image"]),
            "imageID": digest(self.spec["image"]) if self._id else "",
            "started": running and self.started.is_set(),
            **({"containerID": self._id} if self._id else {}),
        }

    def log(self, *, previous: bool) -> Path:
        """The log of this incarnation or of the one before; a file that does not exist where there was none."""
        return self._log_of(self._restarts - 1 if previous else self._restarts)

    @property
    def running(self) -> bool:
        return "running" in self._state

    @property
    def waiting_for(self) -> str:
        """The reason of its waiting state."""
        return str(self._state.get("waiting", {}).get("reason", "ContainerCreating"))

    @property
    def ended(self) -> bool:
        return "terminated" in self._state

    @property
    def exit_code(self) -> int | None:
        code = self._state.get("terminated", {}).get("exitCode")
        return None if code is None else int(code)

    # --- its life

    def recall(self, before: Object, *, again: bool) -> None:
        """
        Before :meth:`live`: its last status, from before the machine went. What ran then has ended since, nobody knows how: exit code 255
        and reason Unknown, as a container runtime says after a reboot. ``again``: it runs again, however it had ended.
        """
        self._restarts, self._last_state = before.get("restartCount", 0), before.get("lastState") or {}
        self._id, state = before.get("containerID", ""), before.get("state") or {}
        if "running" in state:
            told = {"exitCode": 255, "reason": "Unknown", "finishedAt": self._now(), "containerID": self._id}
            state = {"terminated": {**told, "startedAt": state["running"].get("startedAt")}}
        if "terminated" not in state:
            return
        self._state = state
        self._ready = self._init and self.exit_code == 0 and not again
        if again or self._restarts_after(int(state["terminated"]["exitCode"])):
            self._last_state, self._state = state, {"waiting": {"reason": "ContainerCreating"}}
            self._restarts += 1

    async def live(self) -> None:
        """Until it has ended for good: by its restart policy, or because it was stopped."""
        if self.ended:
            return  # recalled, and not to run again
        while not self.stopping.is_set():
            process = await self._start()
            if process is None:
                return
            ended = await self._attend(process)
            ran = self._exited(process, ended)
            if self.stopping.is_set() or not self._restarts_after(ended.code):
                return
            await self._wait_for_turn(ran)

    async def stop(self, *, grace: float) -> None:
        """PreStop, SIGTERM, and SIGKILL when the grace is over; 0 is SIGKILL at once. A second call can only shorten it."""
        self.stopping.set()
        async with self._starting:
            process = self._process
        if process is None or process.ended.done():
            return
        if grace > 0:
            self._recorder.pod(self._place.pod, "Normal", "Killing", f"Stopping container {self.name}", container=self.name)
        await self._end(process, grace=grace)

    def hurry(self, *, grace: float) -> None:
        """Shortens the grace of a stop that is under way."""
        self._shorten(asyncio.get_running_loop().time() + grace)
        if grace <= 0 and self._process is not None:
            self._process.signal(signal.SIGKILL)

    def signal(self, number: int) -> None:
        """To all its processes, those beside its own too. SIGCONT spares what :meth:`pause` has stopped."""
        if self._identity and not (number == signal.SIGCONT and self._paused is not None):
            self._site.runtime.signal(self._identity, number)

    def close(self) -> None:
        """Forgets a stop that is under way."""
        if self._killing is not None:
            self._killing.cancel()

    def pause(self) -> bool:
        """
        SIGSTOP to its whole process group, as it runs now; False when nothing runs. Another incarnation, after its liveness probe has
        failed, runs on.
        """
        if self._process is not None:
            self._process.signal(signal.SIGSTOP)
            self._paused = self._process
        return self._process is not None

    def resume(self) -> bool:
        """SIGCONT to what was stopped; False when nothing was."""
        paused, self._paused = self._paused, None
        if paused is not None:
            paused.signal(signal.SIGCONT)
        return paused is not None

    async def _start(self) -> Process | None:
        """The running process; nothing when it was stopped before it could start."""
        while not self.stopping.is_set():
            await self._site.awake.wait()
            async with self._starting:
                if self.stopping.is_set():
                    return None
                try:
                    return await self._try_to_start()
                except (Missing, UsageError) as problem:
                    self._wait(reason="CreateContainerConfigError", message=str(problem))
                    self._warn("Failed", f"Error: {problem}")
                except SandboxError as problem:
                    self._wait(reason="RunContainerError", message=problem.message)
                    self._warn("Failed", f"Error: {problem.message}")
            await self._pause(_RETRY)
        return None

    async def _try_to_start(self) -> Process:
        place = self._place
        sources = Sources(self._site.client, namespace=place.pod["metadata"]["namespace"])
        command = await command_of(self.spec, place=place, site=self._site, sources=sources, init=self._init)
        log = self._log_of(self._restarts)
        log.parent.mkdir(parents=True, exist_ok=True)
        identity = secrets.token_hex(32)
        self._command, self._identity = command, identity
        process = await self._site.runtime.start(self._order(identity, command.argv, log=log))
        self._process = process
        self._id = f"chaosfw://{identity}"
        self._state = {"running": {"startedAt": self._now()}}
        self._say("Pulled", f'Container image "{self.spec["image"]}" already present on machine')
        self._say("Created", f"Container created: {self.name}")
        self._say("Started", f"Container started: {self.name}")
        return process

    def _order(self, id: str, argv: tuple[str, ...], *, log: Path) -> Order:
        assert self._command is not None
        return Order(id=id, argv=argv, env=self._command.environment, cwd=str(self._site.workdir), log=str(log), bind=self._place.back)

    async def _attend(self, process: Process) -> Ended:
        """Probes it until it ends."""
        probes: set[asyncio.Task[None]] = set()
        if self.spec.get("startupProbe"):
            self._await_startup(process, probes)
        else:
            self._begin(process, probes)
        self._changed()
        try:
            return await process.wait()
        finally:
            for probe in probes:
                probe.cancel()

    def _await_startup(self, process: Process, probes: set[asyncio.Task[None]]) -> None:
        def said(good: bool, text: str) -> None:
            if good:
                startup.cancel()
                self._begin(process, probes)
                self._changed()
            else:
                self._fail(process, "startup", text)

        startup = self._probe("startupProbe", "Startup", starts_good=None, said=said)
        probes.add(startup)

    def _begin(self, process: Process, probes: set[asyncio.Task[None]]) -> None:
        """It has started: from here it can be ready, and it can be found dead."""
        self.started.set()
        self._ready = not self.spec.get("readinessProbe")
        if self.spec.get("readinessProbe"):
            probes.add(self._probe("readinessProbe", "Readiness", starts_good=False, said=self._become_ready))
        if self.spec.get("livenessProbe"):
            probes.add(
                self._probe("livenessProbe", "Liveness", starts_good=True, said=lambda good, text: self._fail(process, "liveness", text))
            )

    def _become_ready(self, good: bool, text: str) -> None:
        self._ready = good
        self._changed()

    def _fail(self, process: Process, kind: str, text: str) -> None:
        """A dead container is stopped with its grace and starts again by its policy."""
        if self.stopping.is_set():
            return
        self._say("Killing", f"Container {self.name} failed {kind} probe, will be restarted")
        own = (self.spec.get(f"{kind}Probe") or {}).get("terminationGracePeriodSeconds")
        grace = own if own is not None else self._place.pod["spec"].get("terminationGracePeriodSeconds", _PERIOD)
        self._killing = asyncio.get_running_loop().create_task(self._end(process, grace=grace))

    def _probe(self, field: str, word: str, *, starts_good: bool | None, said: Callable[[bool, str], None]) -> asyncio.Task[None]:
        target = Target(at=self._back, execute=self.execute)

        def failed(text: str) -> None:
            self._recorder.pod(self._place.pod, "Warning", "Unhealthy", f"{word} probe failed: {text}", container=self.name)

        probe = Probe(self.spec[field], target=target, starts_good=starts_good, awake=self._site.awake)
        return asyncio.get_running_loop().create_task(probe.run(said=said, failed=failed))

    async def _end(self, process: Process, *, grace: float) -> None:
        loop = asyncio.get_running_loop()
        self._shorten(loop.time() + grace)
        if grace > 0 and (hook := (self.spec.get("lifecycle") or {}).get("preStop")):
            await self._pre_stop(hook, process, within=grace)
            self._grace = max(self._grace or 0.0, loop.time() + _LEAST_AFTER_PRE_STOP)
        if grace > 0:
            process.signal(signal.SIGTERM)
        while not process.ended.done():
            left = (self._grace or 0.0) - loop.time()
            if left <= 0:
                process.signal(signal.SIGKILL)
                await process.wait()
                return
            await asyncio.wait([process.ended], timeout=min(left, 0.5))

    def _shorten(self, until: float) -> None:
        self._grace = until if self._grace is None else min(self._grace, until)

    async def _pre_stop(self, hook: Object, process: Process, *, within: float) -> None:
        """A hook that fails or takes too long does not stop the stop."""
        if nap := hook.get("sleep"):
            await asyncio.wait([process.ended], timeout=min(within, nap["seconds"]))
            return
        probe = {**hook, "timeoutSeconds": within}
        answer = await ask(probe, Target(at=self._back, execute=self.execute))
        if not answer.good:
            self._warn("FailedPreStopHook", f"PreStopHook failed: {answer.text}")

    async def execute(self, command: tuple[str, ...], timeout: float) -> tuple[int, str]:
        """Runs a command beside the container, with its environment; raises TimeoutError, and then the command is dead."""
        self._executed += 1
        log = self._log_of(self._restarts).with_suffix(f".exec{self._executed}")
        process = await self._site.runtime.start(self._order(f"{self._identity}/{self._executed}", command, log=log))
        try:
            ended = await asyncio.wait_for(process.wait(), timeout)
            return ended.code, _text_of(log)
        finally:
            process.signal(signal.SIGKILL)
            log.unlink(missing_ok=True)

    async def attach(self, wanted: Wanted) -> Execution:
        """Runs a command beside the container with its environment, and its streams in somebody's hands. SandboxError: not started."""
        self._executed += 1
        order = self._order(f"{self._identity}/{self._executed}", wanted.command, log=Path(os.devnull))
        return await execute(self._site.runtime, order, wanted=wanted, directory=self._place.logs)

    def _exited(self, process: Process, ended: Ended) -> float:
        """Takes note of an end; answers how long it ran."""
        began = self._state.get("running", {}).get("startedAt", self._now())
        self._state = {
            "terminated": {
                "exitCode": ended.code,
                "reason": "Completed" if ended.code == 0 else "Error",
                "startedAt": began,
                "finishedAt": self._now(),
                "containerID": self._id,
                **({"signal": ended.signal} if ended.signal else {}),
            }
        }
        self._process = None
        self._grace = None
        self._ready = self._init and ended.code == 0
        self.started.clear()
        self._changed()
        return seconds(ended.at_ns - process.started_ns)

    def _restarts_after(self, code: int) -> bool:
        return self._policy == "Always" or (self._policy == "OnFailure" and code != 0)

    async def _wait_for_turn(self, ran: float) -> None:
        """The back-off between two incarnations."""
        wait = self._back_off.after_exit(ran=ran)
        if wait:
            name = self._place.pod["metadata"]["name"]
            where = f"container={self.name} pod={name}_{self._place.pod['metadata']['namespace']}({self._place.pod['metadata']['uid']})"
            self._wait(reason="CrashLoopBackOff", message=f"back-off {_go_duration(wait)} restarting failed {where}")
            self._warn("BackOff", f"Back-off restarting failed container {self.name} in pod {name}")
            await self._pause(wait)
        if self.stopping.is_set():
            return
        if "terminated" in self._state:
            self._last_state = self._state
        self._restarts += 1

    def _wait(self, *, reason: str, message: str) -> None:
        if "terminated" in self._state:
            self._last_state = self._state
        self._state = {"waiting": {"reason": reason, "message": message}}
        self._changed()

    async def _pause(self, wait: float) -> None:
        try:
            await asyncio.wait_for(self.stopping.wait(), wait)
        except TimeoutError:
            pass

    def _back(self, port: int | str) -> HostPort:
        number = port if isinstance(port, int) else _named_port(self.spec, port)
        back = self._site.network.back(self._place.ip, number)
        assert back is not None  # a pod's own address always has one
        return back

    def _log_of(self, incarnation: int) -> Path:
        return self._place.logs / self.name / f"{incarnation}.log"

    def _say(self, reason: str, message: str) -> None:
        self._recorder.pod(self._place.pod, "Normal", reason, message, container=self.name)

    def _warn(self, reason: str, message: str) -> None:
        self._recorder.pod(self._place.pod, "Warning", reason, message, container=self.name)

    def _now(self) -> str:
        return stamp(self._site.clock.wall_ns())


def _named_port(spec: Object, name: str) -> int:
    for port in spec.get("ports") or ():
        if port.get("name") == name:
            return int(port["containerPort"])
    if name.isdigit():
        return int(name)
    raise LookupError(f"couldn't find port {name!r} in container {spec['name']}")


def _text_of(log: Path) -> str:
    """A log without its time stamps."""
    lines = log.read_bytes().splitlines() if log.exists() else []
    return b"\n".join(line.partition(b" ")[2] for line in lines).decode(errors="replace")


def _go_duration(wait: float) -> str:
    minutes, rest = divmod(int(wait), 60)
    return f"{minutes}m{rest}s" if minutes else f"{rest}s"
