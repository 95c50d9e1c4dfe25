"""The whole check of a built site."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from bench.errors import Problem
from bench.publish.checks.agreement import check_agreement
from bench.publish.checks.budgets import check_budgets
from bench.publish.checks.links import check_links
from bench.publish.checks.reading import PageFacts, read_page

POLICY = ("default-src 'none'", "script-src 'self'", "style-src 'self'", "require-trusted-types-for 'script'")


def check_site(folder: Path) -> list[Problem]:
    """Everything that is wrong with a built site; an empty list where nothing is."""
    if not (folder / "index.html").is_file():
        message = f"{folder} holds no index.html, so it is no built site."
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
