"""The files of one cohort's board."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cached_property, lru_cache
from typing import Any, Protocol

import PIL

from bench.board.columns import plugin_fingerprint
from bench.board.format import rank_text
from bench.board.load import whole_scorecard
from bench.board.model import Entry, SameRanking, Standing
from bench.board.render import board_csv
from bench.board.table import BoardTable, board_table
from bench.choices import Track
from bench.publish.exports import (
    badge,
    cohort_bibtex,
    leaderboard,
    long_csv,
    published_entry,
    reported_entries,
)
from bench.publish.interchange import (
    croissant,
    eval_records,
    has_interchange,
    model_index,
    plain_json,
    yaml_text,
)
from bench.publish.schemas import PUBLISHED, published_json
from bench.publish.tripod import tripod_draft
from bench.publish.urls import Page, Place, digest
from bench.publish.views.among import ranked_aurocs
from bench.publish.views.board import PAGE_ROWS, board_view, describe, list_view, picture
from bench.publish.views.compare import compare_view
from bench.publish.views.entry import entry_view
from bench.publish.views.speed import speed_view
from bench.publish.views.subgroups import subgroup_view

CV5_COLUMNS = ("rank", "entry", "auroc", "difference", "p_value")


class Renderer(Protocol):
    """Services of the site that a cohort's pages use."""

    key: str
    built_from: str
    base_address: str
    release: str
    exports: bool
    title: str

    def html(self, template: str, path: str, place: Place, view: dict[str, Any]) -> bytes:
        """A page filled in."""


class CohortPages:
    """The files of one cohort; what several pages read is computed once, and only where one needs it."""

    def __init__(self, site: Renderer, place: Place) -> None:
        self.site, self.place, self.loaded = site, place, place.loaded
        self.interchange = site.exports and has_interchange(self.loaded)
        board = self.loaded.board
        scene = board.model_dump_json(exclude={"targets", "cv5", "scorecards", "retracted"}) if board else ""
        self.scene_key = digest(site.key, self.loaded.spec.model_dump_json(), scene)
        self.standings: dict[str, dict[str, Standing]] = defaultdict(dict)
        self.same_ranking: dict[str, list[tuple[str, SameRanking]]] = defaultdict(list)
        self.ranked = {
            "holdout": {t.target: ranked_aurocs(t) for t in (board.targets if board else ())},
            "cv5": {t.target: ranked_aurocs(t) for t in (board.cv5 if board else ())},
        }
        for target in board.targets if board else ():
            for standing in target.standings:
                self.standings[standing.slug][target.target] = standing
            for group in target.same_ranking:
                for slug in group.slugs:
                    self.same_ranking[slug].append((target.label, group))
        for target in board.cv5 if board else ():
            for standing in target.standings:
                self.standings[standing.slug][target.target] = standing
        self.whole = lru_cache(maxsize=1)(self._whole)
        self.others_key = digest(
            *(t.model_dump_json() for t in ((*board.targets, *board.cv5) if board else ())),
            *(f"{slug}|{entry.manifest.name}" for slug, entry in sorted(self.loaded.entries.items())),
        )
        self.entry_keys = {slug: self._entry_key(entry) for slug, entry in self.loaded.entries.items()}
        self.key = digest(
            self.scene_key,
            board.model_dump_json() if board else "",
            site.built_from,
            *plugin_fingerprint(),
            *(f"{slug}:{key}" for slug, key in sorted(self.entry_keys.items())),
        )

    @cached_property
    def tables(self) -> tuple[BoardTable, ...]:
        """The tables of all targets, the headline first."""
        if self.loaded.board is None:
            return ()
        known = {t.target for t in self.loaded.board.targets}
        return tuple(board_table(self.loaded, target) for target in self.place.targets if target in known)

    def pages(self) -> Iterator[Page]:
        """All files of the cohort."""
        yield from self._boards()
        for slug in sorted(self.loaded.entries):
            yield from self._entry(self.loaded.entries[slug])
        yield self._reported("reported/index.html", "reported.html", "Published results")
        yield self._view("compare", "Compare", lambda _: compare_view(self.loaded, self.tables))
        yield self._view("speed", "Speed", lambda home: speed_view(self.loaded, home))
        yield self._view("subgroups", "Subgroups", lambda _: subgroup_view(self.place, self.tables))
        if self.loaded.board is not None and self.loaded.board.cv5:
            yield self._view("cv5", "Five-fold track", lambda _: self._cv5())
        yield self._view("data", "Data", lambda _: self._data())
        prefix = self.place.prefix
        yield Page(f"{prefix}leaderboard.json", self.key, self._leaderboard)
        yield Page(f"{prefix}leaderboard.csv", self.key, lambda: board_csv(self.tables))
        yield Page(f"{prefix}long.csv", self.key, lambda: long_csv(self.loaded))
        if self.interchange:
            address = self._board_address()
            yield Page(
                f"{prefix}croissant.json", self.key, lambda: plain_json(croissant(self.loaded, address))
            )
            yield Page(
                f"{prefix}eval-results.json",
                self.key,
                lambda: plain_json(eval_records(self.loaded, self.site.title)),
            )

    def _view(self, name: str, title: str, view: Any) -> Page:
        path = f"{self.place.prefix}{name}/index.html"

        def render() -> bytes:
            values = {"title": title, "current": name, **view(self.place.home(path))}
            return self.site.html(f"{name}.html", path, self.place, values)

        return Page(path, self.key, render)

    def _boards(self) -> Iterator[Page]:
        if self.loaded.board is None:
            yield self._reported("index.html", "empty.html", self.loaded.spec.title)
            return
        for target in self.loaded.board.targets:
            path = self.place.board_path(target.target)
            yield self._board(path, target.target, "board.html", board_view)
            if not self.site.release:
                yield self._picture(target.target)
            if len(target.standings) > PAGE_ROWS:
                every = path.replace("index.html", "all/index.html")
                yield self._board(every, target.target, "all.html", list_view)

    def _board(
        self,
        path: str,
        target: str,
        template: str,
        view: Callable[[Place, BoardTable, str], dict[str, Any]],
    ) -> Page:
        def render() -> bytes:
            table = next(t for t in self.tables if t.target == target)
            shown = view(self.place, table, path)
            title = f"{table.label} · {shown['heading']}"
            values = {**shown, "current": "board", "description": describe(table), "title": title}
            values["picture"] = self.place.picture_path(target)
            return self.site.html(template, path, self.place, values)

        return Page(path, self.key, render)

    def _picture(self, target: str) -> Page:
        def render() -> bytes:
            return picture(self.place, next(t for t in self.tables if t.target == target), self.site.title)

        return Page(self.place.picture_path(target), digest(self.key, PIL.__version__), render)

    def _reported(self, name: str, template: str, title: str) -> Page:
        path = f"{self.place.prefix}{name}"

        def render() -> bytes:
            entries = reported_entries(self.loaded)
            named = {m for e in entries if e.manifest.reported for m in e.manifest.reported.metrics}
            labels = {**{t.name: t.label for t in self.loaded.spec.targets}, "macro": "Mean of the findings"}
            ordered = [*(t for t in labels if t in named), *sorted(named - set(labels))]
            view = {
                "title": title,
                "heading": title,
                "current": "board" if template == "empty.html" else "reported",
                "reported": entries,
                "reported_targets": [(target, labels.get(target, target)) for target in ordered],
            }
            return self.site.html(template, path, self.place, view)

        return Page(path, self.key, render)

    def _entry(self, entry: Entry) -> Iterator[Page]:
        folder = self.place.entry_folder(entry.slug)
        path, key = f"{folder}index.html", self.entry_keys[entry.slug]

        def render() -> bytes:
            view = entry_view(
                self.loaded,
                self.whole(entry.slug),
                self.standings[entry.slug],
                self.same_ranking[entry.slug],
                self.ranked[entry.manifest.track],
                self._entry_address(entry.slug),
                self.site.title,
            )
            values = {**view, "title": entry.manifest.name, "badge": self._badge_address(entry.slug)}
            return self.site.html("entry.html", path, self.place, values)

        yield Page(path, key, render)
        standings = self.standings[entry.slug]
        yield Page(
            f"{folder}entry.json",
            key,
            lambda: published_json(published_entry(self.loaded, self.whole(entry.slug), standings)),
        )
        shown = self._model_index(entry) if self.interchange else None
        if shown is not None:
            yield Page(f"{folder}model-index.yaml", key, lambda: yaml_text(shown))
        if self.interchange and entry.scorecard is not None and entry.retraction is None:
            address = self._entry_address(entry.slug)
            yield Page(f"{folder}tripod-ai.md", key, lambda: tripod_draft(self.loaded, entry, address))
        headline = standings.get(self.loaded.spec.headline)
        if headline is not None:
            words = "not ranked" if headline.rank is None else f"rank {rank_text(headline)}"
            yield Page(
                f"{self.place.prefix}badge/{entry.slug}.svg",
                key,
                lambda: badge(f"{self.site.title} {self.loaded.spec.id}", words),
            )

    def _model_index(self, entry: Entry) -> dict[str, Any] | None:
        board = self.loaded.board
        on_board = {t.target for t in board.targets} if board and entry.manifest.track == "holdout" else set()
        targets = [t for t in self.place.targets if t in on_board and t in self.standings[entry.slug]]
        return model_index(self.loaded.spec, entry, targets, self._entry_address(entry.slug), self.site.title)

    def _board_address(self) -> str:
        base = self.site.base_address
        return f"{base}{self.place.prefix}" if base else ""

    def _entry_address(self, slug: str) -> str:
        base = self.site.base_address
        return f"{base}{self.place.entry_folder(slug)}" if base else ""

    def _badge_address(self, slug: str) -> str:
        """Address of the badge; relative to the site where its address is not known."""
        return f"{self.site.base_address}{self.place.prefix}badge/{slug}.svg"

    def _whole(self, slug: str) -> Entry:
        """An entry with its curves, which its page and its JSON show one after the other."""
        entry = self.loaded.entries[slug]
        return replace(entry, scorecard=whole_scorecard(entry, self.loaded.board), whole=None)

    def _entry_key(self, entry: Entry) -> str:
        board = self.loaded.board
        card = entry.scorecard.model_dump_json() if entry.scorecard and not entry.whole else ""
        return digest(
            self.scene_key,
            self.others_key,
            entry.manifest.model_dump_json(),
            entry.retraction.model_dump_json() if entry.retraction else "",
            board.scorecards[entry.slug] if board and entry.whole else card,
            *(record.model_dump_json() for record in entry.timings),
        )

    def _cv5(self) -> dict[str, Any]:
        """The boards of the cv5 track: out-of-fold predictions, ranked by the fold-averaged AUROC."""
        boards = self.loaded.board.cv5 if self.loaded.board else ()
        tables = [board_table(self.loaded, board.target, Track.CV5) for board in boards]
        return {
            "tables": [(table, table.choose(CV5_COLUMNS)) for table in tables],
            "entries": len({row.slug for table in tables for row in table.rows}),
        }

    def _data(self) -> dict[str, Any]:
        prefix = self.place.prefix
        files = [
            (f"{prefix}leaderboard.csv", "The boards of all labels, a row for each entry and label"),
            (f"{prefix}long.csv", "Every metric of every entry and subgroup, a row each"),
            (f"{prefix}leaderboard.json", "All that the board pages show"),
        ]
        year = max((str(e.manifest.date.year) for e in self.loaded.entries.values()), default="")
        if self.interchange:
            files += [
                (f"{prefix}croissant.json", "The cohort, its split rule and its fields in Croissant 1.1"),
                (
                    f"{prefix}eval-results.json",
                    "A record for each entry and label in the format of Every Eval Ever; beside each entry's "
                    "page stand model-index.yaml, for a model card on Hugging Face, and tripod-ai.md, a "
                    "draft of its report by TRIPOD+AI",
                ),
            ]
        return {
            "board": self.loaded.board,
            "files": files,
            "schemas": sorted(PUBLISHED),
            "bibtex": cohort_bibtex(self.loaded.spec, year, self._board_address(), self.site.title),
        }

    def _leaderboard(self) -> bytes:
        return published_json(leaderboard(self.loaded, self.tables, self.site.built_from))
