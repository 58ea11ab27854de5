"""Selectors, patches, quantities and durations: pure, so small."""

from __future__ import annotations

import copy
from fractions import Fraction

import pytest

from chaosfw.sandbox.objects import moments, patch, quantity, selectors
from chaosfw.sandbox.schema import types

SPEC = types.by_name("io.k8s.api.core.v1.PodSpec")
DEPLOYMENT = types.by_name("io.k8s.api.apps.v1.DeploymentSpec")


@pytest.mark.parametrize(
    ("text", "labels", "expected"),
    [
        ("", {}, True),
        ("a=b", {"a": "b"}, True),
        ("a==b,c!=d", {"a": "b"}, True),
        ("a!=b", {"a": "b"}, False),
        ("a in (x, y)", {"a": "y"}, True),
        ("a notin (x,y),b", {"b": ""}, True),
        ("!a", {"a": ""}, False),
        ("example.com/part", {"example.com/part": "1"}, True),
        ("a>3", {"a": "4"}, True),
    ],
)
def test_a_label_selector(text: str, labels: dict[str, str], expected: bool) -> None:
    assert selectors.parse_labels(text).matches(labels) is expected


@pytest.mark.parametrize("text", ["a in ({b})", "a=b c", "-a", "=b"])
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(selectors.SelectorError):
        selectors.parse_labels(text)


def test_no_selector_selects_nothing_and_an_empty_one_everything() -> None:
    assert selectors.of_object(None) is None
    empty = selectors.of_object({})
    assert empty is not None
    assert empty.matches({})


def test_field_selectors_know_equal_and_unequal() -> None:
    clauses = selectors.parse_fields("status.phase!=Failed,spec.nodeName=n1")

    assert selectors.fields_match(clauses, {"status.phase": "Running", "spec.nodeName": "n1"}.__getitem__)
    assert not selectors.fields_match(clauses, {"status.phase": "Failed", "spec.nodeName": "n1"}.__getitem__)


@pytest.mark.parametrize(("text", "value"), [("100m", Fraction(1, 10)), ("1.5Gi", 1.5 * 2**30), ("2e3", 2000), ("4", 4), ("1k", 1000)])
def test_quantities_are_exact(text: str, value: float) -> None:
    assert quantity.parse(text) == value


@pytest.mark.parametrize(("seconds", "text"), [(5, "5s"), (119, "119s"), (200, "3m20s"), (3600 * 5, "5h"), (3600 * 50, "2d2h")])
def test_ages_read_as_kubectl_shows_them(seconds: float, text: str) -> None:
    assert moments.duration(seconds) == text


def test_a_merge_patch_removes_by_null() -> None:
    assert patch.merge({"a": {"b": 1, "c": 2}}, {"a": {"b": None, "d": [1]}}) == {"a": {"c": 2, "d": [1]}}


def test_a_json_patch_is_all_or_nothing() -> None:
    target = {"a": [1, 2], "b": {"x/y": 1}}
    before = copy.deepcopy(target)

    changed = patch.json_patch(target, [{"op": "add", "path": "/a/-", "value": 3}, {"op": "move", "from": "/b/x~1y", "path": "/c"}])
    with pytest.raises(patch.PatchError, match="missing path"):
        patch.json_patch(target, [{"op": "remove", "path": "/a/0"}, {"op": "remove", "path": "/nowhere"}])

    assert changed == {"a": [1, 2, 3], "b": {}, "c": 1}
    assert target == before


def test_a_failed_test_stops_a_json_patch() -> None:
    with pytest.raises(patch.PatchError, match="testing value /a failed"):
        patch.json_patch({"a": 1}, [{"op": "test", "path": "/a", "value": 2}])


def test_a_strategic_patch_merges_lists_by_their_key() -> None:
    target = {"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b", "image": "1"}]}
    change = {"containers": [{"name": "a", "env": [{"name": "Y", "value": "2"}]}, {"name": "b", "$patch": "delete"}, {"name": "c"}]}

    changed = patch.strategic(target, change, SPEC)

    assert [one["name"] for one in changed["containers"]] == ["a", "c"]
    assert changed["containers"][0]["image"] == "1"
    assert [one["name"] for one in changed["containers"][0]["env"]] == ["Y", "X"], "what is new comes first, as a real API server has it"


@pytest.mark.parametrize(
    ("before", "patched", "after"),
    [
        (("a", "b", "c"), ("b",), ("a", "b", "c")),
        (("a", "b", "c"), ("c", "a"), ("b", "c", "a")),
        (("a", "b"), ("z", "b"), ("z", "a", "b")),
        (("a", "b"), ("b", "z"), ("a", "b", "z")),
    ],
)
def test_a_merged_list_keeps_the_servers_order_where_it_can(
    before: tuple[str, ...], patched: tuple[str, ...], after: tuple[str, ...]
) -> None:
    target, change = ({"containers": [{"name": name} for name in names]} for names in (before, patched))

    assert tuple(one["name"] for one in patch.strategic(target, change, SPEC)["containers"]) == after


def test_element_order_and_list_replacement_are_honoured() -> None:
    target = {"containers": [{"name": "a"}, {"name": "b"}]}

    turned = patch.strategic(target, {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}, SPEC)
    replaced = patch.strategic(target, {"containers": [{"$patch": "replace"}, {"name": "z"}]}, SPEC)

    assert [one["name"] for one in turned["containers"]] == ["b", "a"]
    assert replaced["containers"] == [{"name": "z"}]


def test_retained_keys_drop_the_others() -> None:
    target = {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}

    changed = patch.strategic(target, {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}, DEPLOYMENT)

    assert changed == {"strategy": {"type": "Recreate"}}


def test_a_set_of_strings_is_joined_and_pruned() -> None:
    meta = types.by_name(types.OBJECT_META)
    target = {"finalizers": ["a", "b"]}

    assert patch.strategic(target, {"finalizers": ["c"]}, meta) == {"finalizers": ["a", "b", "c"]}
    assert patch.strategic(target, {"$deleteFromPrimitiveList/finalizers": ["a"]}, meta) == {"finalizers": ["b"]}


def test_a_service_port_merges_by_number() -> None:
    shape = types.by_name("io.k8s.api.core.v1.ServiceSpec")

    changed = patch.strategic({"ports": [{"port": 80, "name": "a"}]}, {"ports": [{"port": 80, "targetPort": 8000}]}, shape)

    assert changed == {"ports": [{"port": 80, "name": "a", "targetPort": 8000}]}


def test_a_body_is_taken_as_go_would() -> None:
    """Unknown fields, nulls and empty optional lists go; required scalars come."""
    body = {"spec": {"containers": [{"name": "a", "imge": "x", "args": [], "env": None}], "nodeSelector": {}}}

    fitted = types.fit(body, types.of_kind("", "v1", "Pod"))

    assert fitted.value == {"spec": {"containers": [{"name": "a"}]}}
    assert fitted.unknown == ["spec.containers[0].imge"]


def test_a_wrong_type_cannot_be_taken_at_all() -> None:
    with pytest.raises(types.MisfitError, match=r"cannot unmarshal string into Go struct field DeploymentSpec.spec.replicas of type int32"):
        types.fit({"spec": {"replicas": "3"}}, types.of_kind("apps", "v1", "Deployment"))
