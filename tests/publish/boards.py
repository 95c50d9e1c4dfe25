"""Boards with seeded random numbers: the shape of real ones, and names that attack."""

from __future__ import annotations

import dataclasses
import datetime
import random

from bench.board.matrix import PairMatrix
from bench.board.model import Board, Entry, LoadedBoard, SameRanking, Standing, TargetBoard, TestSet
from bench.cohort.spec import load_spec
from bench.cohort.summary import TargetResolution
from bench.metrics.results import BrierParts, Estimate
from bench.scoring.scorecard import (
    SCORING_VERSION,
    ContinuousScore,
    DecisionPoint,
    Flag,
    OperatingPoint,
    Point,
    PrevalenceShift,
    Recalibration,
    ReliabilityBin,
    Scorecard,
    ScoreDistribution,
    ShiftedPoint,
    SlidingPoint,
    SlidingThreshold,
    SmoothCalibration,
    Stamp,
    SubgroupScore,
    TargetScore,
    YieldPoint,
)
from bench.submission.manifest import Manifest, Reported, ReportedValue
from bench.timing.protocol import Protocol
from bench.timing.record import (
    BatchTiming,
    ColdStart,
    Instability,
    Latency,
    Parity,
    Percentile,
    Stability,
    Throughput,
    TimingRecord,
)

HOSTILE = (
    "<script>alert(1)</script>",
    "=cmd|'/C calc'!A0",
    '"><img src=x onerror=alert(1)>',
    "نموذج الأشعة",
    "胸部X线模型",
    "A" * 200,
    "@SUM(1+1)*cmd",
    "{{ 7 * 7 }} {% raw %}",
    "evil \u05d0\u05d1\u05d2",
)
LABELS = {"composite_slvh_dlv": "Composite", "slvh": "SLVH", "dlv": "DLV"}

# What is the same for every entry is made once: with a thousand entries it would be most of the work.
PRECISION_RECALL = tuple(Point(x=x / 120, y=1 - 0.86 * x / 120) for x in range(121))
DECISION = tuple(
    DecisionPoint(
        threshold=t / 100,
        net_benefit=0.13 - 0.2 * t / 100,
        low=0.12 - 0.25 * t / 100,
        high=0.14 - 0.15 * t / 100,
        treat_all=0.138 - 0.9 * t / 100,
    )
    for t in range(1, 51)
)


def estimate(value: float | None, half: float = 0.02, reason: str = "") -> Estimate:
    if value is None:
        return Estimate(value=None, reason=reason or "only one class")
    return Estimate(value=value, low=max(value - half, 0.0), high=min(value + half, 1.0), se=half / 2, df=30)


def target_score(target: str, rng: random.Random, auroc: float, calibrated: bool = True) -> TargetScore:
    odd = None if calibrated else "scores are uncalibrated, so calibration is not applicable"
    curve = [(x / 120, (x / 120) ** (1 / auroc - 0.9)) for x in range(121)]
    bins = [
        ReliabilityBin(
            low=i / 10,
            high=(i + 1) / 10,
            images=None if i == 8 else rng.randint(20, 400),
            mean_prediction=None if i == 8 else i / 10 + 0.05,
            observed=None if i == 8 else min(i / 10 + rng.uniform(0, 0.1), 1.0),
            observed_low=None if i == 8 else max(i / 10 - 0.05, 0.0),
            observed_high=None if i == 8 else min(i / 10 + 0.15, 1.0),
        )
        for i in range(10)
    ]
    shares = [rng.random() for _ in range(20)]
    total = sum(shares)
    return TargetScore(
        target=target,
        label=LABELS.get(target, target),
        images=1234,
        excluded=2,
        patients=1102,
        positives=170,
        positive_patients=140,
        prevalence=170 / 1234,
        metrics={
            "auroc": estimate(auroc),
            "auprc": estimate(auroc / 2, 0.05),
            "brier": estimate(rng.uniform(0.06, 0.12), 0.01) if not odd else estimate(None, reason=odd),
            "ece": Estimate(value=rng.uniform(0.03, 0.1), noise_floor=0.021)
            if not odd
            else estimate(None, reason=odd),
            "calibration_slope": estimate(rng.uniform(0.7, 0.99), 0.1)
            if not odd
            else estimate(None, reason=odd),
            "calibration_intercept": Estimate(value=-0.36, low=-0.5, high=-0.2)
            if not odd
            else estimate(None, reason=odd),
            "sensitivity_at_90_specificity": estimate(rng.uniform(0.3, 0.6), 0.05),
            "specificity_at_90_sensitivity": estimate(0.9 - (0.9 - auroc) / 2, 0.05),
            "oe_ratio": Estimate(value=0.5, low=0.45, high=0.56) if not odd else estimate(None, reason=odd),
        },
        estimands={"patient_weighted": estimate(auroc - 0.01), "first_image": estimate(auroc + 0.005)},
        roc=tuple(Point(x=x, y=y) for x, y in curve),
        precision_recall=PRECISION_RECALL,
        reliability=tuple(bins) if calibrated else (),
        distribution=ScoreDistribution(
            low=0.0,
            high=1.0,
            positive=tuple(s / total for s in shares),
            negative=tuple(s / total for s in shares[::-1]),
        ),
        decision=DECISION if calibrated else (),
        brier_parts=BrierParts(miscalibration=0.004, discrimination=0.03, uncertainty=0.118)
        if calibrated
        else None,
        operating_points=tuple(
            OperatingPoint(
                rule=rule,
                chosen_on="val",
                threshold=0.31,
                called=240,
                moved=3,
                sensitivity=estimate(0.52, 0.1),
                specificity=estimate(0.9, 0.01),
                ppv=estimate(0.4, 0.08),
                npv=estimate(0.95, 0.01),
            )
            for rule in ("specificity 0.9", "sensitivity 0.9")
        ),
        detection_yield=(
            YieldPoint(examined=0.05, per_100=48.2, found=0.175),
            YieldPoint(examined=0.2, per_100=33.0, found=0.479),
        ),
        prevalence_shifts=(
            PrevalenceShift(
                prevalence=0.05,
                intercept=-1.11,
                points=(
                    ShiftedPoint(
                        rule="specificity 0.9", called=0.121, ppv=0.215, npv=0.973, net_benefit=0.0123
                    ),
                ),
            ),
        ),
        smooth_calibration=SmoothCalibration(
            ici=0.012, e50=0.009, e90=0.031, emax=0.087, points=(Point(x=0.1, y=0.12), Point(x=0.6, y=0.5))
        )
        if calibrated
        else None,
        brier_skill=estimate(0.15, 0.04) if calibrated else None,
        recalibrated=Recalibration(
            slope=1.12,
            intercept=-0.05,
            metrics={"brier": estimate(0.08, 0.01), "ece": estimate(0.01, 0.01)},
        )
        if calibrated
        else None,
    )


def subgroups(target: str, auroc: float) -> tuple[SubgroupScore, ...]:
    shown = [("sex", "Sex", "Female"), ("sex", "Sex", "Male"), ("age", "Age", "40–59 years")]
    return (
        *(
            SubgroupScore(
                target=target,
                division=division,
                division_label=label,
                level=level,
                suppressed=False,
                images=400,
                patients=300,
                positives=50,
                metrics={"auroc": estimate(auroc - 0.03, 0.05)},
                gaps={"auroc": Estimate(value=-0.04, low=-0.1, high=0.02)},
                decisions={"sensitivity": estimate(0.47, 0.11), "specificity": estimate(0.91, 0.02)},
            )
            for division, label, level in shown
        ),
        SubgroupScore(
            target=target,
            division="device",
            division_label="Pacemaker or ICD",
            level="Pacemaker or ICD",
            suppressed=True,
            reason="fewer than 20 positive patients",
        ),
    )


def stamp() -> Stamp:
    return Stamp(cohort="demo", version="1", fingerprint="ab12" * 16, synthetic=True)


def scorecard(slug: str, rng: random.Random, auroc: float, calibrated: bool = True) -> Scorecard:
    targets = tuple(
        target_score(t, rng, auroc + shift, calibrated)
        for t, shift in zip(LABELS, (0.0, -0.03, 0.03), strict=True)
    )
    return Scorecard(
        slug=slug,
        stamp=stamp(),
        harness_version="0.1.0",
        scoring_version=SCORING_VERSION,
        predictions_sha256="9f2c4a1e" * 8,
        track="holdout",
        scores="probability" if calibrated else "uncalibrated",
        seed=0,
        replicates=2000,
        level=0.95,
        headline="composite_slvh_dlv",
        targets=targets,
        macro=estimate(auroc),
        continuous=(
            ContinuousScore(
                target="ivsd",
                label="Interventricular septum",
                unit="cm",
                images=1200,
                excluded=34,
                patients=1090,
                metrics={"mae": estimate(0.14), "r2": estimate(0.2)},
            ),
        ),
        subgroups=tuple(g for t in targets for g in subgroups(t.target, auroc)),
        sliding=(
            SlidingThreshold(
                target="slvh",
                measurement="ivsd",
                label="SLVH by Interventricular septum",
                unit="cm",
                points=(
                    SlidingPoint(threshold=1.2, positives=310, auroc=estimate(0.71)),
                    SlidingPoint(
                        threshold=1.6,
                        positives=None,
                        auroc=Estimate(value=None, reason="fewer than 20 patients"),
                    ),
                ),
            ),
        ),
        flags=(Flag(code="few-positives", message="Only 12 positive patients.", target="slvh"),),
    )


def latency(median: float) -> Latency:
    value = Percentile(value_ms=median, low_ms=median * 0.97, high_ms=median * 1.03)
    none = Percentile(value_ms=None, reason="fewer than 368 runs")
    return Latency(n=300, mean_ms=median, cv=0.02, p50=value, p90=value, p95=value, p99=none)


def timing(slug: str, median: float, *, stable: bool = True, parity: str = "passed") -> TimingRecord:
    reason = Instability(code="variation", message="The latencies vary by 14%.", value=0.14, limit=0.1)
    rows = [
        BatchTiming(
            batch=batch,
            status="ok",
            compute=latency(median * batch**0.7),
            end_to_end=latency(median * batch**0.8),
            throughput=Throughput(images_per_s=900.0 / median, low=800.0, high=1000.0, in_flight=2),
            cold_start=ColdStart(prepare_ms=100.0, first_inference_ms=20.0),
            stability=Stability(stable=stable, reasons=() if stable else (reason,)),
            parity=Parity(
                status="passed" if parity == "passed" else "failed",
                images=256,
                message="" if parity == "passed" else "Largest difference 0.31 is above 0.0001",
            ),
            blocks=5,
        )
        for batch in (1, 8)
    ]
    protocol = Protocol(
        name="full",
        blocks=5,
        warmup_s=1,
        warmup_runs=50,
        measure_s=3,
        measure_runs=400,
        throughput_s=3,
        parity_images=256,
        limit_s=600,
    )
    return TimingRecord(
        slug=slug,
        cohort="demo",
        backend="onnxruntime-cpu",
        backend_label="ONNX Runtime (CPU)",
        device="Example CPU",
        is_gpu=False,
        precision="fp32",
        model_sha256="00" * 32,
        harness_version="0.1.0",
        measured_on=datetime.date(2026, 11, 1),
        protocol=protocol,
        batches=tuple(rows),
    )


def manifest(index: int, rng: random.Random, name: str = "", kind: str = "model") -> Manifest:
    family = ("ResNet-50", "DenseNet-121", "ConvNeXt-T", "ViT-B/16", "RAD-DINO")[index % 5]
    reported = None
    if kind == "reported":
        reported = Reported(
            citation="An Author, 2024, A Journal",
            split="90/5/5 by patient, unreleased",
            caveat="The split is not public.",
            link="https://example.org/paper",
            metrics={
                "composite_slvh_dlv": ReportedValue(auroc=0.8, low=0.78, high=0.83),
                "macro": ReportedValue(auroc=0.79),
            },
        )
    return Manifest.model_validate(
        {
            "name": name or f"{family} #{index}",
            "team": f"Lab {'ABCDEFG'[index % 7]}",
            "date": datetime.date(2026, 1, 1) + datetime.timedelta(days=rng.randint(0, 300)),
            "kind": kind,
            "inputs": ("image",) if index % 3 else ("image", "age", "sex"),
            "parameters": 25_000_000 + index,
            "scores": "uncalibrated" if index % 10 == 7 else "probability",
            "links": {"Code": "https://example.org/code"},
            "reported": reported,
        }
    )


def entries(count: int, rng: random.Random, names: tuple[str, ...] = ()) -> dict[str, Entry]:
    found: dict[str, Entry] = {}
    for index in range(count):
        slug = f"entry-{index:04d}"
        auroc = 0.85 - 0.2 * index / max(count, 1) + rng.uniform(-0.005, 0.005)
        timings = (
            ()
            if index % 9 == 4
            else (
                timing(
                    slug,
                    rng.uniform(0.8, 12),
                    stable=index % 8 != 3,
                    parity="failed" if index % 11 == 5 else "passed",
                ),
            )
        )
        name = names[index] if index < len(names) else ""
        described = manifest(index, rng, name)
        card = scorecard(slug, rng, auroc, described.scores == "probability")
        found[slug] = Entry(slug, described, card, timings)
    return found


def standings(found: dict[str, Entry], target: str, tied: int) -> tuple[Standing, ...]:
    scored = [(e.scorecard.target(target), e.slug) for e in found.values() if e.scorecard]
    order = sorted(((s.metrics["auroc"].value or 0.0, slug) for s, slug in scored if s), reverse=True)
    last = len(order)
    return tuple(
        Standing(
            slug=slug,
            auroc=value,
            rank=index + 1,
            rank_low=1 if index <= tied else max(index - 2, 1) + 1,
            rank_high=min(index + 4, last),
            may_be_first=index <= tied,
            tied_with_leader=index <= tied,
            p_best=1 / (index + 2),
            difference=None if index == 0 else value - order[0][0],
            difference_low=None if index == 0 else value - order[0][0] - 0.02,
            difference_high=None if index == 0 else value - order[0][0] + 0.02 if index <= tied else -0.002,
            p_value=None if index == 0 else 0.3 if index <= tied else 0.03,
            reference_difference=value - 0.5,
            reference_difference_low=value - 0.53,
            reference_difference_high=value - 0.47,
            reference_p_value=0.0004,
        )
        for index, (value, slug) in enumerate(order)
    )


def pair_matrix(ranked: tuple[Standing, ...]) -> PairMatrix:
    """Pairs that are separated where a row is significantly lower than the leader, by half-widths of 0.02."""
    pairs = [(a.auroc - b.auroc, a, b) for i, a in enumerate(ranked) for b in ranked[i + 1 :]]
    half = [0.02 if b.tied_with_leader else 0.0001 for _, _, b in pairs]
    low = [
        min(d - h, 0.0) if b.tied_with_leader else max(d - h, 1e-6)
        for (d, _, b), h in zip(pairs, half, strict=True)
    ]
    return PairMatrix(
        slugs=tuple(s.slug for s in ranked),
        difference=tuple(d for d, _, _ in pairs),
        low=tuple(low),
        high=tuple(d + h for (d, _, _), h in zip(pairs, half, strict=True)),
        p_adjusted=tuple(0.3 if b.tied_with_leader else 0.03 for _, _, b in pairs),
        p=tuple(0.04 if b.tied_with_leader else 0.001 for _, _, b in pairs),
    )


def loaded_board(
    count: int = 12,
    seed: int = 1,
    *,
    names: tuple[str, ...] = (),
    tied: int = 2,
    title: str = "Echo labels from chest X-rays",
) -> LoadedBoard:
    """A board of the demo cohort with `count` ranked entries, one unranked, and one reported one."""
    rng = random.Random(seed)
    found = entries(count, rng, names)
    tied = min(tied, max(count - 1, 0))
    targets = []
    for target, label in LABELS.items():
        ranked = standings(found, target, tied)
        control = Standing(
            slug="control",
            auroc=0.5,
            rank=None,
            rank_low=None,
            rank_high=None,
            unranked_reason="control: shuffled labels",
        )
        targets.append(
            TargetBoard(
                target=target,
                label=label,
                leader=ranked[0].slug if ranked else None,
                others_may_be_first=tied,
                standings=(*ranked, control),
                reference="control",
                critical=3.1,
                pairs=pair_matrix(ranked[:40]),
                same_ranking=(SameRanking(slugs=(ranked[0].slug, ranked[1].slug), identical=False),)
                if count > 5
                else (),
            )
        )
    found["control"] = Entry(
        "control", manifest(3, rng, "Shuffled labels", "baseline"), scorecard("control", rng, 0.5), ()
    )
    found["paper"] = Entry("paper", manifest(2, rng, "A paper's DenseNet", "reported"), None, ())
    resolutions = tuple(
        TargetResolution(
            target=t,
            label=label,
            images=1234,
            patients=1102,
            positives=170,
            positive_patients=140,
            prevalence=170 / 1234,
            half_width_low=0.017,
            half_width_high=0.025,
            paired_difference_low=0.02,
            paired_difference_high=0.029,
        )
        for t, label in LABELS.items()
    )
    board = Board(
        stamp=stamp(),
        title=title,
        headline="composite_slvh_dlv",
        scoring_version=SCORING_VERSION,
        seed=0,
        replicates=2000,
        level=0.95,
        test_set=TestSet(images=1234, patients=1102, train_images=5000, val_images=600, targets=resolutions),
        targets=tuple(targets),
        scorecards=dict.fromkeys(found, "00" * 32),
    )
    return LoadedBoard(load_spec("demo"), board, found)


def reported_only() -> LoadedBoard:
    """The real cohort as it is published: nobody's predictions, numbers from papers."""
    rng = random.Random(5)
    paper = manifest(2, rng, "A paper's DenseNet", "reported")
    assert paper.reported is not None
    every = {name: ReportedValue(auroc=0.75, low=0.7, high=0.8) for name in (*LABELS, "macro")}
    other = paper.model_copy(update={"reported": paper.reported.model_copy(update={"metrics": every})})
    said = {"paper": paper, "every-target": other}
    return LoadedBoard(
        load_spec("chexchonet"), None, {slug: Entry(slug, m, None, ()) for slug, m in said.items()}
    )


def with_bare_entry(board: LoadedBoard, slug: str) -> LoadedBoard:
    """The board with an entry of which nothing is known but that it exists."""
    entry = board.entries[slug]
    assert entry.scorecard is not None
    assert board.board is not None
    empty = entry.scorecard.model_copy(
        update={"targets": (), "macro": None, "subgroups": (), "continuous": (), "flags": ()}
    )

    def forget(standing: Standing) -> Standing:
        if standing.slug != slug:
            return standing
        return Standing(slug=slug, auroc=None, rank=None, rank_low=None, rank_high=None)

    targets = tuple(
        t.model_copy(
            update={"standings": tuple(sorted(map(forget, t.standings), key=lambda s: s.rank is None))}
        )
        for t in board.board.targets
    )
    bare = dataclasses.replace(entry, scorecard=empty, timings=())
    return dataclasses.replace(
        board,
        board=board.board.model_copy(update={"targets": targets}),
        entries={**board.entries, slug: bare},
    )
