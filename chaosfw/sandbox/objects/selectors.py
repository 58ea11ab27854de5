"""
Label and field selectors: parsed once, then asked for many objects.

Used by lists, watches, controllers and the scheduler. Which *fields* a kind may be selected by is the kind's row, not ours.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

Operator = Literal["in", "notin", "exists", "absent", "gt", "lt"]

_LABEL_VALUE = re.compile(r"^(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?$")
_LABEL_NAME = re.compile(r"^([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]$")
_DNS_SUBDOMAIN = re.compile(r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$")
_TOKEN = re.compile(r"\s*(==|!=|[=!(),<>]|[^\s=!(),<>]+)")
_SYMBOLS = frozenset({"==", "!=", "=", "!", "(", ")", ",", "<", ">", ""})
_SIGNS: Mapping[str, Operator] = {"=": "in", "==": "in", "in": "in", "!=": "notin", "notin": "notin", ">": "gt", "<": "lt"}


class SelectorError(ValueError):
    """The text is no selector; the message is the one a client reads."""


@dataclass(frozen=True, slots=True)
class Requirement:
    """One clause of a label selector."""

    key: str
    operator: Operator
    values: frozenset[str] = frozenset()

    def matches(self, labels: Mapping[str, str]) -> bool:
        if self.operator == "exists":
            return self.key in labels
        if self.operator == "absent":
            return self.key not in labels
        if self.operator == "in":
            return self.key in labels and labels[self.key] in self.values
        if self.operator == "notin":
            return self.key not in labels or labels[self.key] not in self.values
        return self.key in labels and self._compares(labels[self.key])

    def _compares(self, value: str) -> bool:
        try:
            have, want = int(value), int(next(iter(self.values)))
        except ValueError:
            return False
        return have > want if self.operator == "gt" else have < want


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All clauses must hold. No clause matches everything."""

    requirements: tuple[Requirement, ...] = ()

    def matches(self, labels: Mapping[str, str] | None) -> bool:
        return all(requirement.matches(labels or {}) for requirement in self.requirements)

    def __bool__(self) -> bool:
        return bool(self.requirements)


@dataclass(frozen=True, slots=True)
class FieldClause:
    """``field=value`` or ``field!=value``."""

    field: str
    value: str
    equal: bool


KEY_RULE: Final = (
    "name part must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. "
    "'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')"
)
VALUE_RULE: Final = (
    "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an "
    "alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is "
    "'(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')"
)


def parse_labels(text: str) -> LabelSelector:
    """``a=b,c!=d,e in (x,y),f notin (z),g,!h``; raises :class:`SelectorError`."""
    return LabelSelector(tuple(_Reader(text).requirements()))


def parse_fields(text: str) -> tuple[FieldClause, ...]:
    """``a=b,c==d,e!=f``; raises :class:`SelectorError`."""
    clauses = []
    for part in filter(None, (piece.strip() for piece in text.split(","))):
        for sign in ("!=", "==", "="):
            field, found, value = part.partition(sign)
            if found:
                clauses.append(FieldClause(field.strip(), value.strip(), sign != "!="))
                break
        else:
            raise SelectorError(f"invalid selector: '{text}'; can't understand '{part}'")
    return tuple(clauses)


def of_labels(labels: Mapping[str, str]) -> LabelSelector:
    """The selector of a Service: equality on every pair."""
    return LabelSelector(tuple(Requirement(key, "in", frozenset({value})) for key, value in labels.items()))


def of_object(selector: Mapping[str, Any] | None) -> LabelSelector | None:
    """A ``matchLabels``/``matchExpressions`` object. ``None`` (selects nothing) when there is no selector at all."""
    if selector is None:
        return None
    clauses = list(of_labels(selector.get("matchLabels") or {}).requirements)
    for expression in selector.get("matchExpressions") or ():
        clauses.append(_from_expression(expression))
    return LabelSelector(tuple(clauses))


def format_labels(labels: Mapping[str, str]) -> str:
    """The text of an equality selector, keys in order."""
    return ",".join(f"{key}={value}" for key, value in sorted(labels.items()))


def format_object(selector: Mapping[str, Any] | None) -> str:
    """The text form of a ``matchLabels``/``matchExpressions`` object, as the scale subresource and Tables show it."""
    if not selector:
        return ""
    parts = [format_labels(selector.get("matchLabels") or {})]
    for expression in selector.get("matchExpressions") or ():
        parts.append(_format_expression(expression))
    return ",".join(filter(None, parts))


def fields_match(clauses: Sequence[FieldClause], read: Callable[[str], str]) -> bool:
    """Whether every clause holds for the object whose fields ``read`` gives."""
    return all((read(clause.field) == clause.value) is clause.equal for clause in clauses)


def is_label_value(value: str) -> bool:
    return len(value) <= 63 and _LABEL_VALUE.match(value) is not None


def value_faults(value: str) -> list[str]:
    """What is wrong with it as the value of a label, in Kubernetes' words."""
    long = ["must be no more than 63 bytes"] if len(value) > 63 else []
    return long + ([] if _LABEL_VALUE.match(value) else [VALUE_RULE])


def is_label_key(key: str) -> bool:
    prefix, slash, name = key.rpartition("/")
    if slash and (len(prefix) > 253 or not _DNS_SUBDOMAIN.match(prefix)):
        return False
    return len(name) <= 63 and _LABEL_NAME.match(name) is not None


class _Reader:
    """Reads token by token, as Kubernetes does, whose words it has for what does not belong there."""

    def __init__(self, text: str) -> None:
        self._tokens = [*_TOKEN.findall(text), ""]

    def requirements(self) -> Iterator[Requirement]:
        while (first := self._tokens[0]) != "":
            if first in _SYMBOLS - {"!"}:
                raise SelectorError(f"found '{first}', expected: !, identifier, or 'end of string'")
            yield self._requirement()
            if (after := self._take()) == "":
                return
            if after != ",":
                raise SelectorError(f"found '{after}', expected: ',' or 'end of string'")
            if (follows := self._tokens[0]) in _SYMBOLS - {"!"}:
                raise SelectorError(f"found '{follows}', expected: identifier after ','")

    def _take(self) -> str:
        return self._tokens.pop(0) if len(self._tokens) > 1 else ""

    def _requirement(self) -> Requirement:
        absent = self._tokens[0] == "!" and bool(self._take())
        key = self._identifier()
        if not is_label_key(key):
            raise _refused(f'<nil>: Invalid value: "{key}": {KEY_RULE}')
        if absent or self._tokens[0] in ("", ","):
            return Requirement(key, "absent" if absent else "exists")
        sign = self._take()
        if sign not in _SIGNS:
            raise _refused(f"found '{sign}', expected: in, notin, =, ==, !=, gt, lt")
        values = self._values() if sign in ("in", "notin") else frozenset({self._value()})
        return _checked(key, _SIGNS[sign], values)

    def _identifier(self) -> str:
        token = self._take()
        if token in _SYMBOLS:
            raise _refused(f"found '{token}', expected: identifier")
        return token

    def _value(self) -> str:
        return "" if self._tokens[0] in ("", ",") else self._identifier()

    def _values(self) -> frozenset[str]:
        if (first := self._take()) != "(":
            raise _refused(f"found '{first}' expected: '('")
        found: set[str] = {""} if self._tokens[0] == ")" else set()
        while (token := self._take()) != ")":
            if token in _SYMBOLS - {","}:
                raise _refused(
                    f"found '{token}', expected: ',', or identifier" if found else f"found '{token}', expected: ',', ')' or identifier"
                )
            found.add("" if token == "," else token)
            if token != "," and (after := self._tokens[0]) not in (",", ")"):
                raise _refused(f"found '{after}', expected: ',' or ')'")
            if token != "," and self._tokens[0] == "," and self._take() and self._tokens[0] == ")":
                found.add("")
        return frozenset(found)


def _refused(why: str) -> SelectorError:
    return SelectorError(f"unable to parse requirement: {why}")


def _checked(key: str, operator: Operator, values: frozenset[str]) -> Requirement:
    for value in values:
        if not is_label_value(value):
            raise _refused(f'values[0][{key}]: Invalid value: "{value}": {VALUE_RULE}')
    return Requirement(key, operator, values)


def _from_expression(expression: Mapping[str, Any]) -> Requirement:
    names: dict[str, Operator] = {"In": "in", "NotIn": "notin", "Exists": "exists", "DoesNotExist": "absent", "Gt": "gt", "Lt": "lt"}
    operator = names.get(expression["operator"])
    if operator is None:
        raise SelectorError(f'"{expression["operator"]}" is not a valid label selector operator')
    return Requirement(expression["key"], operator, frozenset(expression.get("values") or ()))


def _format_expression(expression: Mapping[str, Any]) -> str:
    key, operator = expression["key"], expression["operator"]
    if operator in ("In", "NotIn"):
        return f"{key} {operator.lower()} ({','.join(sorted(expression.get('values') or ()))})"
    return key if operator == "Exists" else f"!{key}"
