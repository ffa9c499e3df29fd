"""Reading HTML as a browser would, to see that nothing foreign has become an element."""

from __future__ import annotations

from html.parser import HTMLParser

ALLOWED = {
    "b", "code", "dd", "details", "div", "dl", "dt", "i", "pre", "span", "strong", "style", "summary", "table", "tbody",
    "td", "th", "thead", "tr",
}  # fmt: skip
ATTRIBUTES = {"class", "open", "style", "title"}


class _Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.text: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in ALLOWED, tag
        assert {name for name, _ in attrs} <= ATTRIBUTES, attrs
        for name, value in attrs:
            assert name != "style" or (value or "").startswith("flex-grow:"), value
            if name == "title":
                self.text.append(f" {value} ")
        self.open.append(tag)
        self.text.append(" " if tag not in {"b", "code", "span", "strong"} else "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag
        self.text.append(" " if tag not in {"b", "code", "span", "strong"} else "")

    def handle_data(self, data: str) -> None:
        if self.open[-1] != "style":
            self.text.append(data)

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)


def text_of(html: str) -> str:
    """The text of HTML; fails when it holds an element or attribute that no view of ours uses."""
    reader = _Reader()
    reader.feed(html)
    reader.close()
    assert reader.open == []
    return " ".join("".join(reader.text).split())
