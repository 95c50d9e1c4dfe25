"""Elements and gzip sizes of the pages: ``python -m tests.perf.site_table``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.board.load import load_board
from bench.board.model import LoadedBoard
from bench.cohort.spec import load_spec
from bench.publish.checks.site import KB, gzip_bytes
from bench.publish.templates import site_sources
from bench.publish.urls import places
from bench.publish.views.site import Site, site_pages
from tests.publish.boards import loaded_board
from tests.publish.pages import read, walk

ROOT = Path(__file__).parents[2]
PAGES = (
    "index.html",
    "all/index.html",
    "compare/index.html",
    "subgroups/index.html",
    "speed/index.html",
    "changes/index.html",
    "e/{entry}/index.html",
)
STATIC = ("static/site.js", "static/compare.js", "static/site.css", "board.png")


def main() -> int:
    demo = load_board(load_spec("demo"), ROOT / "submissions" / "demo")
    boards: dict[str, tuple[LoadedBoard, str]] = {
        "demo": (demo, "random-convolutions-echo"),
        "200 entries": (loaded_board(199), "entry-0001"),
        "1,000 entries": (loaded_board(999), "entry-0001"),
    }
    print("| board | page | elements | KB after gzip |\n|---|---|---|---|")
    for name, (loaded, entry) in boards.items():
        site = Site(places([loaded]), site_sources(), "https://example.org/", "")
        pages = {page.path: page for page in site_pages(site)}
        with tempfile.TemporaryDirectory() as temporary:
            file = Path(temporary) / "page"
            for path in (*PAGES, *(STATIC if loaded is demo else ())):
                if (page := pages.get(path.format(entry=entry))) is None:
                    continue
                file.write_bytes(page.render())
                elements = f"{len(walk(read(file))):,}" if path.endswith(".html") else ""
                size = gzip_bytes(file) / KB
                print(f"| {name} | `{path.format(entry='SLUG')}` | {elements} | {size:.1f} |")
    return 0


if __name__ == "__main__":
    sys.exit(main())
