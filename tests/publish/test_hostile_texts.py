"""Every text that a submitter or a maintainer writes, in every file of a site, read by other parsers."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
import re
import xml.etree.ElementTree as ET
from collections import Counter
from html.parser import HTMLParser
from importlib import import_module
from itertools import accumulate
from pathlib import Path

import pytest

from bench.board.model import LoadedBoard
from bench.board.render import board_latex, board_markdown
from bench.board.table import board_table
from bench.publish.build import build_site
from bench.publish.exports import bibtex, cohort_bibtex
from bench.submission.manifest import Manifest
from tests.publish.boards import loaded_board

yaml = import_module("yaml")

ATTACKS = (
    '</script><script>alert(1)</script><img src=x onerror="alert(1)">',
    "]]></title></svg><script>alert(1)</script>",
    '=HYPERLINK("javascript:alert(1)")|\\input{/etc/passwd}$\\write18{x}$ } @misc{x, note = {',
    "[x](javascript:alert(1)) ![y](data:text/html;base64,AA) <!-- `code` --> | a | b |\n# heading",
    "--- !!python/object/apply:os.system ['x'] # &anchor *alias",
)
TEXTS = ("name", "team", "description", "training_data", "external_data", "pretrained_weights", "licence")


def attacked(board: LoadedBoard, text: str) -> LoadedBoard:
    """The board with one text in every field that holds words."""
    line = " ".join(text.split())
    changes = dict.fromkeys(TEXTS, line) | {
        "inputs": (line,),
        "description": text,
        "links": {line: "https://example.org/?q=%22%3E"},
    }

    def said(manifest: Manifest) -> Manifest:
        changed = manifest.model_copy(update=changes)
        if manifest.reported is None:
            return changed
        paper = manifest.reported.model_copy(update={"citation": line, "split": line, "caveat": text})
        return changed.model_copy(update={"reported": paper})

    entries = {s: dataclasses.replace(e, manifest=said(e.manifest)) for s, e in board.entries.items()}
    words = {"title": line, "citation": line, "licence": line, "description": text}
    known = {key: value for key, value in words.items() if key in type(board.spec).model_fields}
    assert board.board is not None
    shown = board.board.model_copy(update={"title": line})
    return dataclasses.replace(board, spec=board.spec.model_copy(update=known), board=shown, entries=entries)


@pytest.fixture(scope="module")
def harmless(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Counter[str]]:
    """Page → how often what can run or load stands on it without an attack."""
    out = tmp_path_factory.mktemp("harmless") / "site"
    build_site([attacked(loaded_board(3, seed=4), "plain words")], out, base="https://example.org/")
    return {page.relative_to(out).as_posix(): active_parts(page) for page in out.rglob("*.html")}


class ActiveParts(HTMLParser):
    """What can run or load: scripts, pictures, frames, `on…` attributes, addresses of no web page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: Counter[str] = Counter()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag in ("script", "img", "iframe", "object", "embed", "base", "form", "style", "link"):
            self.found[tag] += 1
        for name, value in attrs:
            address = name in ("href", "src", "action") and value
            if address and re.match(r"\s*(javascript|data|vbscript):", address, re.IGNORECASE):
                self.found[f"{name}={address[:20]}"] += 1
            self.found[f"{name}="] += name.startswith("on")


def active_parts(page: Path) -> Counter[str]:
    parser = ActiveParts()
    parser.feed(page.read_text("utf-8"))
    parser.close()
    return +parser.found


@pytest.mark.parametrize("text", ATTACKS, ids=["script", "svg", "formula", "markdown", "yaml"])
def test_no_text_breaks_out_of_its_place_in_any_file(
    text: str, harmless: dict[str, Counter[str]], tmp_path: Path
) -> None:
    board = attacked(loaded_board(3, seed=4), text)
    build_site(
        [board],
        tmp_path / "site",
        base="https://example.org/",
        announcement=text,
        title=" ".join(text.split())[:60],
    )
    kinds: Counter[str] = Counter()
    for file in sorted(path for path in (tmp_path / "site").rglob("*") if path.is_file()):
        kinds[file.suffix] += 1
        place = file.relative_to(tmp_path / "site").as_posix()
        match file.suffix:
            case ".html":
                assert active_parts(file) == harmless[place], place
                for block in re.findall(r'<script type="application/[^"]*">(.*?)</script>', file.read_text()):
                    json.loads(block)
            case ".svg" | ".xml":
                tags = {str(element.tag).rpartition("}")[2] for element in ET.parse(file).iter()}
                assert not tags & {"script", "foreignObject", "a", "image"}, place
            case ".json":
                json.loads(file.read_text("utf-8"))
            case ".yaml":
                assert list(yaml.safe_load(file.read_text("utf-8"))) == ["model-index"]
            case ".csv":
                cells = [cell for row in csv.reader(io.StringIO(file.read_text("utf-8"))) for cell in row]
                assert not [c for c in cells if c[:1] in "=+@" and c and not is_number(c)], place
            case ".md":
                assert not re.search(r"(?<!\\)\]\((javascript|data):", file.read_text("utf-8")), place
                assert "<script" not in file.read_text("utf-8")
    assert {".html", ".svg", ".xml", ".json", ".csv", ".md", ".yaml", ".png"} <= set(kinds)


def is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


@pytest.mark.parametrize("text", ATTACKS, ids=["script", "svg", "formula", "markdown", "yaml"])
def test_no_text_breaks_out_of_a_table_or_a_citation(text: str) -> None:
    board = attacked(loaded_board(3, seed=4), text)
    table = board_table(board, board.spec.headline)
    plain = board_table(loaded_board(3, seed=4), board.spec.headline)
    latex = board_latex(table, table.columns)
    assert not re.search(r"\\(input|write)", latex)
    assert latex.count("\n") == board_latex(plain, plain.columns).count("\n")
    markdown = board_markdown(table, table.columns)
    rows = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len(rows) == len(table.rows) + 2
    assert len({len(re.findall(r"(?<!\\)\|", line)) for line in rows}) == 1
    assert not re.search(r"(?<!\\)\]\(", markdown)
    citations = [bibtex(entry, board.spec) for entry in board.entries.values()]
    for citation in (*citations, cohort_bibtex(board.spec)):
        depths = list(accumulate({"{": 1, "}": -1}.get(sign, 0) for sign in citation))
        start = citation.index("{")  # BibTeX counts braces, also behind a backslash
        assert depths.index(0, start) == len(citation) - 1
        assert not re.search(r"\\(input|write)", citation)
