"""
One HTTP exchange on a resource: reads query and body into what the verbs take, and writes what they answer.

The only module besides the server that knows aiohttp. It decides nothing about objects.
"""

from __future__ import annotations

import functools
import json
from collections.abc import AsyncIterator, Mapping
from typing import Any

import yaml
from aiohttp import web

from chaosfw.sandbox import channels, forwarding
from chaosfw.sandbox.apiserver import asked, errors, ownership, table, watch
from chaosfw.sandbox.apiserver.inside import finalize
from chaosfw.sandbox.apiserver.route import Target
from chaosfw.sandbox.apiserver.scope import Scope, scope
from chaosfw.sandbox.apiserver.subresources import binding, eviction, log, proxy, scale, token
from chaosfw.sandbox.apiserver.table import Form
from chaosfw.sandbox.apiserver.verbs import DeleteOptions, Outcome, PatchForm, Verbs, WriteOptions
from chaosfw.sandbox.client.verbs import ApiError, Object, PodDoor
from chaosfw.sandbox.kinds import reviews
from chaosfw.sandbox.kinds.row import read
from chaosfw.sandbox.schema import protobuf

JSON = "application/json"
PATCHES: Mapping[str, PatchForm] = {
    "application/json-patch+json": "json",
    "application/merge-patch+json": "merge",
    "application/strategic-merge-patch+json": "strategic",
    "application/apply-patch+yaml": "apply",
    "application/apply-patch+json": "apply",
}
BODIES = (JSON, "application/yaml", "application/vnd.kubernetes.protobuf", "", "application/octet-stream")
_FORMATS = "the body of the request was in an unknown format - accepted media types include: {}"
_NO_OBJECT = (
    "the object provided is unrecognized (must be of type {}): couldn't get version/kind; json parse error: json: cannot unmarshal {} "
    "into Go value of type struct {} ({})"
)
_GO_KINDS = {str: "string", list: "array", bool: "bool"}
_GO_HEAD = '{ APIVersion string "json:\\"apiVersion,omitempty\\""; Kind string "json:\\"kind,omitempty\\"" }'
_NO_SPDY = "{} goes over WebSocket here ({} or {}), and not over SPDY alone: kubectl 1.31 and later ask for it first"


class Exchange:
    """One request. ``answer`` raises ApiError for every refusal."""

    def __init__(self, request: web.BaseRequest, target: Target, verbs: Verbs, door: PodDoor, *, user: str, through: str = "") -> None:
        self._request, self._target, self._verbs, self._door, self._user = request, target, verbs, door, user
        self._through = through
        self._row = target.row
        self._query = request.query
        self._dry = list(request.query.getall("dryRun", []))
        self._form = table.wanted(request.headers.get("Accept", ""), include=self._query.get("includeObject", ""))

    async def answer(self) -> web.StreamResponse:
        if self._target.subresource and self._target.subresource != "status":
            return await self._through_door()
        method = self._request.method
        if method not in ("GET", "HEAD") and self._row.namespaced and not self._target.namespace:
            raise errors.no_such_resource() if self._row.custom else errors.method_not_allowed()
        if method in ("GET", "HEAD"):
            return await self._get() if self._target.name else await self._list()
        if method == "POST" and not self._target.name:
            return await self._create()
        if method == "PUT" and self._target.name:
            return await self._update()
        if method == "PATCH" and self._target.name:
            return await self._patch()
        if method == "DELETE" and ("delete" if self._target.name else "deletecollection") in self._row.verbs:
            return await self._delete()
        raise errors.method_not_allowed()

    # --- reading

    async def _get(self) -> web.StreamResponse:
        if self._target.watched:
            return await self._watch(scope(self._row, namespace=self._target.namespace, fields=f"metadata.name={self._target.name}"))
        found = self._verbs.get(self._row, self._target.namespace, self._target.name)
        return reply(table.one(self._row, found, self._form))

    async def _list(self) -> web.StreamResponse:
        if "list" not in self._row.verbs:
            raise errors.method_not_allowed()
        about, watching, limit = self._scope(), self._target.watched or self._flag("watch"), asked.number(self._query, "limit")
        asked.check_list(self._query, watching=watching)
        if watching:
            return await self._watch(about)
        wanted, current = self._version(), self._verbs.store.version
        if wanted > current:
            raise errors.too_large(wanted, current=current)
        version = self._query.get("resourceVersion", "") if self._query.get("resourceVersionMatch") == "Exact" else ""
        page = self._verbs.page(about, limit=max(0, limit), token=self._query.get("continue", ""), version=int(version or 0))
        metadata: Object = {"resourceVersion": str(page.version)}
        if page.more:
            metadata["continue"] = page.more
        if page.remaining:
            metadata["remainingItemCount"] = page.remaining
        return reply(table.many(self._row, page.entries, self._form, metadata))

    def _version(self) -> int:
        said = self._query.get("resourceVersion") or "0"
        if not said.isdigit():
            raise errors.bad_version(said)
        return int(said)

    async def _watch(self, about: Scope) -> web.StreamResponse:
        wish = watch.Wish(
            since=self._query.get("resourceVersion", ""),
            match=self._query.get("resourceVersionMatch", ""),
            initial=self._flag("sendInitialEvents") if self._query.get("sendInitialEvents") else None,
            bookmarks=self._flag("allowWatchBookmarks"),
            timeout=float(self._query["timeoutSeconds"]) if self._query.get("timeoutSeconds") not in (None, "", "0") else None,
        )
        watch.check(wish, about, self._verbs.store)
        return await stream(self._request, watch.lines(self._verbs.store, about, self._form, wish), content_type=JSON)

    # --- writing

    async def _create(self) -> web.StreamResponse:
        asked.check_write(self._query, dry=self._dry, method="POST")
        body = await self._body()
        if self._row.resource == "bindings":
            name = str((body.get("metadata") or {}).get("name", ""))
            binding.bind(self._verbs, self._target.namespace, name, body)
            return reply(_success(), status=201)
        if self._row in reviews.ROWS:
            if causes := reviews.check(self._row, body):
                raise errors.invalid(self._row, "", causes, of_kind=False)
            if self._row.kind == "SelfSubjectRulesReview" and not (body.get("spec") or {}).get("namespace"):
                raise errors.bad_request("no namespace on request")
            told = reviews.answer(self._row, body, user=self._user)
            if self._row.kind.endswith("AccessReview"):
                told["metadata"] = {**told["metadata"], "managedFields": ownership.created(self._options().write(self._row), body)}
            return reply(_dump(told), status=201)
        return self._wrote(self._verbs.create(self._row, self._target.namespace, body, self._options()))

    async def _update(self) -> web.StreamResponse:
        asked.check_write(self._query, dry=self._dry, method="PUT")
        place = (self._row, self._target.namespace, self._target.name)
        return self._wrote(self._verbs.update(*place, await self._body(), self._options(), status=self._target.subresource == "status"))

    async def _patch(self) -> web.StreamResponse:
        form, body = await self._patch_body()
        asked.check_write(self._query, dry=self._dry, method="PATCH", form=form)
        place = (self._row, self._target.namespace, self._target.name)
        return self._wrote(self._verbs.patch(*place, body, form, self._options(), status=self._target.subresource == "status"))

    async def _delete(self) -> web.StreamResponse:
        options = asked.delete_options(await self._body(optional=True), self._query, dry=self._dry)
        warnings = (self._row.orphans,) if self._row.orphans and not options.propagation else ()
        try:
            return _warned(self._remove(options), warnings)
        except ApiError as refusal:
            refusal.warnings = (*refusal.warnings, *warnings)
            raise

    def _remove(self, options: DeleteOptions) -> web.Response:
        if not self._target.name:
            gone = self._verbs.delete_collection(self._scope(), options)
            return reply(table.many(self._row, gone, Form(), {"resourceVersion": str(self._verbs.store.version)}))
        outcome = self._verbs.delete(self._row, self._target.namespace, self._target.name, options)
        if outcome.gone and not self._row.answers_deleted_object:
            return reply(_dump(errors.deleted(self._row, self._target.name, outcome.entry.obj["metadata"]["uid"])))
        return reply(table.one(self._row, outcome.entry, self._form))

    def _wrote(self, outcome: Outcome) -> web.StreamResponse:
        answer = reply(table.one(self._row, outcome.entry, self._form), status=201 if outcome.created else 200)
        return _warned(answer, outcome.warnings)

    # --- doors

    async def _through_door(self) -> web.StreamResponse:
        name, method = self._target.subresource, self._request.method
        place = (self._target.namespace, self._target.name)
        if name == "exec" and method in ("GET", "POST"):
            return await self._exec(place)
        if name == "proxy" and method in proxy.METHODS:
            return await proxy.carry(self._request, self._verbs, self._row, *place, through=self._through)
        if name == "portforward" and method in ("GET", "POST"):
            return await self._forward(place)
        if name == "log" and method == "GET":
            follow = self._flag("follow")
            chunks = await log.begun(log.open_log(self._verbs, self._door, *place, self._query), follow=follow)
            return await stream(self._request, chunks, content_type="text/plain")
        if name == "scale":
            return await self._scale(place)
        body = await self._body(optional=True)
        if name == "binding" and method == "POST":
            binding.bind(self._verbs, *place, body)
            return reply(_success(), status=201)
        if name == "eviction" and method == "POST":
            if (body.get("metadata") or {}).get("name", place[1]) not in ("", place[1]):
                raise errors.bad_request("name in URL does not match name in Eviction object")
            told = asked.delete_options(body.get("deleteOptions") or {}, {}, dry=self._dry)
            return reply(_dump(eviction.evict(self._verbs, *place, told)), status=201)
        if name == "token" and method == "POST":
            return reply(_dump(token.issue(self._verbs, *place, body)), status=201)
        if name == "finalize" and method == "PUT":
            return reply(_dump(finalize(self._verbs, self._row, self._target.name, body)))
        raise errors.method_not_allowed()

    async def _exec(self, place: tuple[str, str]) -> web.StreamResponse:
        container = log.chosen(self._verbs, *place, self._query.get("container", ""))
        wish = channels.wanted(self._request)
        if not wish.command:
            raise errors.bad_request("you must specify at least 1 command for the container")
        if not channels.speaks(self._request):
            raise ApiError(400, "BadRequest", _NO_SPDY.format("exec", *channels.PROTOCOLS))
        return await channels.carry(self._request, await self._door.execute(*place, container, wanted=wish))

    async def _forward(self, place: tuple[str, str]) -> web.StreamResponse:
        if not read(self._verbs.get(self._row, *place).obj, "spec.nodeName"):
            raise errors.bad_request(f"pod {place[1]} does not have a host assigned")
        if not forwarding.speaks(self._request):
            raise ApiError(400, "BadRequest", _NO_SPDY.format("port-forward", forwarding.TUNNEL, forwarding.CHANNELS))
        return await forwarding.carry(self._request, functools.partial(self._door.dial, *place))

    async def _scale(self, place: tuple[str, str]) -> web.StreamResponse:
        method = self._request.method
        if method == "GET":
            return reply(_dump(scale.view(self._verbs.get(self._row, *place))))
        if method == "PUT":
            return reply(_dump(scale.replace(self._verbs, self._row, *place, await self._body(), self._options())))
        if method == "PATCH":
            form, body = await self._patch_body()
            return reply(_dump(scale.patch(self._verbs, self._row, *place, body, form, self._options())))
        raise errors.method_not_allowed()

    # --- what the client sent

    def _flag(self, name: str) -> bool:
        return self._query.get(name, "").lower() in ("true", "1")

    def _scope(self) -> Scope:
        query = self._query
        return scope(
            self._row, namespace=self._target.namespace, labels=query.get("labelSelector", ""), fields=query.get("fieldSelector", "")
        )

    def _options(self) -> WriteOptions:
        return WriteOptions(
            dry_run="All" in self._dry,
            validation=self._query.get("fieldValidation", "") or "Warn",
            manager=self._query.get("fieldManager", "") or _program(self._request.headers.get("User-Agent", "")),
            force=self._flag("force"),
            door="scale" if self._target.subresource == "scale" else "",
        )

    async def _body(self, *, optional: bool = False) -> Object:
        raw = await self._request.read()
        if not raw and optional:
            return {}
        kind = self._request.headers.get("Content-Type", JSON).partition(";")[0].strip()
        if kind not in BODIES:
            raise errors.unsupported_media_type(_FORMATS.format(", ".join(BODIES[:3])))
        body = _parse_protobuf(raw) if raw.startswith(protobuf.MAGIC) else _parse(raw, is_yaml="yaml" in kind)
        if not isinstance(body, dict):
            said = _GO_KINDS.get(type(body), "number")
            raise errors.bad_request(_NO_OBJECT.format(self._row.kind, said, _GO_HEAD, raw.hex()))
        return body

    async def _patch_body(self) -> tuple[PatchForm, Any]:
        kind = self._request.headers.get("Content-Type", "").partition(";")[0].strip()
        form = PATCHES.get(kind)
        if form is None:
            raise errors.unsupported_media_type(errors.STRANGE_PATCH)
        return form, _parse(await self._request.read(), is_yaml="yaml" in kind)


def _parse(raw: bytes, *, is_yaml: bool) -> Any:
    try:
        return yaml.safe_load(raw) if is_yaml else json.loads(raw)
    except (ValueError, yaml.YAMLError) as error:
        raise errors.bad_request(f"error decoding the body: {error}") from error


def _parse_protobuf(raw: bytes) -> Object:
    try:
        return protobuf.decode(raw)
    except (protobuf.UnreadableError, UnicodeDecodeError) as error:
        raise errors.bad_request(str(error)) from error


def _program(agent: str) -> str:
    """Who a client is that does not say who owns what it writes: its name before the version, at most 128 characters."""
    return "".join(char for char in agent.partition("/")[0] if char.isprintable())[:128] or "unknown"


def _success() -> bytes:
    return _dump({"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success", "code": 201})


def _dump(value: Object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def reply(body: bytes, *, status: int = 200, content_type: str = JSON) -> web.Response:
    """The whole answer in one write."""
    return web.Response(body=body, status=status, headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})


def refuse(error: ApiError) -> web.Response:
    return _warned(reply(_dump(errors.status_of(error)), status=error.code), error.warnings)


def _warned(answer: web.Response, warnings: tuple[str, ...]) -> web.Response:
    for warning in warnings:
        answer.headers.add("Warning", f"299 - {json.dumps(warning)}")
    return answer


async def stream(request: web.BaseRequest, chunks: AsyncIterator[bytes], *, content_type: str) -> web.StreamResponse:
    """Headers at once, then a flush a chunk. A client that goes away is no error."""
    answer = web.StreamResponse(headers={"Content-Type": content_type, "Cache-Control": "no-cache, private"})
    answer.enable_chunked_encoding()
    await answer.prepare(request)
    try:
        async for chunk in chunks:
            await answer.write(chunk)
        await answer.write_eof()
    except ConnectionError:
        pass  # the client has gone: that is how watches end
    finally:
        if hasattr(chunks, "aclose"):
            await chunks.aclose()
    return answer
