"""
What the prober can send: ``python benchmarks/prober.py [seconds]``. A thousand requests a second, each on a connection of its
own, at a server in another process; beside it a closed loop of one thread over ``http.client``.

Prints a table with machine and versions.
"""

from __future__ import annotations

import http.client
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

from chaosfw.load.prober.driver import ProberDriver
from chaosfw.model.load import SAMPLE, Endpoint, Load, Outcome, Seal

STAND_IN = Path(__file__).parents[1] / "tests" / "load" / "stand_in.py"


def open_model(url: str, *, seconds: float, rate: float, connection: str) -> tuple[Seal, list[tuple[int, ...]], float]:
    """The seal, the samples, and the share of a core that the prober used."""
    with tempfile.TemporaryDirectory() as folder:
        load = Load(endpoint="shop", path="/ok", rate=rate, timeout=1.0, connection=connection)  # type: ignore[arg-type]
        run = ProberDriver().start(load, at=Endpoint(name="shop", url=url), out=Path(folder))
        began = time.monotonic()
        time.sleep(seconds)
        used = sum(int(part) for part in Path(f"/proc/{run.generator.pid}/stat").read_text().rpartition(")")[2].split()[11:13])
        share = used / os.sysconf("SC_CLK_TCK") / (time.monotonic() - began)
        run.stop()
        seal = run.wait(10.0)
        assert seal is not None
        return seal, list(SAMPLE.iter_unpack(run.samples(0)[0])), share


def closed_loop(url: str, *, seconds: float) -> list[float]:
    """Seconds that each request took, one after the other."""
    where, took = urlsplit(url), []
    until = time.monotonic() + seconds
    while (began := time.monotonic()) < until:
        connection = http.client.HTTPConnection(where.hostname or "", where.port)
        connection.request("GET", "/ok", headers={"Connection": "close"})
        connection.getresponse().read()
        connection.close()
        took.append(time.monotonic() - began)
    return took


def quantile(values: list[float], share: float) -> float:
    return sorted(values)[int(share * (len(values) - 1))] * 1000


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 10.0
    print(f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()} {platform.release()}; Python {platform.python_version()}\n")
    print(
        f"{'generator':<32}{'asked/s':>9}{'got/s':>9}{'ok':>8}{'late p50':>10}{'p99':>9}{'max':>9}{'latency p50':>13}{'p99':>9}{'core':>7}"
    )
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log"
        with subprocess.Popen([sys.executable, str(STAND_IN), str(log)], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
            assert server.stdout is not None
            url = f"http://127.0.0.1:{int(server.stdout.readline())}"
            for rate, connection in ((100.0, "new"), (1000.0, "new"), (1000.0, "keep-alive")):
                seal, rows, share = open_model(url, seconds=seconds, rate=rate, connection=connection)
                ok = [(row[2] - row[1]) / 1e9 for row in rows if row[5] == Outcome.ok]
                late = [value * 1000 for value in seal.lateness]
                print(
                    f"{f'prober, {connection}':<32}{rate:>9.0f}{seal.count / seconds:>9.1f}{len(ok):>8}"
                    f"{late[0]:>7.2f} ms{late[1]:>6.2f} ms{late[2]:>6.1f} ms"
                    f"{quantile(ok, 0.5):>10.2f} ms{quantile(ok, 0.99):>6.2f} ms{share:>6.0%}"
                )
            took = closed_loop(url, seconds=seconds)
            print(
                f"{'closed loop, http.client, new':<32}{'-':>9}{len(took) / seconds:>9.1f}{len(took):>8}{'-':>10}{'-':>9}{'-':>9}"
                f"{quantile(took, 0.5):>10.2f} ms{quantile(took, 0.99):>6.2f} ms"
            )
            assert server.stdin is not None
            server.stdin.close()


if __name__ == "__main__":
    main()
