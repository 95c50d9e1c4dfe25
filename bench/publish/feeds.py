"""News, newest first: a page and two feeds, dated by the entries themselves and never by a clock."""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Any

from bench.board.format import decimal, printable
from bench.publish.urls import Place

FEED_ENTRIES = 50


@dataclass(frozen=True, slots=True)
class Change:
    """An entry that came to a board."""

    date: datetime.date
    cohort: str
    cohort_title: str
    slug: str
    name: str
    team: str
    path: str
    summary: str

    @property
    def identifier(self) -> str:
        """A name that stays the same wherever the site is served."""
        return _identifier(f"{self.cohort}/{self.slug}")


def _identifier(name: str) -> str:
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'chexchobench:{name}')}"


def changes(places: Sequence[Place]) -> tuple[Change, ...]:
    """All entries of all boards, newest first."""
    changes = []
    for place in places:
        spec = place.loaded.spec
        for slug, entry in place.loaded.entries.items():
            manifest = entry.manifest
            score = entry.scorecard.target(spec.headline) if entry.scorecard else None
            auroc = score.ranked if score else None
            kind = "Reported result" if manifest.reported else "Scored entry"
            value = f", AUROC {decimal(auroc.value)} for {score.label}" if auroc and score else ""
            changes.append(
                Change(
                    date=manifest.date,
                    cohort=spec.id,
                    cohort_title=spec.title,
                    slug=slug,
                    name=printable(manifest.name),
                    team=printable(manifest.team),
                    path=place.entry_folder(slug) + "index.html",
                    summary=f"{kind}{value}.",
                )
            )
    return tuple(sorted(changes, key=lambda c: (-c.date.toordinal(), c.cohort, c.slug)))


def atom(changes: Sequence[Change], base: str, title: str) -> bytes:
    """The newest changes as an Atom feed; ids do not depend on where the site is served."""
    updated = changes[0].date if changes else datetime.date(1970, 1, 1)
    lines = [
        '<?xml version="1.0" encoding="utf-8"?>',
        '<feed xmlns="http://www.w3.org/2005/Atom">',
        f"<title>{escape(printable(title))}</title>",
        f"<id>{_identifier('changes')}</id>",
        f'<link rel="self" href="{escape(base)}feed.xml"/>',
        f"<updated>{updated.isoformat()}T00:00:00Z</updated>",
    ]
    for change in changes[:FEED_ENTRIES]:
        lines += [
            "<entry>",
            f"<title>{escape(change.name)}</title>",
            f"<id>{change.identifier}</id>",
            f'<link href="{escape(base + change.path)}"/>',
            f"<updated>{change.date.isoformat()}T00:00:00Z</updated>",
            f"<author><name>{escape(change.team)}</name></author>",
            f"<summary>{escape(printable(f'{change.cohort_title}. {change.summary}'))}</summary>",
            "</entry>",
        ]
    return "\n".join([*lines, "</feed>", ""]).encode()


def json_feed(changes: Sequence[Change], base: str, title: str) -> dict[str, Any]:
    """The newest changes by the JSON Feed format, version 1.1."""
    return {
        "version": "https://jsonfeed.org/version/1.1",
        "title": title,
        "home_page_url": base,
        "feed_url": f"{base}feed.json",
        "items": [
            {
                "id": change.identifier,
                "url": base + change.path,
                "title": change.name,
                "authors": [{"name": change.team}],
                "content_text": f"{change.cohort_title}. {change.summary}",
                "date_published": f"{change.date.isoformat()}T00:00:00Z",
            }
            for change in changes[:FEED_ENTRIES]
        ],
    }


def sitemap(paths: Sequence[str], base: str) -> bytes:
    """Every page for search engines; absolute where `base` is a URL."""
    rows = [
        f"<url><loc>{escape(base + path.removesuffix('index.html'))}</loc></url>" for path in sorted(paths)
    ]
    head = (
        '<?xml version="1.0" encoding="utf-8"?>\n<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">'
    )
    return "\n".join([head, *rows, "</urlset>", ""]).encode()


def robots(base: str) -> bytes:
    """Everything may be read; the site map is named where its whole address is known, as it must be."""
    sitemap = f"Sitemap: {base}sitemap.xml\n" if "://" in base else ""
    return f"User-agent: *\nAllow: /\n{sitemap}".encode()
