"""The whole check of a built site."""

from __future__ import annotations

import gzip
import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from posixpath import dirname, join, normpath
from urllib.parse import unquote, urlsplit

from bench.errors import Problem
from bench.publish.checks.agreement import check_agreement
from bench.publish.checks.reading import PageFacts, read_page

POLICY = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "require-trusted-types-for 'script'")


def check_site(folder: Path) -> list[Problem]:
    """Everything that is wrong with a built site; an empty list where nothing is."""
    if not (folder / "index.html").is_file():
        message = f"{folder} holds no index.html, so it is not a built site."
        return [Problem("site-missing", message, where=str(folder))]
    paths = sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.html"))
    pages = {path: read_page(folder, path) for path in paths}
    return [
        *_html(pages),
        *check_links(folder, pages),
        *check_budgets(folder, pages),
        *check_agreement(folder, pages),
    ]


def _html(pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    for page in pages.values():
        faults = list(page.faults)
        missing = [rule for rule in POLICY if rule not in page.policy]
        if missing or "unsafe" in page.policy:
            faults.append(
                f"the content policy lacks {', '.join(missing) or 'nothing'}, or allows something unsafe"
            )
        if not page.heading:
            faults.append("there is no first heading")
        if faults:
            more = f", and {len(faults) - 3} more" if len(faults) > 3 else ""
            yield Problem("site-html", "; ".join(faults[:3]) + more + ".", where=page.path)


NOT_FOUND_PAGE = "404.html"


def check_links(folder: Path, pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    """Dead links and anchors, absolute links, and addresses on other hosts that a page would load."""
    for page in pages.values():
        for address in page.loads:
            if urlsplit(address).scheme or address.startswith("//"):
                message = f"Loads {address!r} from another host."
                yield Problem("site-external", message, where=page.path)
        for address in dict.fromkeys([*page.links, *page.loads]):
            fault = _fault(folder, pages, page, address)
            if fault:
                yield Problem("site-link", f"{address!r} {fault}", where=page.path)


def _fault(folder: Path, pages: Mapping[str, PageFacts], page: PageFacts, address: str) -> str:
    parts = urlsplit(address)
    if parts.scheme in ("http", "https"):
        return ""
    if parts.scheme or parts.netloc:
        return f"is not an http(s) link but {parts.scheme or 'of another host'}."
    if parts.path.startswith("/"):
        return "" if page.path == NOT_FOUND_PAGE else "is absolute, so it breaks under a base path."
    if page.path == NOT_FOUND_PAGE and not parts.path:
        return ""
    here = posixpath.dirname(page.path)
    target = posixpath.normpath(posixpath.join(here, unquote(parts.path))) if parts.path else page.path
    if target.startswith("..") or not (folder / target).is_file():
        return "leads to a file that does not exist."
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "leads to an anchor that does not exist."
    return ""


KB = 1024
BOARD_BYTES, ENTRY_BYTES, SCRIPT_BYTES, STYLE_BYTES = 30 * KB, 18 * KB, 6 * KB, 6 * KB
FIRST_LOAD_BYTES, FIRST_LOAD_REQUESTS = 60 * KB, 6


def gzip_bytes(path: Path) -> int:
    """Size of a file as a server would send it."""
    return len(gzip.compress(path.read_bytes(), 9, mtime=0))


def check_budgets(folder: Path, pages: Mapping[str, PageFacts]) -> Iterator[Problem]:
    """Boards (without those on which all entries stand), entries, script and style sheet."""
    sizes: dict[str, int] = {}
    for path in sorted((folder / "static").glob("*")):
        sizes[f"static/{path.name}"] = gzip_bytes(path)
    limits = {".js": SCRIPT_BYTES, ".css": STYLE_BYTES}
    for name, size in sizes.items():
        yield from _over(name, size, limits.get(Path(name).suffix, size))
    for page in pages.values():
        parts = page.path.split("/")
        board = bool(page.target) and "all" not in parts
        entry = len(parts) >= 3 and parts[-3] == "e"
        if not (board or entry):
            continue
        size = gzip_bytes(folder / page.path)
        yield from _over(page.path, size, BOARD_BYTES if board else ENTRY_BYTES)
        loads = {normpath(join(dirname(page.path), address)) for address in page.loads}
        total = size + sum(sizes.get(name, 0) for name in loads)
        if total > FIRST_LOAD_BYTES or len(loads) + 1 > FIRST_LOAD_REQUESTS:
            message = f"The first load takes {total / KB:.1f} KB in {len(loads) + 1} requests."
            remedy = f"Stay within {FIRST_LOAD_BYTES // KB} KB and {FIRST_LOAD_REQUESTS} requests."
            yield Problem("site-budget", message, where=page.path, remedy=remedy)


def _over(name: str, size: int, limit: int) -> Iterator[Problem]:
    if size > limit:
        message = f"{size / KB:.1f} KB after gzip, and {limit / KB:.0f} KB is the limit."
        yield Problem("site-budget", message, where=name)
