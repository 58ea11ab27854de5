"""
The server's door for callers in its own process: the backend of :class:`chaosfw.sandbox.client.local.LocalClient`.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

from chaosfw.sandbox.apiserver import errors
from chaosfw.sandbox.apiserver.scope import scope
from chaosfw.sandbox.apiserver.store import Change, Mark, Subscription, TooOldError
from chaosfw.sandbox.apiserver.subresources import binding, eviction, scale
from chaosfw.sandbox.apiserver.verbs import DeleteOptions, Verbs, WriteOptions, resource_of
from chaosfw.sandbox.client.verbs import Object, PatchStyle
from chaosfw.sandbox.kinds.row import Kind, read

_NEW = WriteOptions()


class Inside:
    """
    Resource names to rows, verbs to answers. Answers are copies. What is made here has no owners, as :mod:`.ownership` says; who changes
    what has some is one of them.
    """

    def __init__(self, verbs: Verbs, *, manager: str = "") -> None:
        self._verbs = verbs
        self._options = WriteOptions(manager=manager)
        self._through_scale = WriteOptions(manager=manager, door="scale")

    def get(self, resource: str, name: str, *, namespace: str) -> Object:
        return self._verbs.get(self._row(resource), namespace, name).copy()

    def list(self, resource: str, *, namespace: str, labels: str, fields: str) -> tuple[list[Object], str]:
        page = self._verbs.page(scope(self._row(resource), namespace=namespace, labels=labels, fields=fields))
        return [one.copy() for one in page.entries], str(page.version)

    async def watch(self, resource: str, *, since: str, namespace: str, labels: str, fields: str) -> AsyncIterator[tuple[str, Object]]:
        row = self._row(resource)
        about = scope(row, namespace=namespace, labels=labels, fields=fields)
        try:
            subscription = self._verbs.store.follow(resource_of(row), since=int(since))
        except TooOldError as error:
            raise errors.expired(str(error)) from error
        try:
            async for change in _changes(subscription):
                if event := about.event(change):
                    yield event[0], event[1].copy()
        finally:
            self._verbs.store.leave(subscription)

    def create(self, resource: str, body: Object, *, namespace: str) -> Object:
        row = self._row(resource)
        if row.resource == "bindings":
            return binding.bind(self._verbs, namespace, body["metadata"]["name"], body).entry.copy()
        inner = namespace or body.get("metadata", {}).get("namespace", "")
        return self._verbs.create(row, inner, body, _NEW).entry.copy()

    def replace(self, resource: str, name: str, body: Object, *, namespace: str, subresource: str) -> Object:
        row = self._row(resource)
        if subresource == "scale":
            return scale.replace(self._verbs, row, namespace, name, body, self._through_scale)
        if subresource == "finalize":
            return finalize(self._verbs, row, name, body)
        return self._verbs.update(row, namespace, name, body, self._options, status=_is_status(row, subresource)).entry.copy()

    def patch(self, resource: str, name: str, body: Any, *, namespace: str, subresource: str, style: PatchStyle) -> Object:
        row = self._row(resource)
        if subresource == "scale":
            return scale.patch(self._verbs, row, namespace, name, body, style, self._through_scale)
        status = _is_status(row, subresource)
        return self._verbs.patch(row, namespace, name, body, style, self._options, status=status).entry.copy()

    def delete(self, resource: str, name: str, *, namespace: str, uid: str, grace: int | None, propagation: str) -> Object:
        row = self._row(resource)
        outcome = self._verbs.delete(row, namespace, name, DeleteOptions(grace=grace, uid=uid, propagation=propagation))
        if outcome.gone and not row.answers_deleted_object:
            return errors.deleted(row, name, outcome.entry.obj["metadata"]["uid"])
        return outcome.entry.copy()

    def evict(self, name: str, *, namespace: str) -> Object:
        return eviction.evict(self._verbs, namespace, name, DeleteOptions())

    def _row(self, resource: str) -> Kind:
        row = self._verbs.registry.by_resource(resource)
        if row is None:
            raise errors.no_such_resource()
        return row


def finalize(verbs: Verbs, row: Kind, name: str, body: Object) -> Object:
    """The finalizers of a namespace's spec, which only this door changes."""

    def edit(copy: Object) -> None:
        finalizers = read(body, "spec.finalizers") or []
        copy["spec"] = {"finalizers": finalizers} if finalizers else {}

    return verbs.change(row, "", name, edit).entry.copy()


def _is_status(row: Kind, subresource: str) -> bool:
    if subresource and row.door(subresource) is None:
        raise errors.no_such_resource()
    return subresource == "status"


async def _changes(subscription: Subscription) -> AsyncIterator[Change]:
    while True:
        change = await subscription.queue.get()
        if change is Mark.END:
            return
        if isinstance(change, Mark):
            raise errors.expired("the watch fell behind and was closed")
        yield change
        if subscription.queue.qsize() % 64 == 63:
            await asyncio.sleep(0)  # a long backlog must not hold the loop
