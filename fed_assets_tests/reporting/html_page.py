"""A page of HTML, taken apart: its tags, and the words that a reader is shown or read aloud."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "img", "source", "br", "wbr"}
READ_ALOUD = ("alt", "aria-label", "title")


class HtmlPage(HTMLParser):
    """What a page holds, once all of its tags were closed.

    Attributes:
        tags: Each tag with its attributes, in order.
        text: By tag, the text within each of them.
        cells: The text of each row's cells, headers too, by table.
        told: Every text between two tags, and every one that is read aloud in place of a picture.
    """

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str]]] = []
        self.text: dict[str, list[str]] = {}
        self.cells: list[list[list[str]]] = []
        self.told: list[str] = []
        self._sections: dict[str, list[str]] = {"": []}
        self._section = ""
        self._open: list[str] = []
        self._goes_on = False  # the next text is the same word's
        self.feed(html)
        self.close()
        assert self._open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        attributes = {name: value or "" for name, value in attrs}
        self.tags.append((tag, attributes))
        self.told += [attributes[name] for name in READ_ALOUD if name in attributes]
        self.text.setdefault(tag, []).append("")
        self._goes_on = tag == "wbr"
        if tag not in VOID:
            self._open.append(tag)
        if tag == "section":
            self._section = attributes.get("id", "")
            self._sections[self._section] = []
        elif tag == "table":
            self.cells.append([])
        elif tag == "tr":
            self.cells[-1].append([])
        elif tag in ("td", "th"):
            self.cells[-1][-1].append("")

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        for tag in set(self._open):
            self.text[tag][-1] += data
        if {"td", "th"} & set(self._open):
            self.cells[-1][-1][-1] += data
        if data.strip() and "style" not in self._open:
            for texts in (self.told, self._sections[self._section]):
                if self._goes_on:
                    texts[-1] += data
                else:
                    texts.append(" ".join(data.split()))
        self._goes_on = False

    def all(self, tag: str) -> list[dict[str, str]]:
        """Returns the attributes of each tag of a kind."""
        return [attributes for name, attributes in self.tags if name == tag]

    def section(self, name: str) -> str:
        """Returns what the section of this id shows, a space between what tags part."""
        return " ".join(self._sections[name])
