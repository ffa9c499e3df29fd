"""What a rule of a role allows; pure.

Source: kubernetes v1.34, pkg/apis/rbac/v1/evaluation_helpers.go and component-helpers/auth/rbac/validation.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from gke_notebook.sandbox.apiserver.status import quote

Rule = dict[str, Any]
_PARTS = (
    ("APIGroups", "apiGroups"),
    ("Resources", "resources"),
    ("NonResourceURLs", "nonResourceURLs"),
    ("ResourceNames", "resourceNames"),
    ("Verbs", "verbs"),
)


@dataclass(frozen=True)
class Attributes:
    """What somebody wants to do.

    Args:
        verb: for example ``create``; the method in lower case for a path.
        group: the API group.
        resource: the plural, for example ``pods``.
        subresource: for example ``log``.
        namespace: where; empty for the whole cluster.
        name: of one object.
        path: an address that is no resource; the other parts are empty then.
    """

    verb: str
    group: str = ""
    resource: str = ""
    subresource: str = ""
    namespace: str = ""
    name: str = ""
    path: str = ""

    @property
    def full_resource(self) -> str:
        """The resource with its subresource."""
        return f"{self.resource}/{self.subresource}" if self.subresource else self.resource


def allows(rule: Rule, asked: Attributes) -> bool:
    """Tell whether a rule allows something.

    Args:
        rule: a PolicyRule.
        asked: what is wanted.

    Example:
        >>> allows({"verbs": ["get"], "apiGroups": [""], "resources": ["pods/*"]}, Attributes("get", "", "pods", "log"))
        False
    """
    if not {"*", asked.verb} & set(rule.get("verbs") or ()):
        return False
    if asked.path:
        return any(_path_matches(url, asked.path) for url in rule.get("nonResourceURLs") or ())
    if not {"*", asked.group} & set(rule.get("apiGroups") or ()):
        return False
    wanted = {"*", asked.full_resource} | ({f"*/{asked.subresource}"} if asked.subresource else set())
    names = rule.get("resourceNames")
    return bool(wanted & set(rule.get("resources") or ())) and (not names or asked.name in names)


def _path_matches(url: str, path: str) -> bool:
    return url in {"*", path} or (url.endswith("*") and path.startswith(url.rstrip("*")))


def missing(owned: Iterable[Rule], wanted: Iterable[Rule]) -> list[str]:
    """Say which of some rights are not held, as the server describes them.

    Args:
        owned: the rules that somebody has.
        wanted: the rules that they want to give away.

    Example:
        >>> missing([], [{"verbs": ["get", "list"], "apiGroups": [""], "resources": ["pods"]}])
        ['{APIGroups:[""], Resources:["pods"], Verbs:["get" "list"]}']
    """
    held = list(owned)
    left: dict[tuple[str, ...], Rule] = {}
    for rule in wanted:
        for part in _atoms(rule):
            if any(_covers(each, part) for each in held):
                continue
            verb = part["verbs"][0]
            key = tuple(part.get(name, [""])[0] for name in ("apiGroups", "resources", "resourceNames"))
            if "nonResourceURLs" in part:
                key = ("url", part["nonResourceURLs"][0], verb, str(len(left)))
            if key in left:
                left[key]["verbs"].append(verb)
            else:
                left[key] = part
    return sorted({_shown(each) for each in left.values()})


def _atoms(rule: Rule) -> Iterator[Rule]:
    for group in rule.get("apiGroups") or ():
        for resource in rule.get("resources") or ():
            for verb in rule.get("verbs") or ():
                plain = {"apiGroups": [group], "resources": [resource], "verbs": [verb]}
                names = rule.get("resourceNames")
                yield from (
                    ({**plain, "resourceNames": [name], "verbs": [verb]} for name in names) if names else (plain,)
                )
    for url in rule.get("nonResourceURLs") or ():
        for verb in rule.get("verbs") or ():
            yield {"nonResourceURLs": [url], "verbs": [verb]}


def _covers(owner: Rule, part: Rule) -> bool:
    for name in ("verbs", "apiGroups"):
        have = set(owner.get(name) or ())
        if "*" not in have and not set(part.get(name) or ()) <= have:
            return False
    have = set(owner.get("resources") or ())
    for resource in part.get("resources") or ():
        _, slash, subresource = resource.partition("/")
        if not {"*", resource} & have and not (slash and f"*/{subresource}" in have):
            return False
    names = set(owner.get("resourceNames") or ())
    if names and not (part.get("resourceNames") and set(part["resourceNames"]) <= names):
        return False
    urls = owner.get("nonResourceURLs") or ()
    return all(
        any(url == wanted or (url.endswith("*") and wanted.startswith(url.rstrip("*"))) for url in urls)
        for wanted in part.get("nonResourceURLs") or ()
    )


def _shown(rule: Rule) -> str:
    parts = [f"{word}:[{' '.join(map(quote, rule[key]))}]" for word, key in _PARTS if rule.get(key)]
    return "{" + ", ".join(parts) + "}"
