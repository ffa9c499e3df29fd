"""Which form of answer a client accepts."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from . import status

JSON = "application/json"
YAML = "application/yaml"
_ACCEPTED = (JSON, YAML)
_AS = {"Table", "PartialObjectMetadata", "PartialObjectMetadataList"}


@dataclass(frozen=True)
class Form:
    """The form of an answer.

    Args:
        media_type: `application/json` or `application/yaml`.
        shape: empty for the object itself, ``Table``, or ``PartialObjectMetadata`` (for a list, a list of them).
    """

    media_type: str = JSON
    shape: str = ""

    @property
    def content_type(self) -> str:
        """The `Content-Type` of the answer."""
        return self.media_type


@lru_cache(maxsize=256)
def negotiate(
    accept: str, *, shapes: bool = True, stream: bool = False, routed: bool = True, collection: bool = False
) -> Form:
    """Choose the first form of an `Accept` header that this server can give.

    Args:
        accept: the header, possibly empty.
        shapes: whether tables and partial objects can be given here.
        stream: whether a watch is asked for, which is always JSON.
        routed: whether the real server's router sees the header first; it has words of its own.
        collection: whether a collection is read, which could be watched as well.

    Raises:
        StatusError: 406 when there is none.

    Example:
        >>> negotiate("application/json;as=Table;v=v1;g=meta.k8s.io,application/json").shape
        'Table'
    """
    if not accept.strip():
        return Form()
    served = False
    for clause in _by_quality(accept):
        type_, parameters = clause
        if type_ == "*/*":
            return Form()
        if type_ not in _ACCEPTED or (stream and type_ != JSON):
            continue
        served = True
        shape = parameters.get("as", "")
        if not shape:
            return Form(type_)
        known = shape in _AS and parameters.get("g") == "meta.k8s.io" and parameters.get("v") == "v1"
        if shapes and known:
            return Form(type_, "PartialObjectMetadata" if shape.startswith("Partial") else shape)
    offered = (*_ACCEPTED, f"{JSON};stream=watch") if collection else _ACCEPTED
    raise status.not_acceptable(offered if not served and routed else _ACCEPTED, served=served or not routed)


def _by_quality(accept: str) -> list[tuple[str, dict[str, str]]]:
    found = []
    for position, clause in enumerate(accept.split(",")):
        type_, *words = (word.strip() for word in clause.split(";"))
        parameters = dict(word.partition("=")[::2] for word in words)
        try:
            quality = float(parameters.pop("q", "1"))
        except ValueError:
            quality = 1.0
        found.append((-quality, position, type_.lower(), parameters))
    found.sort(key=lambda each: each[:2])
    return [(type_, parameters) for _, _, type_, parameters in found]
