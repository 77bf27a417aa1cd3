"""A report page as a reader has it: headline figures, and tables by what they show."""

from __future__ import annotations

from html.parser import HTMLParser
from pathlib import Path

from pipeline.report.page.markup import EMPTY_ELEMENTS


class Page(HTMLParser):
    """A parsed page.

    Attributes:
      facts: name -> value of the headline figures.
      tables: caption -> rows of cells, without the headings.
      elements: every element's name, in order.
      text: all of it that is seen.
    """

    def __init__(self, source: str) -> None:
        super().__init__()
        self.facts: dict[str, str] = {}
        self.tables: dict[str, list[list[str]]] = {}
        self.elements: list[str] = []
        self.attributes: list[tuple[str, str]] = []
        self.text = ""
        self._open: list[str] = []
        self._cells: list[str] = []
        self._caption = self._term = ""
        self.feed(source)
        self.close()
        assert self._open == [], "every element is closed"

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.append(tag)
        self.attributes += [(name, value or "") for name, value in attrs]
        if tag not in EMPTY_ELEMENTS:
            self._open.append(tag)
        if tag == "tr":
            self._cells = []
        if tag in ("th", "td"):
            self._cells.append("")
        if tag == "caption":
            self._caption = ""
        if tag == "dt":
            self._term = ""

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag
        if tag == "caption":
            assert self._caption not in self.tables, "no two tables are called the same"
            self.tables[self._caption] = []
        if tag == "tr" and "thead" not in self._open:
            self.tables[self._caption].append(self._cells)

    def handle_data(self, data: str) -> None:
        if {"style", "title"} & set(self._open):
            return
        self.text += data
        if "caption" in self._open:
            self._caption += data
        elif {"th", "td"} & set(self._open):
            self._cells[-1] += data
        elif "dt" in self._open:
            self._term += data
        elif "b" in self._open and "dd" in self._open:
            self.facts[self._term] = data


def read_page(path: Path) -> Page:
    return Page(path.read_text(encoding="utf-8"))


def number(text: str) -> int:
    return int(text.replace(",", ""))
