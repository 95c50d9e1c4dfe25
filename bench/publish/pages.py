"""Every file of the site, each with the digest of what it depends on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

from bench import __version__
from bench.board.model import Entry
from bench.files import canonical_json
from bench.publish.board_view import board_view, describe
from bench.publish.documents import PUBLISHED
from bench.publish.entry_view import entry_view
from bench.publish.exports import (
    leaderboard,
    leaderboard_csv,
    long_csv,
    published_entry,
    reported_entries,
    schema,
)
from bench.publish.page import Page, digest
from bench.publish.place import Place, up
from bench.publish.rows import BoardTable, board_table
from bench.publish.templates import environment

COHORT_LINKS = (("board", "index.html", "Leaderboard"), ("reported", "reported/index.html", "Reported"))


def site_pages(found: Sequence[Place], sources: Path, *, base: str, built_from: str) -> Iterator[Page]:
    """All files of the site, in the order in which they are written."""
    site = Site(found, sources, base, built_from)
    yield from site.shared_pages()
    for place in found:
        yield from CohortPages(site, place).pages()


class Site:
    """What all pages share: templates, navigation, and the digest of both."""

    def __init__(self, found: Sequence[Place], sources: Path, base: str, built_from: str) -> None:
        self.places = tuple(found)
        self.sources = sources
        self.base = base
        self.built_from = built_from
        self.environment = environment(sources)
        self.key = digest(_sources_key(sources), *(f"{p.prefix}|{p.loaded.spec.title}" for p in found))

    def html(
        self, template: str, path: str, place: Place, view: dict[str, Any], *, root: str | None = None
    ) -> bytes:
        """A page filled in; `root` replaces the relative way to the site's root."""
        root = up(path) if root is None else root
        home = root + place.prefix
        shared = {
            "root": root,
            "home": home,
            "prefix": place.prefix,
            "cohorts": self.places,
            "spec": place.loaded.spec,
            "synthetic": place.loaded.spec.synthetic,
            "built_from": self.built_from,
            "navigation": [(key, home + target, words) for key, target, words in COHORT_LINKS],
            "current": "",
            "description": "Leaderboard of models that read echocardiographic labels from chest X-rays.",
        }
        return self.environment.get_template(template).render({**shared, **view}).encode()

    def shared_pages(self) -> Iterator[Page]:
        """Files that belong to no cohort."""
        for path in sorted((self.sources / "static").iterdir()):
            data = path.read_bytes()
            yield Page(f"static/{path.name}", digest(data), lambda data=data: data)  # type: ignore[misc]
        first = self.places[0]
        yield Page(
            "404.html",
            digest(self.key, self.base),
            lambda: self.html("missing.html", "404.html", first, {"title": "No such page"}, root=self.base),
        )
        for name in PUBLISHED:
            yield Page(f"schemas/{name}.json", digest(schema(name)), lambda name=name: schema(name))  # type: ignore[misc]


class CohortPages:
    """The files of one cohort."""

    def __init__(self, site: Site, place: Place) -> None:
        self.site, self.place, self.loaded = site, place, place.loaded
        board = self.loaded.board
        scene = board.model_dump_json(exclude={"targets", "scorecards"}) if board else ""
        self.scene_key = digest(site.key, self.loaded.spec.model_dump_json(), scene)
        self.entry_keys = {slug: self._entry_key(entry) for slug, entry in self.loaded.entries.items()}
        self.key = digest(
            self.scene_key,
            board.model_dump_json() if board else "",
            site.built_from,
            *(f"{slug}:{key}" for slug, key in sorted(self.entry_keys.items())),
        )

    @cached_property
    def tables(self) -> tuple[BoardTable, ...]:
        """The tables of all targets, the headline first; computed only where a page needs them."""
        if self.loaded.board is None:
            return ()
        known = {t.target for t in self.loaded.board.targets}
        return tuple(board_table(self.loaded, target) for target in self.place.targets if target in known)

    def pages(self) -> Iterator[Page]:
        """All files of the cohort."""
        prefix = self.place.prefix
        yield from self._boards()
        for slug in sorted(self.loaded.entries):
            yield from self._entry(self.loaded.entries[slug])
        yield Page(
            f"{prefix}reported/index.html",
            self.key,
            lambda: self._reported("reported.html", "Reported elsewhere"),
        )
        yield Page(f"{prefix}leaderboard.json", self.key, self._leaderboard)
        yield Page(f"{prefix}leaderboard.csv", self.key, lambda: leaderboard_csv(self.tables))
        yield Page(f"{prefix}long.csv", self.key, lambda: long_csv(self.loaded))

    def _boards(self) -> Iterator[Page]:
        if self.loaded.board is None:
            title = self.loaded.spec.title
            yield Page(
                f"{self.place.prefix}index.html", self.key, lambda: self._reported("empty.html", title)
            )
            return
        for target in (t.target for t in self.loaded.board.targets):
            path = self.place.board_path(target)
            yield Page(path, self.key, lambda path=path, target=target: self._board(path, target))  # type: ignore[misc]

    def _board(self, path: str, target: str) -> bytes:
        table = next(t for t in self.tables if t.target == target)
        view = {**board_view(self.place, table, path), "current": "board", "description": describe(table)}
        return self.site.html(
            "board.html", path, self.place, {**view, "title": f"{table.label} · {view['heading']}"}
        )

    def _reported(self, template: str, title: str) -> bytes:
        path = f"{self.place.prefix}{'reported/' if template == 'reported.html' else ''}index.html"
        entries = reported_entries(self.loaded)
        named = {m for e in entries if e.manifest.reported for m in e.manifest.reported.metrics}
        labels = {**{t.name: t.label for t in self.loaded.spec.targets}, "macro": "Macro"}
        ordered = [*(t for t in labels if t in named), *sorted(named - set(labels))]
        view = {
            "title": title,
            "heading": title,
            "current": "board" if template == "empty.html" else "reported",
            "reported": entries,
            "reported_targets": [(target, labels.get(target, target)) for target in ordered],
        }
        return self.site.html(template, path, self.place, view)

    def _entry(self, entry: Entry) -> Iterator[Page]:
        folder = self.place.entry_folder(entry.slug)
        path, key = f"{folder}index.html", self.entry_keys[entry.slug]
        title = entry.manifest.name
        yield Page(
            path,
            key,
            lambda: self.site.html(
                "entry.html", path, self.place, {**entry_view(self.loaded, entry), "title": title}
            ),
        )
        yield Page(
            f"{folder}entry.json", key, lambda: canonical_json(published_entry(self.loaded, entry).plain())
        )

    def _entry_key(self, entry: Entry) -> str:
        targets = self.loaded.board.targets if self.loaded.board else ()
        standings = [s.model_dump_json() for t in targets for s in t.standings if s.slug == entry.slug]
        twins = [g.model_dump_json() for t in targets for g in t.twins if entry.slug in g.slugs]
        return digest(
            self.scene_key,
            entry.manifest.model_dump_json(),
            entry.scorecard.model_dump_json() if entry.scorecard else "",
            *(record.model_dump_json() for record in entry.timings),
            *standings,
            *twins,
            *(str(sum(s.rank is not None for s in t.standings)) for t in targets),
        )

    def _leaderboard(self) -> bytes:
        return canonical_json(leaderboard(self.loaded, self.tables, self.site.built_from).plain())


def _sources_key(sources: Path) -> str:
    """Digest of templates, content, and of the code that fills them in."""
    code = Path(__file__).parent
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
