"""A view: the same content as plain text and as static HTML, for any front end and for the saved notebook."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from html import escape as _escape

from gke_notebook.widgets.style import STYLE


@dataclass(frozen=True)
class View:
    """What a cell shows.

    Args:
        text: the plain-text form.
        html: the static HTML form, self-contained and without scripts.
    """

    text: str
    html: str

    def __post_init__(self) -> None:
        object.__setattr__(self, "text", clean(self.text))

    def bundle(self) -> dict[str, str]:
        """Give the forms by MIME type."""
        return {"text/plain": self.text, "text/html": self.html}

    def _repr_mimebundle_(
        self, include: Iterable[str] | None = None, exclude: Iterable[str] | None = None
    ) -> dict[str, str]:
        wanted = None if include is None else set(include)
        unwanted = set(exclude or ())
        return {
            kind: form
            for kind, form in self.bundle().items()
            if kind not in unwanted and (wanted is None or kind in wanted)
        }

    def __str__(self) -> str:
        return self.text


class Markup(str):
    """HTML that is already escaped; every other string is escaped where it enters a tag."""

    __slots__ = ()


def clean(text: str) -> str:
    """Take the control characters (terminal colours and cursor moves among them) out of a text; tabs and newlines stay.

    Args:
        text: any text, for example a log line.
    """
    if text.isprintable():
        return text
    return "".join(c for c in _without_ansi(text) if c in "\n\t" or c.isprintable() or c == "\u200d")


def _without_ansi(text: str) -> str:
    import re

    # CSI and OSC sequences of ECMA-48: what terminals call colours, cursor moves and titles.
    return re.sub(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\-_])", "", text)


def escape(text: str) -> Markup:
    """Escape a text for HTML, as content or as a quoted attribute value.

    Args:
        text: any text.
    """
    return text if isinstance(text, Markup) else Markup(_escape(clean(text), quote=True))


def tag(name: str, *content: str, cls: str = "", **attributes: str) -> Markup:
    """Give an element; what is not `Markup` is escaped.

    Args:
        name: the element's name.
        content: its children.
        cls: its classes.
        attributes: its other attributes; a trailing underscore is dropped.

    Example:
        >>> tag("b", "1 < 2")
        '<b>1 &lt; 2</b>'
    """
    given = {"class": cls, **{key.rstrip("_"): value for key, value in attributes.items()}}
    inside = "".join(f' {key}="{escape(value)}"' for key, value in given.items() if value)
    return Markup(f"<{name}{inside}>{''.join(escape(part) for part in content)}</{name}>")


def card(*parts: str) -> str:
    """Give the whole HTML of a view.

    Args:
        parts: the elements in it.
    """
    body = "".join(part for part in parts if part)
    return f'<div class="gke-nb"><style>{STYLE}</style>{body}</div>'


def table(header: Iterable[str], rows: Iterable[Iterable[str]], *, cls: str = "gke-scroll") -> Markup:
    """Give an HTML table.

    Args:
        header: the column titles.
        rows: the cells of each row.
        cls: the class of what holds it: ``gke-scroll`` keeps it low, ``gke-tall`` shows every row.
    """
    head = tag("thead", tag("tr", *(tag("th", cell) for cell in header)))
    body = tag("tbody", *(tag("tr", *(tag("td", cell) for cell in row)) for row in rows))
    return tag("div", tag("table", head, body), cls=cls)


def text_table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Give a table as aligned plain text.

    Args:
        header: the column titles.
        rows: the cells of each row.
    """
    lines = [[clean(str(cell)).replace("\n", " ") for cell in row] for row in [list(header), *map(list, rows)]]
    widths = [max(len(line[column]) for line in lines) for column in range(len(lines[0]))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
    )


def indent(text: str, by: str = "  ") -> str:
    """Indent every line.

    Args:
        text: the lines.
        by: what to put before each.
    """
    return "\n".join(by + line if line else line for line in text.split("\n"))
