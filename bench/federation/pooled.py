"""One board over several hospitals, from their aggregates: ranks, pooled metrics, prediction for a new one.

Entries are ranked by the mean of their AUROCs over the hospitals, each hospital counting the same: the
difference of two entries is then the mean of their differences within the hospitals, where they are paired.
Ranks are a statement about these hospitals. What a new one may see is the prediction interval of the
meta-analysis.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.errors import Problem, raise_errors
from bench.federation.aggregate import EXTERNAL
from bench.federation.model import (
    FIGURES,
    LEVEL,
    Figure,
    PooledEntry,
    PooledTarget,
    SiteAggregate,
    SiteCounts,
    SiteEntry,
    SitesBoard,
    SiteSummary,
    SiteTarget,
)
from bench.metrics.metric import Scale
from bench.metrics.results import PooledEstimate
from bench.metrics.validation import Floats
from bench.scoring.scorecard import SCORING_VERSION
from bench.uncertainty.meta_analysis import pool
from bench.uncertainty.site_means import compare_site_means

SCALES: dict[str, Scale] = {
    "auroc": "logit",
    "oe_ratio": "log",
    "calibration_slope": "identity",
    "calibration_in_the_large": "identity",
}
"""Metric → scale on which it is pooled."""


@dataclass(frozen=True, slots=True)
class ReadAggregate:
    """A hospital's aggregate with the place it was read from.

    Attributes:
        aggregate: What the hospital publishes.
        where: Path of the file.
        signer: Owner of the key that signed it.
        subjects: Slug → SHA-256 of the predictions it is about.
    """

    aggregate: SiteAggregate
    where: str
    signer: str
    subjects: dict[str, str]


def check_sites(read: Sequence[ReadAggregate]) -> None:
    """Refuse aggregates that do not belong on one board.

    Raises:
        BenchError: Another scoring version (``site-scoring-version``), another split rule (``site-split``),
            the same hospital twice (``site-twice``), results of a hospital that another one signed
            (``signer-unknown``), or one entry with two models (``site-model``); every fault listed.
    """
    raise_errors([*_own_faults(read), *_repeated(read), *_other_splits(read), *_other_models(read)])


def _own_faults(read: Sequence[ReadAggregate]) -> list[Problem]:
    problems = []
    for file in read:
        stated = file.aggregate
        if stated.scoring_version != SCORING_VERSION:
            message = f"Scored with scoring version {stated.scoring_version}, here it is {SCORING_VERSION}."
            problems.append(Problem("site-scoring-version", message, file.where))
        if stated.site != file.signer:
            message = f"Results of {stated.site!r}, signed with the key of {file.signer!r}."
            problems.append(Problem("signer-unknown", message, file.where))
        for target in stated.targets:
            if {entry.slug for entry in target.entries} - set(file.subjects):
                message = f"Target {target.target!r} has entries that the statement does not cover."
                problems.append(Problem("statement-invalid", message, file.where))
    return problems


def _repeated(read: Sequence[ReadAggregate]) -> list[Problem]:
    problems = []
    for i, file in enumerate(read):
        for earlier in read[:i]:
            shared = set(file.subjects.items()) & set(earlier.subjects.items())
            if file.aggregate.site == earlier.aggregate.site:
                message = f"Site {file.aggregate.site!r} is also in {earlier.where}."
                problems.append(Problem("site-twice", message, file.where))
            elif shared:
                count = "1 entry is" if len(shared) == 1 else f"{len(shared)} entries are"
                message = f"{count} scored on the same predictions as in {earlier.where}."
                problems.append(Problem("site-twice", message, file.where))
    return problems


def _other_splits(read: Sequence[ReadAggregate]) -> list[Problem]:
    problems = []
    own = [file for file in read if file.aggregate.split != EXTERNAL]
    for file in own[1:]:
        first, here = own[0].aggregate, file.aggregate
        if here.split != first.split:
            message = f"Its split is {here.split!r}, that of {own[0].where} {first.split!r}."
            problems.append(Problem("site-split", message, file.where))
        elif here.cohort == first.cohort and here.split_salt != first.split_salt:
            message = f"It splits cohort {here.cohort!r} with another salt than {own[0].where}."
            problems.append(Problem("site-split", message, file.where))
    return problems


def _other_models(read: Sequence[ReadAggregate]) -> list[Problem]:
    known: dict[str, tuple[str, str]] = {}
    problems: dict[tuple[str, str], Problem] = {}
    for file in read:
        for target in file.aggregate.targets:
            for entry in target.entries:
                first, where = known.setdefault(entry.slug, (entry.model_sha256, file.where))
                if entry.model_sha256 != first and entry.model_sha256 and first:
                    message = f"Entry {entry.slug!r} is another model than in {where}."
                    problems[entry.slug, file.where] = Problem("site-model", message, file.where)
    return list(problems.values())


def pooled_board(sites: Sequence[SiteAggregate]) -> SitesBoard:
    """Compute the board over several hospitals.

    Args:
        sites: Their aggregates, checked; the order is that of the columns.
    """
    names = dict.fromkeys(target.target for site in sites for target in site.targets)
    return SitesBoard(
        scoring_version=SCORING_VERSION,
        level=LEVEL,
        headline=sites[0].headline,
        sites=tuple(
            SiteSummary(
                site=s.site,
                cohort=s.cohort,
                cohort_version=s.cohort_version,
                synthetic=s.synthetic,
                split=s.split,
            )
            for s in sites
        ),
        targets=tuple(_target(name, sites) for name in names),
    )


def _target(name: str, sites: Sequence[SiteAggregate]) -> PooledTarget:
    by_site = {site.site: target for site in sites if (target := site.target(name)) is not None}
    used = {site: target for site, target in by_site.items() if target.entries}
    slugs = sorted({entry.slug for target in used.values() for entry in target.entries})
    results = {slug: {site: entry for site, t in used.items() if (entry := t.entry(slug))} for slug in slugs}
    everywhere = [slug for slug in slugs if len(results[slug]) == len(used)]
    entries = [_unranked(slug, results[slug], used) for slug in slugs if slug not in everywhere]
    critical = None
    if everywhere:
        ranked, critical = _ranked(everywhere, results, used)
        entries = [*ranked, *entries]
    return PooledTarget(
        target=name,
        label=next(iter(by_site.values())).label,
        counts=tuple(
            SiteCounts(
                site=site,
                images=target.images,
                patients=target.patients,
                positives=target.positives,
                withheld=target.withheld,
            )
            for site, target in by_site.items()
        ),
        critical=critical,
        entries=tuple(entries),
    )


def _unranked(slug: str, results: dict[str, SiteEntry], used: dict[str, SiteTarget]) -> PooledEntry:
    missing = [site for site in used if site not in results]
    return PooledEntry(
        slug=slug,
        pooled=_pooled(results),
        sites=_figures(results),
        unranked_reason=f"no result at {', '.join(missing)}",
    )


def _figures(results: dict[str, SiteEntry]) -> dict[str, dict[str, Figure]]:
    return {site: entry.figures for site, entry in results.items()}


def _pooled(results: dict[str, SiteEntry]) -> dict[str, PooledEstimate]:
    return {
        key: pool(
            [figure.value for figure in figures],
            [figure.se for figure in figures],
            SCALES[key],
            LEVEL,
        )
        for key in FIGURES
        if (figures := [entry.figures[key] for entry in results.values() if key in entry.figures])
    }


def _ranked(
    slugs: Sequence[str], results: dict[str, dict[str, SiteEntry]], used: dict[str, SiteTarget]
) -> tuple[list[PooledEntry], float | None]:
    """Entries that every hospital scored, by rank, and the critical value of their comparisons."""
    figures = [[results[slug][site].figures["auroc"] for slug in slugs] for site in used]
    family = compare_site_means(
        np.array([[figure.value for figure in row] for row in figures], np.float64),
        np.stack([_square(target, slugs) for target in used.values()]),
        np.array([[figure.df or 1.0 for figure in row] for row in figures]),
        LEVEL,
    )
    entries = [
        PooledEntry(
            slug=slug,
            mean_auroc=float(family.means[i]),
            rank=int(family.rank[i]),
            rank_low=int(family.rank_low[i]),
            rank_high=int(family.rank_high[i]),
            may_be_first=bool(family.rank_low[i] == 1),
            pooled=_pooled(results[slug]),
            sites=_figures(results[slug]),
        )
        for i, slug in enumerate(slugs)
    ]
    critical = float(family.critical) if np.isfinite(family.critical) else None
    return sorted(entries, key=lambda entry: (entry.rank or 0, entry.slug)), critical


def _square(target: SiteTarget, slugs: Sequence[str]) -> Floats:
    """(S, S) standard errors of the differences of these entries at one hospital."""
    place = {entry.slug: i for i, entry in enumerate(target.entries)}
    full = np.zeros((len(place), len(place)))
    for i, row in enumerate(target.difference_se, 1):
        full[i, :i] = full[:i, i] = row
    chosen = [place[slug] for slug in slugs]
    return full[np.ix_(chosen, chosen)]
