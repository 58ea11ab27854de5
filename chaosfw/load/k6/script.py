"""
The k6 script of a plain ``cf.Load``: one request an arrival, on a schedule, each with its number, on a new connection unless told.

Written by the driver. The script is small on purpose: everything that could differ from the prober's is stated in it.
"""

from __future__ import annotations

import json
import math

from chaosfw.model.load import NUMBER as HEADER
from chaosfw.model.load import Load

BEGAN = "chaosfw_began"
"""Metric whose points all say when the schedule began, ms by the wall."""

NUMBER = "n"
"""Tag with the number of the arrival, among those that were started."""

MARGIN = 16
"""VUs beyond rate x timeout."""

_TEMPLATE = """\
// Written by chaosfw: cf.Load(…, driver="k6").
import http from 'k6/http';
import exec from 'k6/execution';
import {{ Gauge }} from 'k6/metrics';

const began = new Gauge('{began}');
const load = {load};

export const options = {{
  discardResponseBodies: true,
  noConnectionReuse: {fresh},
  noVUConnectionReuse: {fresh},
  maxRedirects: 0,
  scenarios: {{
    load: {{
      executor: 'constant-arrival-rate',
      rate: {rate},
      timeUnit: '{unit}ms',
      duration: '{duration}s',
      preAllocatedVUs: {vus},
      maxVUs: {vus},
      gracefulStop: '0s',
    }},
  }},
}};
{callback}
export default function () {{
  const n = exec.scenario.iterationInTest;
  if (__ITER === 0) began.add(exec.scenario.startTime);  // each VU before its first request, so that none comes before it
  const headers = {{ ...load.headers, '{header}': String(n) }};
  const told = {{ headers, timeout: load.timeout, redirects: 0, tags: {{ {number}: String(n) }} }};
  http.request(load.method, load.url, load.body, told);
}}
"""


def written(load: Load, *, url: str, seconds: float) -> str:
    """The script's text. The rate is a whole number of arrivals in a time unit, because k6 knows no other."""
    rate, unit = _whole(load.rate)
    told = {
        "method": load.method,
        "url": url.rstrip("/") + load.path,
        "body": load.body or None,
        "headers": {"User-Agent": "chaosfw-k6", **load.headers},
        "timeout": f"{round(load.timeout * 1000)}ms",
    }
    statuses = ", ".join(str(one) for one in load.expected_status)
    callback = f"http.setResponseCallback(http.expectedStatuses({statuses}));\n" if statuses else ""
    return _TEMPLATE.format(
        began=BEGAN,
        load=json.dumps(told, indent=2),
        fresh="true" if load.connection == "new" else "false",
        rate=rate,
        unit=unit,
        duration=math.ceil(seconds),
        vus=vus(load),
        callback=callback,
        number=NUMBER,
        header=HEADER,
    )


def vus(load: Load) -> int:
    """As many as can be waiting at once: with fewer an arrival-rate executor becomes a closed loop just when the fault bites."""
    return math.ceil(load.rate * load.timeout) + MARGIN


def _whole(rate: float) -> tuple[int, int]:
    """Arrivals, and the milliseconds that they come in: 33.5 a second are 67 in 2,000 ms."""
    for seconds in (1, 2, 5, 10, 20, 50, 100):
        if abs(rate * seconds - round(rate * seconds)) < 1e-6 and round(rate * seconds) > 0:
            return round(rate * seconds), seconds * 1000
    return max(1, round(rate * 100)), 100_000
