"""Elements and gzip sizes of the pages: ``python -m tests.perf.site_table``."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from bench.board.load import load_board
from bench.board.model import LoadedBoard
from bench.cohort.spec import load_spec
from bench.publish.build import build_site
from bench.publish.checks.site import KB, gzip_bytes
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
        with tempfile.TemporaryDirectory() as temporary:
            site = Path(temporary) / "site"
            build_site([loaded], site, base="https://example.org/")
            for page in PAGES:
                path = site / page.format(entry=entry)
                if path.is_file():
                    elements = len(walk(read(path)))
                    print(f"| {name} | `{page.format(entry='SLUG')}` | {elements:,} | {_kb(path)} |")
            if name == "demo":
                for page in STATIC:
                    print(f"| all | `{page}` | | {_kb(site / page)} |")
    return 0


def _kb(path: Path) -> str:
    return f"{gzip_bytes(path) / KB:.1f}"


if __name__ == "__main__":
    sys.exit(main())
