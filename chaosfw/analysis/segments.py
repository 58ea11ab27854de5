"""
How a recovery went, in segments: when the environment noticed the loss, gave the pods up, found places for their replacements,
started them, and counted them as ready. From what the cluster itself told, never from the load.

Called by :mod:`chaosfw.analysis.fold`. Describes and judges nothing: a segment that was not seen is None.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

from chaosfw.analysis.story import Story
from chaosfw.model.event import ClusterSaw, Sight
from chaosfw.model.record import Segment

NOTICED = (Sight.terminating, Sight.gone, Sight.not_ready, Sight.cordoned, Sight.node_lost)
GIVEN_UP = (Sight.terminating, Sight.gone)
STAGES = (("schedule", Sight.scheduled), ("start", Sight.started), ("ready", Sight.ready))


def segments(story: Story) -> tuple[Segment, ...]:
    """Each up to the last pod: a recovery is over when nobody is missing. Empty without lost pods or without sightings."""
    call, plan = story.fault_call, story.plan
    if call is None or plan is None:
        return ()
    targets = [target for bound in plan.bound for target in bound.targets]
    victims = {target.uid for target in targets if target.kind == "pod"}
    after = sorted((one for one in story.all(ClusterSaw) if one.at >= call and one.subject is not None), key=lambda one: one.at)
    if not victims or not after:
        return ()
    hit = victims | {target.uid for target in targets}
    ends = [("detect", min((one.at for one in after if _uid(one) in hit and one.reason in NOTICED), default=None))]
    ends.append(("evict", _last(after, victims, GIVEN_UP)))
    new = _replacements(after, victims)
    ends += [(name, _last(after, new, (reason,)) if len(new) == len(victims) else None) for name, reason in STAGES]
    return _chained(ends, call=call)


def _replacements(after: list[ClusterSaw], victims: set[str]) -> set[str]:
    """As many new pods of each workload as it lost, the first ones that came."""
    owed = Counter({_uid(one): one.of for one in after if _uid(one) in victims}.values())
    found: set[str] = set()
    for one in after:
        if one.reason is Sight.created and owed[one.of] > 0:
            owed[one.of] -= 1
            found.add(_uid(one))
    return found


def _last(after: list[ClusterSaw], uids: Iterable[str], reasons: tuple[Sight, ...]) -> int | None:
    """When the last of them came so far; None when one never did."""
    first: dict[str, int] = {}
    for one in after:
        if one.reason in reasons:
            first.setdefault(_uid(one), one.at)
    ats = [first.get(uid) for uid in uids]
    known = [at for at in ats if at is not None]
    return max(known) if known and len(known) == len(ats) else None


def _chained(ends: list[tuple[str, int | None]], *, call: int) -> tuple[Segment, ...]:
    """Each from the end of the last one that was seen: what overlapped takes nothing."""
    made: list[Segment] = []
    since = call
    for name, at in ends:
        if at is None:
            made.append(Segment(name=name, seconds=None, until=None))
            continue
        made.append(Segment(name=name, seconds=max(0, at - since) / 1e9, until=(at - call) / 1e9))
        since = max(since, at)
    return tuple(made)


def _uid(one: ClusterSaw) -> str:
    return one.subject.uid if one.subject is not None else ""
