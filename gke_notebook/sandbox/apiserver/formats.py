"""The formats of names, labels and keys, and the texts that say what is wrong with one.

Source: k8s.io/apimachinery v0.34, `util/validation` (the patterns and texts are part of the API's behaviour).
"""

from __future__ import annotations

import ipaddress
import re

_QUALIFIED = "([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]"
_LABEL = "[a-z0-9]([-a-z0-9]*[a-z0-9])?"
_SUBDOMAIN = rf"{_LABEL}(\.{_LABEL})*"
_DNS1035 = "[a-z]([-a-z0-9]*[a-z0-9])?"
_CONFIG_KEY = "[-._a-zA-Z0-9]+"
_HEADER = "[-A-Za-z0-9]+"

_QUALIFIED_RE = re.compile(_QUALIFIED)
_LABEL_RE = re.compile(_LABEL)
_SUBDOMAIN_RE = re.compile(_SUBDOMAIN)
_DNS1035_RE = re.compile(_DNS1035)
_CONFIG_KEY_RE = re.compile(_CONFIG_KEY)
_HEADER_RE = re.compile(_HEADER)
_PORT_NAME_RE = re.compile(r"[-a-z0-9]+")

_QUALIFIED_TEXT = (
    "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character"
)
NEGATIVE = "must be greater than or equal to 0"
POSITIVE = "must be greater than 0"
IMMUTABLE = "field is immutable"


def longer_than(limit: int) -> str:
    """Say that a text is too long."""
    return f"must be no more than {limit} characters"


def between(low: int, high: int) -> str:
    """Say that a number is out of bounds."""
    return f"must be between {low} and {high}, inclusive"


def _pattern_text(text: str, pattern: str, *examples: str) -> str:
    shown = " or ".join(f"'{example}', " for example in examples)
    return f"{text} (e.g. {shown}regex used for validation is '{pattern}')"


def _parent_prefix(value: str) -> list[str]:
    if value in {".", ".."}:
        return [f"must not be '{value}'"]
    return ["must not start with '..'"] if value.startswith("..") else []


def qualified_name(value: str) -> list[str]:
    """Check a label or annotation key, or the name of a resource: ``example.com/MyName``.

    Args:
        value: the text.

    Returns:
        What is wrong with it, in the server's words; empty when nothing is. (The other functions here do the same.)
    """
    prefix, slash, name = value.rpartition("/")
    if "/" in prefix:
        text = _pattern_text(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc")
        return [f"a qualified name {text} with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')"]
    errors = []
    if slash:
        errors = [f"prefix part {text}" for text in (subdomain(prefix) if prefix else ["must be non-empty"])]
    if not name:
        errors.append("name part must be non-empty")
    elif len(name) > 63:
        errors.append("name part " + longer_than(63))
    if not _QUALIFIED_RE.fullmatch(name):
        errors.append("name part " + _pattern_text(_QUALIFIED_TEXT, _QUALIFIED, "MyName", "my.name", "123-abc"))
    return errors


def label_value(value: str) -> list[str]:
    """Check the value of a label."""
    errors = [longer_than(63)] if len(value) > 63 else []
    if value and not _QUALIFIED_RE.fullmatch(value):
        text = (
            "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(_pattern_text(text, f"({_QUALIFIED})?", "MyValue", "my_value", "12345"))
    return errors


def dns_label(value: str) -> list[str]:
    """Check an RFC 1123 label, for example a container's name."""
    errors = [longer_than(63)] if len(value) > 63 else []
    if not _LABEL_RE.fullmatch(value):
        if _SUBDOMAIN_RE.fullmatch(value):
            errors.append("must not contain dots")
        else:
            text = (
                "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', "
                "and must start and end with an alphanumeric character"
            )
            errors.append(_pattern_text(text, _LABEL, "my-name", "123-abc"))
    return errors


def subdomain(value: str) -> list[str]:
    """Check an RFC 1123 subdomain, for example a pod's name."""
    errors = [longer_than(253)] if len(value) > 253 else []
    if not _SUBDOMAIN_RE.fullmatch(value):
        text = (
            "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', "
            "and must start and end with an alphanumeric character"
        )
        errors.append(_pattern_text(text, _SUBDOMAIN, "example.com"))
    return errors


def dns1035_label(value: str) -> list[str]:
    """Check an RFC 1035 label, for example a service's name."""
    errors = [longer_than(63)] if len(value) > 63 else []
    if not _DNS1035_RE.fullmatch(value):
        text = (
            "a DNS-1035 label must consist of lower case alphanumeric characters or '-', "
            "start with an alphabetic character, and end with an alphanumeric character"
        )
        errors.append(_pattern_text(text, _DNS1035, "my-name", "abc-123"))
    return errors


def path_segment(value: str) -> list[str]:
    """Check a name that only has to fit into a path, for example an event's reporting instance."""
    errors = [f"may not be '{value}'"] if value in {".", ".."} else []
    return errors + [f"may not contain '{stray}'" for stray in ("/", "%") if stray in value]


def config_key(value: str) -> list[str]:
    """Check a key of a ConfigMap or Secret."""
    errors = [longer_than(253)] if len(value) > 253 else []
    if not _CONFIG_KEY_RE.fullmatch(value):
        text = "a valid config key must consist of alphanumeric characters, '-', '_' or '.'"
        errors.append(_pattern_text(text, _CONFIG_KEY, "key.name", "KEY_NAME", "key-name"))
    return errors + _parent_prefix(value)


def env_name(value: str) -> list[str]:
    """Check the name of an environment variable (relaxed since Kubernetes 1.34: printable ASCII without ``=``)."""
    errors = [] if value else ["environment variable name must be non-empty"]
    if any(not 0x20 <= ord(letter) < 0x7F or letter == "=" for letter in value):
        errors.append(
            "a valid environment variable name must consist only of printable ASCII characters other than '='"
        )
    return errors


def port_name(value: str) -> list[str]:
    """Check an IANA service name: the name of a container's port."""
    errors = [longer_than(15)] if len(value) > 15 else []
    if not _PORT_NAME_RE.fullmatch(value):
        errors.append("must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)")
    if not re.search("[a-z]", value):
        errors.append("must contain at least one letter (a-z)")
    if "--" in value:
        errors.append("must not contain consecutive hyphens")
    if value.startswith("-") or value.endswith("-"):
        errors.append("must not begin or end with a hyphen")
    return errors


def port_number(value: int) -> list[str]:
    """Check a port."""
    return [] if 1 <= value <= 65535 else [between(1, 65535)]


def header_name(value: str) -> list[str]:
    """Check the name of an HTTP header."""
    if _HEADER_RE.fullmatch(value):
        return []
    text = "a valid HTTP header must consist of alphanumeric characters or '-'"
    return [_pattern_text(text, _HEADER, "X-Header-Name")]


def ip_address(value: str) -> list[str]:
    """Check an IP address."""
    try:
        ipaddress.ip_address(value)
    except ValueError:
        return ["must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)"]
    return []
