"""The three names of a place, and the claim on a loopback network."""

from __future__ import annotations

import itertools
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from chaosfw.errors import SandboxError
from chaosfw.sandbox.addresses import MAX_NODES, MAX_PODS, MAX_SERVICES, HostPort, Network, _claim_one, claim

NETWORK = Network(77)


def test_a_pod_is_found_behind_its_recorded_address() -> None:
    address = NETWORK.pod(2, 3, port=8000)

    assert address.recorded == HostPort("10.244.2.5", 8000)
    assert address.back == HostPort("127.77.10.5", 8000)
    assert NETWORK.back("10.244.2.5", 8000) == address.back


def test_privileged_ports_move_up() -> None:
    """A user may not bind 80; the recorded address says 80 all the same."""
    assert NETWORK.pod(0, 0, port=80).back == HostPort("127.77.8.2", 20080)
    front = NETWORK.service("10.96.0.9", slot=0, source=0, port=443)
    assert (front.recorded, front.front) == (HostPort("10.96.0.9", 443), HostPort("127.77.128.2", 20443))


def test_every_source_has_a_front_of_its_own_and_nobody_shares_an_address() -> None:
    backs = [NETWORK.pod(node, slot, port=80).back for node, slot in itertools.product(range(MAX_NODES), range(MAX_PODS))]
    fronts = [
        NETWORK.service("10.96.0.1", slot=slot, source=source, port=80).front
        for slot, source in itertools.product(range(MAX_SERVICES), range(MAX_NODES + 1))
    ]

    places = [*backs, *fronts, HostPort(NETWORK.api_host, 20080)]

    assert len(set(places)) == len(places)
    assert all(place is not None and place.host.startswith("127.77.") and max(map(int, place.host.split("."))) < 255 for place in places)


@pytest.mark.parametrize("foreign", ["10.96.0.1", "192.0.2.1", "10.244.200.1", "not an address"])
def test_what_is_no_pod_has_no_back(foreign: str) -> None:
    assert NETWORK.back(foreign, 80) is None


def test_there_is_room_for_so_many_and_no_more() -> None:
    with pytest.raises(SandboxError, match=f"room for {MAX_NODES} nodes"):
        NETWORK.pod(MAX_NODES, 0)


def test_a_claim_is_exclusive_and_given_back(tmp_path: Path) -> None:
    one, two = claim(tmp_path), claim(tmp_path)
    assert one.network != two.network
    # another user's sandbox has other lock files: the bound port keeps it out
    with socket.socket() as rival, pytest.raises(OSError, match="in use"):
        rival.bind((one.network.api_host, 64_999))

    one.release()
    two.release()

    assert not list(tmp_path.glob("*.lock"))


def test_a_network_that_another_user_has_leaves_no_lock_behind(tmp_path: Path) -> None:
    held = claim(tmp_path / "theirs")

    assert _claim_one(tmp_path / "ours.lock", number=held.network.number) is None

    assert not (tmp_path / "ours.lock").exists()
    held.release()


def test_a_claim_ends_with_its_process(tmp_path: Path) -> None:
    script = "import sys; from pathlib import Path; from chaosfw.sandbox.addresses import claim; "
    script += "print(claim(Path(sys.argv[1])).network.number, flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script, str(tmp_path)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as holder:
        assert holder.stdout is not None
        number = int(holder.stdout.readline())
        holder.kill()
        holder.wait()

    with socket.socket() as free:
        free.bind((f"127.{number}.0.1", 64_999))
