"""The functions that Kubernetes adds for addresses and versions.

Source: k8s.io/apiserver v0.34 (`pkg/cel/library`).
"""

from __future__ import annotations

import ipaddress
import re
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .declarations import Functions, succeeds
from .values import CelError, Ip, Semver, Url

_TRAVERSAL = 0.1
_NO_CIDR = "network address parse error during conversion from string"


def declare(table: Functions) -> None:
    """Add these functions to a table.

    Args:
        table: the table.
    """
    _addresses(table)
    _versions(table)


def _url(text: str) -> Url:
    wrong = f'URL parse error during conversion from string: parse "{text}": '
    if any(ord(char) < 32 or ord(char) == 127 for char in text):
        raise CelError(f"{wrong}net/url: invalid control character in URL")
    try:
        parts = urlsplit(text)
        port = "" if parts.port is None else str(parts.port)
    except ValueError as error:
        raise CelError(f"{wrong}{error}") from error
    if not parts.scheme and not text.startswith("/"):
        raise CelError(f"{wrong}invalid URI for request")
    host = parts.netloc.rpartition("@")[2]
    name = host.removesuffix(f":{port}") if port else host
    return Url(parts.scheme, host, name.strip("[]"), port, parts.path, parts.query, text)


def _addresses(table: Functions) -> None:
    add, url = table.add, "kubernetes.URL"
    add("url", "string", url, _url, _TRAVERSAL)
    add("isURL", "string", "bool", lambda text: succeeds(_url, text), _TRAVERSAL)
    add(".getScheme", url, "string", lambda value: value.scheme)
    add(".getHost", url, "string", lambda value: value.host)
    add(".getHostname", url, "string", lambda value: value.hostname)
    add(".getPort", url, "string", lambda value: value.port)
    add(".getEscapedPath", url, "string", lambda value: value.path)
    add(".getQuery", url, "map(string, list(string))", lambda value: parse_qs(value.query, keep_blank_values=True))
    add("ip", "string", "net.IP", _ip, _TRAVERSAL)
    add("isIP", "string", "bool", lambda text: succeeds(_ip, text), _TRAVERSAL)
    add("ip.isCanonical", "string", "bool", lambda text: str(_ip(text)) == text, 0.2)
    add(".family", "net.IP", "int", lambda value: value.version)
    add(".isUnspecified", "net.IP", "bool", lambda value: value.is_unspecified)
    add(".isLoopback", "net.IP", "bool", lambda value: value.is_loopback)
    add(".isLinkLocalMulticast", "net.IP", "bool", _is_local_multicast)
    add(".isLinkLocalUnicast", "net.IP", "bool", lambda value: value.is_link_local)
    add(".isGlobalUnicast", "net.IP", "bool", _is_global)
    add("string", "net.IP", "string", str)
    add("cidr", "string", "net.CIDR", _cidr, _TRAVERSAL)
    add("isCIDR", "string", "bool", lambda text: succeeds(_cidr, text), _TRAVERSAL)
    add(".containsIP", "net.CIDR, string", "bool", lambda net, text: _ip(text) in _network(net))
    add(".containsIP", "net.CIDR, net.IP", "bool", lambda net, value: value in _network(net))
    add(".containsCIDR", "net.CIDR, string", "bool", lambda net, text: _within(_cidr(text), net))
    add(".containsCIDR", "net.CIDR, net.CIDR", "bool", lambda net, other: _within(other, net))
    add(".ip", "net.CIDR", "net.IP", lambda net: net.ip)
    add(".prefixLength", "net.CIDR", "int", lambda net: net.network.prefixlen)
    add(".masked", "net.CIDR", "net.CIDR", lambda net: ipaddress.ip_interface(str(net.network)))
    add("string", "net.CIDR", "string", str)


def _ip(text: str) -> Any:
    try:
        found = ipaddress.ip_address(text)
    except ValueError as error:
        why = "unable to parse IP"
        raise CelError(
            f'IP Address "{text}" parse error during conversion from string: ParseAddr("{text}"): {why}'
        ) from error
    if getattr(found, "scope_id", None):
        raise CelError(f'IP address "{text}" with zone value is not allowed')
    if isinstance(found, Ip[1]) and found.ipv4_mapped:
        raise CelError(f'IPv4-mapped IPv6 address "{text}" is not allowed')
    return found


def _cidr(text: str) -> Any:
    try:
        if "/" not in text:
            raise ValueError("no '/'")
        found = ipaddress.ip_interface(text)
    except ValueError as error:
        why = f'netip.ParsePrefix("{text}"): {error}'
        raise CelError(f"{_NO_CIDR}: {_NO_CIDR}: {why}") from error  # the server says it twice
    return found


def _network(net: Any) -> Any:
    return net.network


def _within(inner: Any, outer: Any) -> bool:
    one, other = inner.network, outer.network
    return one.version == other.version and bool(one.subnet_of(other))


def _is_local_multicast(value: Any) -> bool:
    net = ipaddress.ip_network("224.0.0.0/24" if value.version == 4 else "ff02::/16")
    return value in net


def _is_global(value: Any) -> bool:
    broadcast = value.version == 4 and int(value) == 0xFFFFFFFF
    return not (broadcast or value.is_unspecified or value.is_loopback or value.is_multicast or value.is_link_local)


_SEMVER = re.compile(
    r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)(?:-((?:0|[1-9]\d*|\d*[a-zA-Z-][\da-zA-Z-]*)(?:\.(?:0|[1-9]\d*|"
    r"\d*[a-zA-Z-][\da-zA-Z-]*))*))?(?:\+[\da-zA-Z-]+(?:\.[\da-zA-Z-]+)*)?",
    re.ASCII,
)


def _semver(text: str, normalize: bool = False) -> Semver:
    if normalize:
        text = text.strip().removeprefix("v")
        main, sign, rest = re.match(r"([^-+]*)([-+]?)(.*)", text, re.DOTALL).groups()  # type: ignore[union-attr] # it always matches
        parts = [part.lstrip("0") or "0" for part in main.split(".")]
        text = ".".join([*parts, "0", "0"][: max(3, len(parts))]) + sign + rest
    match = _SEMVER.fullmatch(text)
    if match is None:
        raise CelError("No Major.Minor.Patch elements found")
    numbers = int(match[1]), int(match[2]), int(match[3])
    before: tuple[Any, ...] = (1,)
    if match[4] is not None:
        parts = match[4].split(".")
        before = (0, tuple((0, int(part), "") if part.isdigit() else (1, 0, part) for part in parts))
    return Semver((*numbers, before), numbers)


def _versions(table: Functions) -> None:
    add, two = table.add, "kubernetes.Semver, kubernetes.Semver"
    add("semver", "string", "kubernetes.Semver", _semver, _TRAVERSAL)
    add("semver", "string, bool", "kubernetes.Semver", _semver, _TRAVERSAL)
    add("isSemver", "string", "bool", lambda text: succeeds(_semver, text), _TRAVERSAL)
    add("isSemver", "string, bool", "bool", lambda text, how: succeeds(lambda one: _semver(one, how), text), _TRAVERSAL)
    add(".isGreaterThan", two, "bool", lambda a, b: a > b)
    add(".isLessThan", two, "bool", lambda a, b: a < b)
    add(".compareTo", two, "int", lambda a, b: (a > b) - (a < b))
    for at, name in enumerate(("major", "minor", "patch")):
        add(f".{name}", "kubernetes.Semver", "int", lambda value, at=at: value.numbers[at])
