"""Every file of the site with the digest of what it depends on: what all cohorts share, then each cohort."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pydantic
from jinja2 import TemplateError, TemplateSyntaxError

from bench import __version__
from bench.choices import LabelMode
from bench.documents import Document
from bench.errors import BenchError, Problem, catalogue
from bench.federation.model import SitesBoard
from bench.files import canonical_json
from bench.metrics import registry
from bench.metrics.metric import Needs
from bench.publish.exports import schema
from bench.publish.feeds import atom, changes, json_feed, robots, sitemap
from bench.publish.reference import python_reference
from bench.publish.releases import Release, release_pages
from bench.publish.schemas import PUBLISHED, published_json
from bench.publish.templates import document, environment, metrics_table
from bench.publish.urls import Page, Place, digest, up
from bench.publish.views.across import hospitals_view, transfer_of, transfer_view
from bench.publish.views.cohort import CohortPages
from bench.workspace import SITE_TITLE

COHORT_LINKS = (
    ("board", "index.html", "Leaderboard"),
    ("compare", "compare/index.html", "Compare"),
    ("subgroups", "subgroups/index.html", "Subgroups"),
    ("speed", "speed/index.html", "Speed"),
    ("cv5", "cv5/index.html", "Five-fold track"),
    ("reported", "reported/index.html", "Published results"),
)
SITE_LINKS = (
    ("methods", "methods/index.html", "Methods"),
    ("data", "data/index.html", "Data"),
    ("python", "python/index.html", "Python"),
)


CHANGES = 200
"""Entries on the page of changes, the newest."""

LABEL_NOTICES = {
    LabelMode.PUBLIC: "",
    LabelMode.SHARED: "Shared labels: everybody who may submit has the labels, the public has not. "
    "Predictions are published encrypted, and a fixed set of figures with four digits.",
    LabelMode.PRIVATE: "Private labels: only the holder of the data has them. The AUROC is published to "
    "three decimals, for a limited number of attempts of each team.",
}
"""What every page of a cohort says about its labels; the demo's are synthetic and public."""


def empty_pages(place: Place) -> frozenset[str]:
    """Pages of the cohort that have nothing to show yet: they are left out of the navigation."""
    entries, board = place.loaded.entries.values(), place.loaded.board
    scored = [entry for entry in entries if entry.scorecard is not None]
    shown = {
        "board": True,
        "compare": board is not None and len(scored) > 1,
        "subgroups": bool(place.loaded.spec.subgroups)
        and bool(scored)
        and place.loaded.spec.labels is not LabelMode.PRIVATE,
        "speed": any(entry.timings for entry in entries),
        "cv5": board is not None and bool(board.cv5),
        "reported": any(entry.manifest.reported for entry in entries),
    }
    return frozenset(key for key, filled in shown.items() if not filled)


def site_pages(site: Site) -> Iterator[Page]:
    """All files of the site, in the order in which they are written."""
    paths = []
    for page in site.pages():
        paths.append(page.path)
        yield page
    yield from release_pages(site.releases)
    html = [path for path in paths if path.endswith(".html") and path != "404.html"]
    if not site.release:
        yield Page("sitemap.xml", digest(site.base, *html), lambda: sitemap(html, site.base))


class Site:
    """Shared parts of all pages: templates, navigation, and the digest of both."""

    def __init__(
        self,
        places: Sequence[Place],
        sources: Path,
        base: str,
        built_from: str,
        releases: Sequence[Release] = (),
        release: str = "",
        announcement: str = "",
        hospitals: SitesBoard | None = None,
        exports: bool = True,
        title: str = SITE_TITLE,
    ) -> None:
        self.places = tuple(places)
        self.sources = sources
        self.base = base
        self.base_address = base if base.startswith(("https://", "http://")) else ""
        self.built_from = built_from
        self.environment = environment(sources)
        self.releases, self.release, self.announcement = tuple(releases), release, announcement
        self.exports, self.title = exports, title
        self.hospitals, self.transfer = hospitals, transfer_of(self.places)
        shared = [
            release,
            announcement,
            str(bool(releases)),
            str(exports),
            title,
            str(hospitals is None),
            str(self.transfer is None),
            *(f"{p.prefix}|{p.loaded.spec.title}" for p in places),
        ]
        self.left_out = {p.prefix: empty_pages(p) for p in places}
        shared += [f"{prefix}|{sorted(pages)}" for prefix, pages in self.left_out.items()]
        shared += [str(metric.facts()) for metric in registry.metrics().values()]  # plug-ins are no sources
        self.key = digest(_sources_key(sources), self.base_address, *shared)

    def html(
        self, template: str, path: str, place: Place, view: dict[str, Any], *, root: str | None = None
    ) -> bytes:
        """A page filled in; `root` replaces the relative way to the site's root."""
        root = up(path) if root is None else root
        home = root + place.prefix
        left_out = self.left_out[place.prefix]
        links = [(key, home + target, words) for key, target, words in COHORT_LINKS if key not in left_out]
        links += [(k, (home if k == "data" else root) + target, words) for k, target, words in SITE_LINKS]
        shared = {
            "root": root,
            "home": home,
            "prefix": place.prefix,
            "cohorts": self.places,
            "spec": place.loaded.spec,
            "synthetic": place.loaded.spec.synthetic,
            "labels_notice": LABEL_NOTICES[place.loaded.spec.labels],
            "built_from": self.built_from,
            "navigation": links,
            "release": self.release,
            "announcement": self.announcement,
            "site_title": self.title,
            "address": self._address(path),
            "site_address": self.base_address,
            "picture": place.picture_path(place.loaded.spec.headline) if place.loaded.board else "",
            "has_releases": bool(self.releases),
            "has_hospitals": self.hospitals is not None,
            "has_transfer": self.transfer is not None,
            "current": "",
            "description": "Leaderboard of models that read echocardiographic labels from chest X-rays.",
        }
        try:
            return self.environment.get_template(template).render({**shared, **view}).encode()
        except TemplateError as error:
            at = f", line {error.lineno}" if isinstance(error, TemplateSyntaxError) else ""
            raise BenchError(Problem("site-template", f"{error.message}.", f"{template}{at}")) from error

    def _address(self, path: str) -> str:
        """Address of the page; empty where only a path is known."""
        known = self.base_address and path != "404.html"
        return self.base_address + path.removesuffix("index.html") if known else ""

    def pages(self) -> Iterator[Page]:
        """All files except the site map."""
        yield from self._static()
        yield from self._documents()
        yield from self._changes()
        yield from self._releases()
        yield from self._across()
        for place in self.places:
            yield from CohortPages(self, place).pages()

    def _static(self) -> Iterator[Page]:
        for path in sorted((self.sources / "static").iterdir()):
            data = path.read_bytes()
            yield Page(f"static/{path.name}", digest(data), lambda data=data: data)  # type: ignore[misc]
        key = digest(self.key, pydantic.VERSION)
        for name in PUBLISHED:
            yield Page(f"schemas/{name}.schema.json", key, lambda name=name: schema(name))  # type: ignore[misc]
        if not self.release:
            yield Page("robots.txt", digest(self.base), lambda: robots(self.base))

    def _documents(self) -> Iterator[Page]:
        first = self.places[0]
        root = urlsplit(self.base).path  # a host that serves this page at any depth serves its files too
        if not self.release:
            yield Page(
                "404.html",
                digest(self.key, self.base),
                lambda: self.html("missing.html", "404.html", first, {"title": "No such page"}, root=root),
            )
        yield Page("methods/index.html", self.key, lambda: self._document("methods", {}, _metric_tables()))
        yield Page(
            "reference/index.html",
            self.key,
            lambda: self._document("reference", {}, {"reference": python_reference()}),
        )
        for name in ("python", "submit"):
            yield Page(f"{name}/index.html", self.key, lambda name=name: self._document(name, {}))  # type: ignore[misc]
        yield from self._codes()

    def _codes(self) -> Iterator[Page]:
        """A list of all problem codes, and a page for each."""
        codes = list(catalogue().values())
        key = digest(self.key, *(f"{e.code}|{e.title}|{e.meaning}|{e.remedy}" for e in codes))
        first, path = self.places[0], "codes/index.html"
        view = {"title": "Problem codes", "codes": codes, "current": "submit"}
        yield Page(path, key, lambda: self.html("codes.html", path, first, view))
        for code in codes:
            at = f"codes/{code.code}/index.html"
            own = {"title": f"Problem {code.code}", "code": code, "current": "submit"}
            own["description"] = f"{code.code}: {code.title}."
            yield Page(
                at,
                digest(self.key, f"{code.code}|{code.title}|{code.meaning}|{code.remedy}"),
                lambda at=at, own=own: self.html("code.html", at, first, own),  # type: ignore[misc]
            )

    def _document(self, name: str, view: dict[str, Any], parts: Mapping[str, str] | None = None) -> bytes:
        title, body = document(self.sources / "content" / f"{name}.md", parts)
        values = {**view, "title": title, "body": body, "current": name}
        return self.html("document.html", f"{name}/index.html", self.places[0], values)

    def _changes(self) -> Iterator[Page]:
        changed = changes(self.places)
        key = digest(self.key, *(repr(change) for change in changed))
        path = "changes/index.html"
        shown = changed[:CHANGES]
        view: dict[str, Any] = {"title": "Changes", "current": "changes", "changes": shown}
        view["earlier"] = len(changed) - len(shown)
        yield Page(path, key, lambda: self.html("changes.html", path, self.places[0], view))
        feed_key = digest(self.base, key)
        yield Page("feed.xml", feed_key, lambda: atom(changed, self.base, self.title))
        yield Page("feed.json", feed_key, lambda: canonical_json(json_feed(changed, self.base, self.title)))

    def _across(self) -> Iterator[Page]:
        """The pages about several hospitals, each with its JSON."""
        views: list[tuple[str, str, str, Document, Any]] = []
        if self.hospitals is not None:
            views.append(("hospitals", "Hospitals", "board.json", self.hospitals, hospitals_view))
        if self.transfer is not None:
            views.append(("transfer", "Transfer", "transfer.json", self.transfer, transfer_view))
        first = self.places[0]
        links = {slug: f"../{first.entry_folder(slug)}index.html" for slug in first.loaded.entries}
        for name, title, file, board, view in views:
            data, path = published_json(board), f"{name}/index.html"
            values = {**view(board, links), "title": title, "current": name}
            yield Page(f"{name}/{file}", digest(data), lambda data=data: data)  # type: ignore[misc]
            yield Page(
                path,
                digest(self.key, data, *sorted(links)),
                lambda path=path, values=values: self.html("across.html", path, first, values),  # type: ignore[misc]
            )

    def _releases(self) -> Iterator[Page]:
        if not self.releases:
            return
        key = digest(self.key, *(r.sha256 for r in self.releases))
        path, view = "v/index.html", {"title": "Releases", "current": "v", "releases": self.releases}
        yield Page(path, key, lambda: self.html("releases.html", path, self.places[0], view))


def _metric_tables() -> dict[str, str]:
    """The tables of the methods page."""
    return {
        "metrics": metrics_table(*registry.BINARY),
        "decisions": metrics_table(Needs.DECISIONS),
        "measurements": metrics_table(Needs.MEASUREMENTS),
    }


def _sources_key(sources: Path) -> str:
    """Digest of templates, content, and of the package's code: whatever of it pages show is made anew."""
    code = Path(__file__).parents[1]
    files = [
        *(
            p
            for folder in ("templates", "content")
            for p in sorted((sources / folder).rglob("*"))
            if p.is_file()
        ),
        *sorted(code.rglob("*.py")),
    ]
    return digest(__version__, *(part for p in files for part in (p.name, p.read_bytes())))
