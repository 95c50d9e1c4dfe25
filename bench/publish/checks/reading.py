"""Facts of a page that the checks use, read once with the standard library's parser."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"area", "base", "br", "col", "embed", "hr", "img", "input", "link", "meta", "source", "track", "wbr"}
ASIDE = {"sup", "small", "svg"}
"""Tags whose content explains a cell."""

DATA_BLOCK = "application/ld+json"
"""Type of a script element that browsers never run."""

LOADING = {"script": "src", "img": "src", "iframe": "src", "source": "src", "object": "data", "embed": "src"}


@dataclass(slots=True)
class BoardRow:
    """A row of a board's table by slug, or of an entry's table by target: the text of its cells.

    What explains a cell (footnote marks, small print, drawings, `data-aside`) is no part of its text.
    """

    slug: str
    cells: list[str] = field(default_factory=list)


@dataclass(slots=True)
class PageFacts:
    """A page as the checks see it.

    Attributes:
        path: Relative to the site's folder.
        links: Targets of ``a``, as written.
        loads: Addresses that the browser fetches by itself.
        ids: Anchors.
        faults: What is wrong with the HTML.
        policy: The content policy, empty where there is none.
        target: Target of the board's table, empty on other pages.
        columns: Columns of the board's table: key, and whether it holds the interval in place of the text.
        rows: Rows of the board's table.
        scores: Rows of an entry's table of targets.
        heading: Text of the first heading.
    """

    path: str
    links: list[str] = field(default_factory=list)
    loads: list[str] = field(default_factory=list)
    ids: set[str] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    policy: str = ""
    target: str = ""
    columns: list[tuple[str, bool]] = field(default_factory=list)
    rows: list[BoardRow] = field(default_factory=list)
    scores: list[BoardRow] = field(default_factory=list)
    heading: str = ""


def read_page(folder: Path, path: str) -> PageFacts:
    """Read one page."""
    facts = PageFacts(path)
    reader = _Reader(facts)
    reader.feed((folder / path).read_text("utf-8"))
    reader.close()
    facts.faults += [f"<{tag}> is never closed" for tag in reader.open]
    return facts


class _Reader(HTMLParser):
    def __init__(self, facts: PageFacts) -> None:
        super().__init__()
        self.facts = facts
        self.open: list[str] = []
        self.in_board = False
        self.row: BoardRow | None = None
        self.texts: list[str] | None = None
        self.aside = 0
        self.inert = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if len(given) < len(attrs):
            self.facts.faults.append(f"<{tag}> repeats an attribute")
        if "style" in given or any(name.startswith("on") for name in given):
            self.facts.faults.append(f"<{tag}> holds inline style or script, which the policy stops")
        self.inert = tag == "script" and given.get("type") == DATA_BLOCK
        self._identify(given.get("id", ""))
        self._collect(tag, given)
        self._follow_board(tag, given)
        if tag not in VOID:
            self.open.append(tag)
            if not self.aside and (tag in ASIDE or "data-aside" in given):
                self.aside = len(self.open)
        if self._is_cell(tag) or (tag == "h1" and not self.facts.heading):
            self.texts = []

    def _is_cell(self, tag: str) -> bool:
        return self.row is not None and (tag == "td" or (tag == "th" and self.in_board))

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.handle_endtag(tag)

    def handle_endtag(self, tag: str) -> None:
        if not self.open or self.open[-1] != tag:
            self.facts.faults.append(f"</{tag}> closes {f'<{self.open[-1]}>' if self.open else 'nothing'}")
            return
        self.open.pop()
        if len(self.open) < self.aside:
            self.aside = 0
        if tag == "table":
            self.in_board, self.row = False, None
        if self.texts is not None and (tag == "h1" or self._is_cell(tag)):
            text = " ".join("".join(self.texts).split())
            if tag == "h1":
                self.facts.heading = text
            elif self.row:
                self.row.cells.append(text)
            self.texts = None

    def handle_data(self, data: str) -> None:
        if self.texts is not None and not self.aside:
            self.texts.append(data)
        if self.open and self.open[-1] in ("script", "style") and data.strip() and not self.inert:
            self.facts.faults.append(f"<{self.open[-1]}> holds inline content, which the policy stops")

    def _identify(self, name: str) -> None:
        if name in self.facts.ids:
            self.facts.faults.append(f'id="{name}" is given twice')
        if name:
            self.facts.ids.add(name)

    def _collect(self, tag: str, given: dict[str, str]) -> None:
        if tag == "a" and "href" in given:
            self.facts.links.append(given["href"])
        elif tag == "link":
            (
                self.facts.loads if given.get("rel") not in ("alternate", "canonical") else self.facts.links
            ).append(given["href"])
        elif LOADING.get(tag, "") in given:
            self.facts.loads.append(given[LOADING[tag]])
        elif tag == "form" and "action" in given:
            self.facts.links.append(given["action"])
        elif tag == "meta" and given.get("http-equiv", "").lower() == "content-security-policy":
            self.facts.policy = given.get("content", "")

    def _follow_board(self, tag: str, given: dict[str, str]) -> None:
        if tag == "table" and given.get("id") == "board":
            self.in_board, self.facts.target = True, given.get("data-target", "")
        elif tag == "th" and self.in_board and ("data-k" in given or "data-i" in given):
            self.facts.columns.append((given.get("data-k") or given.get("data-i", ""), "data-k" not in given))
        elif tag == "tr" and self.in_board and given.get("data-e"):
            self.row = BoardRow(given["data-e"])
            self.facts.rows.append(self.row)
        elif tag == "tr" and given.get("data-t"):
            self.row = BoardRow(given["data-t"])
            self.facts.scores.append(self.row)
        elif tag == "tr":
            self.row = None
