"""Entries that were scored on several cohorts: their figures beside each other, and the change from home.

The cohorts have different patients, so that the standard error of a change is the root of the sum of squares
and its degrees of freedom are those of Welch and Satterthwaite.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from math import exp, log, sqrt

from bench.choices import Track
from bench.federation.model import LEVEL, TransferBoard, TransferEntry, TransferSite, TransferTarget
from bench.metrics.results import Estimate
from bench.scoring.scorecard import RankInputs, TargetInputs


def transfer(cards: Mapping[str, Sequence[RankInputs]], headline: str) -> TransferBoard:
    """Compare entries of the same slug over cohorts.

    Args:
        cards: Cohort → scorecards of its entries, the home cohort first. Those of the cv5 track are left out.
        headline: Target that is shown first.
    """
    home, *others = cards
    scored = {
        cohort: {card.slug: card for card in scorecards if card.track == Track.HOLDOUT}
        for cohort, scorecards in cards.items()
    }
    slugs = [slug for slug in scored[home] if any(slug in scored[other] for other in others)]
    names = dict.fromkeys(target.target for slug in slugs for target in scored[home][slug].targets)
    targets = []
    for name in names:
        entries = []
        label = ""
        for slug in slugs:
            shown = {c: t for c in cards if (card := scored[c].get(slug)) and (t := card.target(name))}
            if home not in shown or len(shown) < 2:
                continue
            label = shown[home].label
            sites = (
                _site(cohort, shown[cohort], None if cohort == home else shown[home]) for cohort in shown
            )
            entries.append(TransferEntry(slug=slug, sites=tuple(sites)))
        entries.sort(key=lambda entry: (-(entry.sites[0].auroc.value or 0), entry.slug))
        if entries:
            targets.append(TransferTarget(target=name, label=label, entries=tuple(entries)))
    return TransferBoard(home=home, cohorts=tuple(cards), headline=headline, targets=tuple(targets))


def _site(cohort: str, here: TargetInputs, home: TargetInputs | None) -> TransferSite:
    site = TransferSite(
        cohort=cohort,
        images=here.images,
        auroc=here.metrics["auroc"],
        calibration_in_the_large=here.metrics.get("calibration_in_the_large"),
        oe_ratio=here.metrics.get("oe_ratio"),
    )
    if home is None:
        return site
    away, at_home = here.metrics, home.metrics
    return site.model_copy(
        update={
            "change_auroc": change(away.get("auroc"), at_home.get("auroc")),
            "change_calibration_in_the_large": change(
                away.get("calibration_in_the_large"), at_home.get("calibration_in_the_large")
            ),
            "change_oe_ratio": ratio(away.get("oe_ratio"), at_home.get("oe_ratio")),
        }
    )


def change(here: Estimate | None, home: Estimate | None) -> Estimate | None:
    """Difference of a metric between two cohorts of different patients; None where one has no error."""
    return _contrast(here, home, lambda e: (e.value or 0.0, e.se or 0.0), float)


def ratio(here: Estimate | None, home: Estimate | None) -> Estimate | None:
    """Ratio of a positive metric between two cohorts of different patients, by logarithms."""
    if here is None or home is None or not (here.value or 0) > 0 or not (home.value or 0) > 0:
        return None

    def logarithm(estimate: Estimate) -> tuple[float, float]:
        value = estimate.value or 1.0
        return log(value), (estimate.se or 0.0) / value

    return _contrast(here, home, logarithm, exp)


def _contrast(
    here: Estimate | None,
    home: Estimate | None,
    scaled: Callable[[Estimate], tuple[float, float]],
    back: Callable[[float], float],
) -> Estimate | None:
    from scipy.special import stdtrit

    if here is None or home is None or None in (here.value, home.value) or not here.se or not home.se:
        return None
    (a, sa), (b, sb) = scaled(here), scaled(home)
    variance = sa**2 + sb**2
    df = variance**2 / (sa**4 / (here.df or 1.0) + sb**4 / (home.df or 1.0))
    half = float(stdtrit(df, (1 + LEVEL) / 2)) * sqrt(variance)
    return Estimate(
        value=back(a - b),
        low=back(a - b - half),
        high=back(a - b + half),
        se=sqrt(variance),
        df=df,
        method="welch-t",
    )
