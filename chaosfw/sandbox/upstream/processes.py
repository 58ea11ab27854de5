"""
The real control plane as processes of ours: etcd, kube-apiserver, kube-controller-manager, kube-scheduler on one loopback address.

Started by the control process, die with it. The flags are those of a cluster that somebody could run: the profile's settings, Node and RBAC
authorization, NodeRestriction. Left out is what only costs time on one machine: fsync, leader election, credentials for each controller.
"""

from __future__ import annotations

import asyncio
import csv
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp

from chaosfw.errors import SandboxError
from chaosfw.sandbox.kubeconfig import write_kubeconfig
from chaosfw.sandbox.prctl import die_with_parent
from chaosfw.sandbox.profiles import Profile
from chaosfw.sandbox.upstream.binaries import Binaries
from chaosfw.sandbox.upstream.files import CALLER, SIGNING, VERIFYING

API_PORT: Final = 6443
_ETCD_PORT, _PEER_PORT, _MANAGER_PORT, _SCHEDULER_PORT = 2379, 2380, 10257, 10259
_LOOK: Final = 0.05
_LAST_LINES: Final = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class User:
    name: str
    token: str
    groups: tuple[str, ...]


class Upstream:
    """``ended`` hears the last words of a part that ends by itself."""

    def __init__(
        self,
        binaries: Binaries,
        *,
        directory: Path,
        host: str,
        profile: Profile,
        service_cidr: str,
        proxy: str = "",
        ended: Callable[[str], None],
    ) -> None:
        """``proxy``: the URL over which the API server reaches pods and services, whose addresses are only recorded ones."""
        self._binaries, self._directory, self._host, self._profile = binaries, directory, host, profile
        self._service_cidr, self._proxy = service_cidr, proxy
        self._ended = ended
        self._parts: dict[str, asyncio.subprocess.Process] = {}
        self._watching: list[asyncio.Task[None]] = []

    @property
    def url(self) -> str:
        return f"https://{self._host}:{API_PORT}"

    async def serve(self, *, users: tuple[User, ...], asking: str, trusted: ssl.SSLContext, timeout: float) -> None:
        """
        etcd and the API server; returns when it is ready to be asked, as the user with the token ``asking`` sees it. Raises SandboxError
        with the last words of the part that did not come up.
        """
        self._write_users(users)
        await self._spawn("etcd", self._binaries.etcd, self._etcd())
        await self._spawn("kube-apiserver", self._binaries.apiserver, self._apiserver())
        await self._ready(asking, trusted=trusted, timeout=timeout)

    async def run(self, *, token: str, authority: bytes) -> None:
        """Controller manager and scheduler, which show ``token``."""
        configured = self._directory / "manager.kubeconfig"
        write_kubeconfig(configured, server=self.url, token=token, authority=authority)
        await self._spawn("kube-controller-manager", self._binaries.manager, self._manager(configured))
        await self._spawn("kube-scheduler", self._binaries.scheduler, self._scheduler(configured))

    async def stop(self) -> None:
        """Kills what runs: nothing of it is kept."""
        for task in self._watching:
            task.cancel()
        for process in self._parts.values():
            if process.returncode is None:
                process.kill()
            await process.wait()

    def trouble(self) -> str:
        """What a part that has ended said last; empty while all run."""
        for name, process in self._parts.items():
            if process.returncode is not None:
                return f"{name} ended ({process.returncode})\n{self._last_words(name)}".strip()
        return ""

    async def _spawn(self, name: str, program: Path, flags: Mapping[str, str]) -> None:
        with self._log(name).open("wb") as log:
            self._parts[name] = await asyncio.create_subprocess_exec(
                program,
                *(f"--{flag}={value}" for flag, value in flags.items()),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self._directory,
                env={"PATH": "/usr/bin:/bin", "HOME": str(self._directory), "HTTP_PROXY": self._proxy},
                preexec_fn=die_with_parent,
            )
        self._watching.append(asyncio.get_running_loop().create_task(self._watch(name), name=name))

    async def _watch(self, name: str) -> None:
        await self._parts[name].wait()
        self._ended(self.trouble())

    async def _ready(self, token: str, *, trusted: ssl.SSLContext, timeout: float) -> None:
        try:
            async with asyncio.timeout(timeout), aiohttp.ClientSession(headers={"Authorization": f"Bearer {token}"}) as session:
                while not await _answers(session, f"{self.url}/readyz", trusted):
                    if trouble := self.trouble():
                        raise SandboxError(trouble)
                    await asyncio.sleep(_LOOK)
        except TimeoutError:
            words = self._last_words("kube-apiserver")
            raise SandboxError(f"kube-apiserver was not ready after {timeout:g} s\n{words}") from None

    def _write_users(self, users: tuple[User, ...]) -> None:
        path = self._directory / "users.csv"
        path.touch(mode=0o600)
        with path.open("w", newline="") as file:
            csv.writer(file).writerows((user.token, user.name, user.name, ",".join(user.groups)) for user in users)

    def _log(self, name: str) -> Path:
        return self._directory / f"{name}.log"

    def _last_words(self, name: str) -> str:
        return "\n".join(self._log(name).read_text(errors="replace").strip().splitlines()[-_LAST_LINES:])

    # --- flags

    def _etcd(self) -> dict[str, str]:
        client, peer = f"http://{self._host}:{_ETCD_PORT}", f"http://{self._host}:{_PEER_PORT}"
        return {
            "data-dir": str(self._directory / "etcd"),
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"default={peer}",
            "unsafe-no-fsync": "true",
            "log-level": "warn",
        }

    def _apiserver(self) -> dict[str, str]:
        here, seconds = self._directory, str(self._profile.toleration_seconds)
        return {
            "etcd-servers": f"http://{self._host}:{_ETCD_PORT}",
            "bind-address": self._host,
            "secure-port": str(API_PORT),
            "advertise-address": self._host,
            "endpoint-reconciler-type": "none",
            "service-cluster-ip-range": self._service_cidr,
            "tls-cert-file": str(here / "server.pem"),
            "tls-private-key-file": str(here / "server.pem"),
            "client-ca-file": str(here / "ca.pem"),
            "token-auth-file": str(here / "users.csv"),
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-account-issuer": "https://kubernetes.default.svc",
            "service-account-signing-key-file": str(here / SIGNING),
            "service-account-key-file": str(here / VERIFYING),
            "allow-privileged": "true",
            "kubelet-preferred-address-types": "InternalIP",
            "kubelet-certificate-authority": str(here / "ca.pem"),
            "kubelet-client-certificate": str(here / CALLER),
            "kubelet-client-key": str(here / CALLER),
            "default-not-ready-toleration-seconds": seconds,
            "default-unreachable-toleration-seconds": seconds,
            "cert-dir": str(here),
        }

    def _manager(self, kubeconfig: Path) -> dict[str, str]:
        profile = self._profile
        return {
            **self._connected(kubeconfig, port=_MANAGER_PORT),
            "use-service-account-credentials": "false",
            "service-account-private-key-file": str(self._directory / SIGNING),
            "root-ca-file": str(self._directory / "ca.pem"),
            "node-monitor-period": f"{profile.monitor_period:g}s",
            "node-monitor-grace-period": f"{profile.monitor_grace:g}s",
            "node-eviction-rate": f"{profile.eviction_rate:g}",
            "secondary-node-eviction-rate": f"{profile.secondary_eviction_rate:g}",
        }

    def _scheduler(self, kubeconfig: Path) -> dict[str, str]:
        return self._connected(kubeconfig, port=_SCHEDULER_PORT)

    def _connected(self, kubeconfig: Path, *, port: int) -> dict[str, str]:
        path = str(kubeconfig)
        return {
            "kubeconfig": path,
            "authentication-kubeconfig": path,
            "authorization-kubeconfig": path,
            "bind-address": self._host,
            "secure-port": str(port),
            "leader-elect": "false",
            "cert-dir": str(self._directory),
        }


async def _answers(session: aiohttp.ClientSession, url: str, trusted: ssl.SSLContext) -> bool:
    try:
        async with session.get(url, ssl=trusted) as answer:
            return answer.status == 200
    except aiohttp.ClientError:
        return False
