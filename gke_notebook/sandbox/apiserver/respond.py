"""HTTP answers: JSON or YAML bodies, Status errors, warnings."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import msgspec
from aiohttp import web

from .negotiate import JSON, YAML, Form, negotiate
from .status import StatusError

_NO_CACHE = "no-cache, private"


def answer(body: bytes, code: int = 200, *, media_type: str = JSON, warnings: Iterable[str] = ()) -> web.Response:
    """Answer with an object that is JSON already.

    Args:
        body: the JSON.
        code: the HTTP status code.
        media_type: what the client is given; YAML is made out of the JSON.
        warnings: texts for `Warning` headers.
    """
    if media_type == YAML:
        body = to_yaml(body)
    response = web.Response(body=body, status=code, headers={"Content-Type": media_type, "Cache-Control": _NO_CACHE})
    warn(response, warnings)
    return response


def warn(response: web.StreamResponse, warnings: Iterable[str]) -> None:
    """Add `Warning` headers before those that are there.

    Args:
        response: the answer, not sent yet.
        warnings: the texts.
    """
    said = response.headers.popall("Warning", [])
    for text in dict.fromkeys(warnings):
        response.headers.add("Warning", f'299 - "{_quoted(text)}"')
    response.headers.extend(("Warning", text) for text in said)


def document(obj: Any, code: int = 200, *, media_type: str = JSON) -> web.Response:
    """Answer with an object.

    Args:
        obj: plain data.
        code: the HTTP status code.
        media_type: the `Content-Type`; YAML is written when it says so.
    """
    try:
        body = msgspec.json.encode(obj)
    except UnicodeEncodeError:
        # An error quotes what the client sent, which need not be text.
        body = json.dumps(obj, ensure_ascii=False).encode(errors="replace")
    return answer(body, code, media_type=media_type)


def failure(error: StatusError, accept: str = "") -> web.Response:
    """Answer with a Status of failure.

    Args:
        error: what is wrong.
        accept: the request's `Accept` header.
    """
    try:
        form = negotiate(accept, shapes=False)
    except StatusError:
        form = Form()
    response = document(error.to_object(), error.code, media_type=form.media_type)
    warn(response, error.warnings)
    if error.retry_after:
        response.headers["Retry-After"] = str(error.retry_after)
    return response


def success(
    details: dict[str, Any] | None = None, code: int = 200, warnings: Iterable[str] = (), media_type: str = JSON
) -> web.Response:
    """Answer with a Status of success.

    Args:
        details: what it is about.
        code: the HTTP status code.
        warnings: texts for `Warning` headers.
        media_type: the `Content-Type`; YAML is written when it says so.
    """
    shown: dict[str, Any] = {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Success"}
    if details:
        shown["details"] = details
    elif code != 200:
        shown["code"] = code
    return answer(msgspec.json.encode(shown), code, media_type=media_type, warnings=warnings)


def text(content: str, code: int = 200) -> web.Response:
    """Answer with plain text.

    Args:
        content: the text.
        code: the HTTP status code.
    """
    headers = {"X-Content-Type-Options": "nosniff", "Cache-Control": _NO_CACHE}
    return web.Response(text=content, status=code, content_type="text/plain", charset="utf-8", headers=headers)


def to_yaml(body: bytes) -> bytes:
    """Turn JSON into YAML.

    Args:
        body: the JSON.
    """
    import yaml

    written: str = yaml.safe_dump(msgspec.json.decode(body), default_flow_style=False, allow_unicode=True)
    return written.encode()


def _quoted(content: str) -> str:
    printable = "".join(each if each.isprintable() else " " for each in content)
    return printable.replace("\\", "\\\\").replace('"', '\\"').encode("ascii", "backslashreplace").decode()
