"""From an HTTP request on a resource to its verb and back."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import msgspec
from aiohttp import web

from . import auth, deletes, options, reads, respond, status, strategy, subresources, writes
from .admission_plugins import service_accounts
from .auth import User
from .authorization import escalation
from .authorization.requests import is_set
from .authorization.resolver import Authorizer
from .authorization.reviews import review
from .authorization.rules import Attributes
from .authorization.tokens import Tokens
from .cel import policies, status_controller
from .crd.definition_rules import DEFINITIONS
from .crd.definitions import Definitions
from .decode import decode_applied, decode_body, decode_delete_options, duplicate_fields, media_type
from .kinds import BINDING, DELETE_OPTIONS, EVICTION, KINDS, TOKEN_REQUEST, Kind
from .logs import LogProxy, locate
from .negotiate import Form, negotiate
from .patches import APPLY_PATCH, apply_patch, describe
from .paths import Target, parse
from .schema import type_of
from .status import StatusError
from .store import Store
from .validation import check_unknown_fields
from .validation.fields import FieldTypeError, normalize
from .watches import Watch

Object = dict[str, Any]

_OBJECT_VERBS = {"GET": "get", "PUT": "update", "PATCH": "patch", "DELETE": "delete"}
_COLLECTION_VERBS = {"GET": "list", "POST": "create", "DELETE": "deletecollection"}


class Resources:
    """The resource half of the server.

    Args:
        store: the state.
        logs: reads logs from kubelets.
        stopping: set when the server is to end.
        definitions: the kinds that custom resource definitions have brought.
        authorizer: decides who may do what.
        tokens: makes the tokens of service accounts.
        controllers: whether controllers run, so that every namespace comes to have its service account.
    """

    def __init__(
        self, store: Store, logs: LogProxy, stopping: asyncio.Event, definitions: Definitions,
        *, authorizer: Authorizer, tokens: Tokens, controllers: bool = True,
    ) -> None:  # fmt: skip
        self._authorizer = authorizer
        self._controllers = controllers
        self._tokens = tokens
        self._definitions = definitions
        self._policies = policies.Policies(store, lambda: (*KINDS, *definitions.kinds()))
        self._store = store
        self._logs = logs
        self._stopping = stopping

    async def answer(self, request: web.Request, raw_path: str, user: User) -> web.StreamResponse | None:
        """Answer a request.

        Args:
            request: the request.
            raw_path: its path.
            user: who asks.

        Returns:
            The answer; None when the path is about no resource.

        Raises:
            StatusError: as the server says it.
        """
        target = parse(raw_path, self._definitions.kinds())
        if target is None:
            return None
        deprecated = strategy.deprecation(target.kind)
        try:
            response = await self._answer(request, target, user)
        except StatusError as error:
            error.warnings[:0] = deprecated
            raise
        if deprecated and not response.prepared:
            respond.warn(response, deprecated)
        return response

    async def _answer(self, request: web.Request, target: Target, user: User) -> web.StreamResponse:
        verb = _verb(request.method, target)
        if verb == "list" and (target.watch or is_set(request.query, "watch")):
            verb = "watch"
        if not _offered(target, verb):
            raise status.method_not_allowed()
        if target.kind is policies.POLICIES and verb in {"create", "update", "patch"}:
            response = await self._do(request, target, verb, user)
            status_controller.settle(self._store)
            return response
        if target.kind.rules is None:
            return await self._do(request, target, verb, user)
        try:
            return await self._do(request, target, verb, user)
        finally:
            if verb not in {"get", "list", "watch"}:
                self._definitions.settle()

    async def _do(self, request: web.Request, target: Target, verb: str, user: User) -> web.StreamResponse:
        if target.subresource == "log":
            return await self._logs.stream(request, locate(self._store, target, request.query))
        match verb:
            case "get":
                return self._get(request, target)
            case "list":
                return self._list(request, target)
            case "watch":
                return await self._watch(request, target)
            case "create":
                return await self._create(request, target, user)
            case "update":
                return await self._update(request, target, user)
            case "patch":
                return await self._patch(request, target, user)
            case "delete":
                return await self._delete(request, target, user)
            case _:
                return await self._delete_collection(request, target, user)

    def _get(self, request: web.Request, target: Target) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        if is_set(request.query, "export"):
            raise status.bad_request("the export parameter, deprecated since v1.14, is no longer supported")
        if request.query.get("resourceVersion"):
            asked = options.list_options({"resourceVersion": request.query["resourceVersion"]}, single=True)
            if int(asked.version) > self._store.revision:
                raise reads.too_large(int(asked.version), self._store.revision)
        entry = reads.get(self._store, target)
        return _object(request, target.kind, entry.body, form)

    def _list(self, request: web.Request, target: Target) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""), collection=True)
        page = reads.page(self._store, target, options.list_options(request.query))
        body = reads.render_list(target.kind, page, form, request.query.get("includeObject", ""))
        return respond.answer(body, media_type=form.media_type)

    async def _watch(self, request: web.Request, target: Target) -> web.StreamResponse:
        form = negotiate(request.headers.get("Accept", ""), stream=True, collection=True)
        asked = options.list_options({**request.query, "watch": "1"})
        transport = request.transport

        def alive() -> bool:
            return transport is not None and not transport.is_closing()

        included = request.query.get("includeObject", "")
        watch = Watch(self._store, target, asked, form=form, include_object=included, alive=alive)
        headers = {"Content-Type": form.media_type, "Cache-Control": "no-cache, private"}
        response = web.StreamResponse(headers=headers)
        respond.warn(response, strategy.deprecation(target.kind))
        response.enable_chunked_encoding()
        await response.prepare(request)
        try:
            async for chunk in watch.chunks(self._stopping):
                await response.write(chunk)
            await response.write_eof()
        except ConnectionResetError:
            response.force_close()  # the client has gone, which is how most watches end
        return response

    async def _create(self, request: web.Request, target: Target, user: User) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        how = self._write_options(request, "CreateOptions", target, user)
        kind = {"binding": BINDING, "eviction": EVICTION, "token": TOKEN_REQUEST}.get(target.subresource, target.kind)
        obj, duplicates = await _body(request, kind)
        if kind.rules is not None:
            self._definitions.check_open(kind, str((obj.get("metadata") or {}).get("name", "")))
        if kind is TOKEN_REQUEST:
            warnings = check_unknown_fields(kind, obj, how.validation, duplicates)
            body = msgspec.json.encode(self._tokens.create(target, obj, dry_run=how.dry_run))
            return respond.answer(body, 201, media_type=form.media_type, warnings=warnings)
        if target.subresource:
            check_unknown_fields(kind, obj, how.validation, duplicates)
            act = subresources.bind if target.subresource == "binding" else subresources.evict
            act(self._store, target, obj, how)
            return respond.success(code=201)
        if not kind.stored:
            warnings = check_unknown_fields(kind, obj, how.validation, duplicates)
            where = target.namespace
            body = msgspec.json.encode(review(self._authorizer, kind, obj, user, manager=how.manager, namespace=where))
            return respond.answer(body, 201, media_type=form.media_type, warnings=warnings)
        await self._settle(target, obj)
        return _written(request, kind, writes.create(self._store, target, obj, how, duplicates), form)

    async def _settle(self, target: Target, obj: Object) -> None:
        if self._controllers:
            await service_accounts.await_default(self._store, target.kind, target.namespace, obj)

    async def _update(self, request: web.Request, target: Target, user: User) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        how = self._write_options(request, "UpdateOptions", target, user)
        creates = not target.subresource and target.kind.kind in strategy.CREATE_ON_UPDATE
        if creates and self._store.get(target.kind, target.namespace, target.name) is None:
            asked = Attributes("create", target.kind.group, target.kind.plural, "", target.namespace, target.name)
            auth.check(self._authorizer, user, asked)
        obj, duplicates = await _body(request, target.kind)
        return _written(request, target.kind, writes.update(self._store, target, obj, how, duplicates), form)

    async def _patch(self, request: web.Request, target: Target, user: User) -> web.Response:
        try:
            return await self._try_patch(request, target, user)
        except StatusError as error:
            if error.code < 500:
                raise
            # The real server answers 500 where its patch code trips over a malformed patch. The text is the same here,
            # but a client's mistake is called one, so that no client tries again.
            raise StatusError(400, "BadRequest", error.message, error.details) from error

    async def _try_patch(self, request: web.Request, target: Target, user: User) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        how = self._write_options(request, "PatchOptions", target, user)
        body = await request.read()
        content_type = request.headers.get("Content-Type", "")
        if media_type(content_type) == APPLY_PATCH:
            if not request.query.get("fieldManager"):
                error = status.required("fieldManager", "is required for apply patch")
                raise _invalid_options(error)
            duplicates: list[str] = []
            obj = decode_applied(body, target.kind, duplicates)
            if self._store.get(target.kind, target.namespace, target.name) is None:
                await self._settle(target, obj)
            return _written(request, target.kind, writes.apply(self._store, target, obj, how, duplicates), form)
        if "force" in request.query:
            raise _invalid_options(status.field_forbidden("force", "may not be specified for non-apply patch"))

        twice = duplicate_fields(body) if how.validation != "Ignore" else []

        def change(live: Object) -> tuple[Object, list[str]]:
            new = apply_patch(target.kind, live, body, content_type)
            said = describe(content_type, body, new)
            return new, check_unknown_fields(target.kind, new, how.validation, twice, patch=said)

        return _written(request, target.kind, writes.patch(self._store, target, change, how), form)

    async def _delete(self, request: web.Request, target: Target, user: User) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        how, said = self._asking(await _delete_options(request), target, user)
        entry = self._store.get(target.kind, target.namespace, target.name)
        warnings = deletes.warnings(target.kind, how)
        if target.kind is DEFINITIONS:
            self._definitions.begin_delete(target, how)
            how = replace(how, grace=None, uid="", version="")
        try:
            done = deletes.delete(self._store, target, how)
        except StatusError as error:
            error.warnings += warnings
            raise
        warnings = said + warnings
        code = 202 if not done.gone and how.orphan is False else 200
        if done.body is not None:
            return _object(request, target.kind, done.body, form, code=code, warnings=warnings)
        kind = target.kind
        details = {"name": target.name, "group": kind.group, "kind": kind.plural}
        if entry is not None:
            details["uid"] = entry.object()["metadata"]["uid"]
        return respond.success({key: value for key, value in details.items() if value}, code, warnings, form.media_type)

    async def _delete_collection(self, request: web.Request, target: Target, user: User) -> web.Response:
        form = negotiate(request.headers.get("Accept", ""))
        how, said = self._asking(await _delete_options(request), target, user)
        page = reads.page(self._store, target, options.list_options(request.query))
        if target.kind is DEFINITIONS:
            for entry in page.entries:
                self._definitions.begin_delete(Target(DEFINITIONS, "", entry.name), how)
        deletes.delete_collection(self._store, target, page.entries, how)
        body = reads.render_list(target.kind, page, form, request.query.get("includeObject", ""))
        return respond.answer(body, media_type=form.media_type, warnings=said + deletes.warnings(target.kind, how))

    def _write_options(self, request: web.Request, word: str, target: Target, user: User) -> options.WriteOptions:
        kind = target.kind
        how = options.write_options(request.query, request.headers.get("User-Agent", ""), word)
        if self._policies.any():
            how = replace(how, policies=policies.on_write(self._policies, target, user, how))
        how = replace(how, account_required=self._controllers)
        if not escalation.applies(kind, user):
            return how

        def guard(new: Object, old: Object | None) -> None:
            escalation.check(self._authorizer, kind, user, new, old)

        return replace(how, guard=guard)

    def _asking(
        self, how: options.DeleteOptions, target: Target, user: User
    ) -> tuple[options.DeleteOptions, list[str]]:
        """Let the policies be asked about each object that is deleted; gives the list their warnings will be in."""
        said: list[str] = []
        if not self._policies.any():
            return how, said
        return replace(how, policies=policies.on_delete(self._policies, target, user, how, said)), said


def _verb(method: str, target: Target) -> str:
    if target.subresource:
        return {**_OBJECT_VERBS, "POST": "create"}.get(method, "")
    if target.name:
        return "list" if target.watch and method == "GET" else _OBJECT_VERBS.get(method, "")
    if method in {"POST", "DELETE"} and target.kind.namespaced and not target.namespace and target.kind.stored:
        return ""  # an object needs a namespace to be created in, and one request empties no more than one
    return _COLLECTION_VERBS.get(method, "")


def _offered(target: Target, verb: str) -> bool:
    if target.subresource:
        found = target.kind.subresource(target.subresource)
        return found is not None and verb in found.verbs
    return verb in target.kind.verbs


def _object(
    request: web.Request, kind: Kind, body: bytes, form: Form, *, code: int = 200, warnings: Sequence[str] = ()
) -> web.Response:
    if form.shape:
        body = reads.render_object(kind, body, form, request.query.get("includeObject", ""))
    return respond.answer(body, code, media_type=form.media_type, warnings=warnings)


def _written(request: web.Request, kind: Kind, done: writes.Written, form: Form) -> web.Response:
    return _object(request, kind, done.body, form, code=done.code, warnings=done.warnings)


async def _body(request: web.Request, kind: Kind) -> tuple[Object, list[str]]:
    duplicates: list[str] = []
    raw = await request.read()
    return decode_body(raw, request.headers.get("Content-Type", ""), kind, duplicates), duplicates


async def _delete_options(request: web.Request) -> options.DeleteOptions:
    raw = await request.read()
    if not raw:
        return options.delete_options(None, request.query)
    body = decode_delete_options(raw, request.headers.get("Content-Type", ""))
    try:
        normalize(type_of(DELETE_OPTIONS), body)
    except FieldTypeError as error:
        raise status.bad_request(str(error)) from error
    return options.delete_options(body, request.query)


def _invalid_options(error: status.FieldError) -> StatusError:
    details = {"group": "meta.k8s.io", "kind": "PatchOptions", "causes": [error.cause()]}
    return StatusError(422, "Invalid", f'PatchOptions.meta.k8s.io "" is invalid: {error}', details)
