"""Only what stood ready from the plan to the fault may be inferred to have served."""

from __future__ import annotations

import pytest

from chaosfw.model.environment import Target
from chaosfw.model.facts import EndpointFacts
from chaosfw.planning.endpoints import stood


def ready(name: str, *, uid: str = "", since: str = "10:00") -> EndpointFacts:
    return EndpointFacts(target=Target(kind="pod", name=name, namespace="shop", uid=uid or f"uid-{name}"), since=since)


PLANNED = (ready("a"), ready("b"))


@pytest.mark.parametrize(
    ("now", "stands", "passing"),
    [
        (PLANNED, ("a", "b"), ()),
        ((ready("a"),), ("a",), ("b",)),
        ((ready("a"), ready("b", since="10:01")), ("a",), ("b",)),
        ((ready("a"), ready("b", uid="another")), ("a",), ("b",)),
        ((*PLANNED, ready("c")), ("a", "b"), ("c",)),
        ((), (), ("a", "b")),
    ],
    ids=["all", "gone", "not ready meanwhile", "replaced under its name", "a new one", "nothing seen"],
)
def test_two_looks_compared(now: tuple[EndpointFacts, ...], stands: tuple[str, ...], passing: tuple[str, ...]) -> None:
    assert stood(PLANNED, now) == (stands, passing)
