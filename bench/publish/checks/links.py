"""Links within the site lead somewhere; nothing is loaded from elsewhere."""

from __future__ import annotations

import posixpath
from collections.abc import Iterator, Mapping
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bench.errors import Problem
from bench.publish.checks.reading import PageFacts

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
        return f"is no http(s) link but {parts.scheme or 'of another host'}."
    if parts.path.startswith("/"):
        return "" if page.path == NOT_FOUND_PAGE else "is absolute, so it breaks under a base path."
    if page.path == NOT_FOUND_PAGE and not parts.path:
        return ""
    here = posixpath.dirname(page.path)
    target = posixpath.normpath(posixpath.join(here, unquote(parts.path))) if parts.path else page.path
    if target.startswith("..") or not (folder / target).is_file():
        return "leads to no file."
    if parts.fragment and target in pages and unquote(parts.fragment) not in pages[target].ids:
        return "leads to no anchor."
    return ""
