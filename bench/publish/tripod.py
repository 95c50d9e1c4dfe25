"""Draft of the TRIPOD+AI report of an entry: what the board knows of each item; the rest stays empty.

The items follow Collins et al., "TRIPOD+AI statement", BMJ 2024;385:e078378, in words of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.board.format import estimate, plural
from bench.board.model import Entry, LoadedBoard
from bench.board.render import markdown
from bench.metrics import registry
from bench.publish.interchange import split_words
from bench.scoring.scorecard import RankInputs, TargetInputs
from bench.submission.manifest import NOT_STATED, Manifest

ITEMS = (
    ("Title and abstract", (("1", "Title"), ("2", "Abstract"))),
    (
        "Introduction",
        (
            ("3a", "Healthcare context and rationale"),
            ("3b", "Target population, purpose and users"),
            ("3c", "Known health inequalities"),
            ("4", "Objectives"),
        ),
    ),
    (
        "Methods",
        (
            ("5a", "Sources of data"),
            ("5b", "Dates of the data"),
            ("6a", "Setting and centres"),
            ("6b", "Eligibility"),
            ("6c", "Treatments received"),
            ("7", "Data preparation"),
            ("8a", "Outcome"),
            ("8b", "Assessors of the outcome"),
            ("8c", "Blinding of the outcome"),
            ("9a", "Choice of predictors"),
            ("9b", "Definition of predictors"),
            ("9c", "Assessors of predictors"),
            ("10", "Sample size"),
            ("11", "Missing data"),
            ("12a", "Use of the data"),
            ("12b", "Handling of predictors"),
            ("12c", "Model and how it was built"),
            ("12d", "Heterogeneity between clusters"),
            ("12e", "Measures of performance"),
            ("12f", "Model updating"),
            ("12g", "Calculation of predictions"),
            ("13", "Class imbalance"),
            ("14", "Fairness"),
            ("15", "Model output"),
            ("16", "Differences between training and evaluation"),
            ("17", "Ethical approval"),
        ),
    ),
    (
        "Open science",
        (
            ("18a", "Funding"),
            ("18b", "Conflicts of interest"),
            ("18c", "Protocol"),
            ("18d", "Registration"),
            ("18e", "Data sharing"),
            ("18f", "Code sharing"),
            ("19", "Patient and public involvement"),
        ),
    ),
    (
        "Results",
        (
            ("20a", "Flow of participants"),
            ("20b", "Characteristics of participants"),
            ("20c", "Comparison with the development data"),
            ("21", "Numbers in each analysis"),
            ("22", "Model specification"),
            ("23a", "Performance"),
            ("23b", "Heterogeneity of performance"),
            ("24", "Results of updating"),
        ),
    ),
    (
        "Discussion",
        (
            ("25", "Interpretation"),
            ("26", "Limitations"),
            ("27a", "Poor or missing inputs"),
            ("27b", "Expertise of users"),
            ("27c", "Next steps"),
        ),
    ),
)
"""Sections with the number and the subject of each item."""


def tripod_draft(loaded: LoadedBoard, entry: Entry, address: str = "") -> bytes:
    """Return the draft in Markdown; every text of an author or a spec is escaped.

    Args:
        loaded: The board.
        entry: An entry with a scorecard that is not retracted.
        address: Where its page stands; empty where that is not known.

    Raises:
        ValueError: The entry has no scorecard.
    """
    if entry.scorecard is None:
        raise ValueError(f"entry {entry.slug} has no scorecard")
    known = dict(_known(loaded, entry, entry.scorecard))
    lines = [
        f"# TRIPOD+AI draft: {markdown(entry.manifest.name)}",
        "",
        "Filled in from the entry's manifest, its scorecard and the cohort's spec. Empty items are for the "
        "authors to write. Check every line against the checklist at https://www.tripod-statement.org.",
        *(("", f"Source: {address}") if address else ()),
    ]
    for section, items in ITEMS:
        lines += ["", f"## {section}"]
        for number, subject in items:
            lines += ["", f"### {number} {subject}", "", *known.get(number, ())]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _known(loaded: LoadedBoard, entry: Entry, card: RankInputs) -> Iterator[tuple[str, Sequence[str]]]:
    """Number and lines of each item of which something is known."""
    spec, manifest = loaded.spec, entry.manifest
    labels = ", ".join(markdown(score.label) for score in card.targets)
    held = loaded.board.test_set if loaded.board else None
    yield "1", [f"Evaluation of {markdown(manifest.name)} for {labels} on {markdown(spec.title)}."]
    synthetic = " The cohort is synthetic: no image shows a person." if card.stamp.synthetic else ""
    yield "5a", [markdown(f"{spec.title}, version {spec.version}. {spec.citation}".strip()) + synthetic]
    if manifest.model is not None:
        yield "7", [markdown(_preparation(manifest))]
    yield "8a", [f"- {markdown(_outcome(score))}" for score in card.targets]
    yield "9b", [f"Inputs: {markdown(', '.join(manifest.inputs))}."]
    if held is not None:
        yield "10", [f"- {words}" for words in _sample_size(loaded, card)]
        parts = f"{held.train_images:,} train, {held.val_images:,} val and {held.images:,} test images"
        yield "12a", [f"{parts}, split by patient. {markdown(split_words(spec))}"]
        yield "20a", [f"{held.images:,} test images of {held.patients:,} patients."]
    yield "11", [_missing(score) for score in card.targets]
    yield "12c", [f"- {markdown(words)}" for words in _building(manifest)]
    yield (
        "12e",
        [
            "Measures of discrimination, overall performance and calibration as listed under 23a, with "
            f"{100 * card.level:g}% confidence intervals from {card.replicates:,} bootstrap replicates that "
            "draw patients."
        ],
    )
    if manifest.recalibration is not None:
        yield "12f", [f"Probabilities were recalibrated on the val images: {manifest.recalibration}."]
    yield "12g", [f"Stored predictions, SHA-256 `{card.predictions_sha256}`."]
    yield "13", [_prevalence(score) for score in card.targets]
    if groups := [group.label for group in spec.subgroups]:
        yield "14", [f"Subgroups that the board reports: {markdown(', '.join(groups))}."]
    probability = card.scores == "probability"
    yield "15", ["Probability of each label." if probability else "A score that is no probability."]
    if manifest.zero_shot is not None:
        unseen = "No image of the cohort was trained or tuned on."
        seen = "The cohort's train images were used; train and test share no patient."
        yield "16", [unseen if manifest.zero_shot else seen]
    if entry.registered is not None:
        yield "18d", [f"Registered with the board on {entry.registered.isoformat()}, before scoring."]
    if spec.licence:
        yield "18e", [f"Licence of the data: {markdown(spec.licence)}."]
    links = [f"{markdown(name)}: {link}" for name, link in sorted(manifest.links.items())]
    if links:
        yield "18f", links
    yield (
        "21",
        [
            f"- {markdown(score.label)}: {plural(score.patients, 'patient')}, {score.positive_patients:,} "
            f"with the finding; {plural(score.images, 'image')}, {score.positives:,} positive."
            for score in card.targets
        ],
    )
    yield "23a", [line for score in card.targets for line in _performance(score)]


def _preparation(manifest: Manifest) -> str:
    image = manifest.model.image if manifest.model else None
    if image is None:
        return ""
    smoothing = "with" if image.antialias else "without"
    values = image.range if isinstance(image.range, str) else f"{image.range[0]:g} to {image.range[1]:g}"
    return (
        f"Grey images resized to {image.height} × {image.width} pixels ({image.resize}, {smoothing} "
        f"antialiasing), deep images to 8 bits by range {values}; divided by {image.scale:g}, mean "
        f"{list(image.mean)}, standard deviation {list(image.std)}."
    )


def _outcome(score: TargetInputs) -> str:
    return f"{score.label} ({score.target}), positive or negative for each image."


def _sample_size(loaded: LoadedBoard, card: RankInputs) -> Iterator[str]:
    for resolution in loaded.board.test_set.targets if loaded.board else ():
        if card.target(resolution.target) is not None and resolution.half_width_low is not None:
            yield (
                f"{markdown(resolution.label)}: {plural(resolution.positive_patients, 'positive patient')}; "
                f"an AUROC near 0.80 has a 95% confidence interval of about ±{resolution.half_width_low:.2f}."
            )


def _missing(score: TargetInputs) -> str:
    return f"- {markdown(score.label)}: {plural(score.excluded, 'test image')} without a label left out."


def _building(manifest: Manifest) -> Iterator[str]:
    stated = (
        ("Kind", manifest.kind),
        ("Trained on", manifest.training_data),
        ("Other data", manifest.external_data),
        ("Pretrained weights", manifest.pretrained_weights),
        ("Parameters", NOT_STATED if manifest.parameters is None else f"{manifest.parameters:,}"),
        ("Description", manifest.description or NOT_STATED),
    )
    for words, value in stated:
        if value != NOT_STATED:
            yield f"{words}: {' '.join(value.split())}"


def _prevalence(score: TargetInputs) -> str:
    share = "not known" if score.prevalence is None else f"{100 * score.prevalence:.1f}%"
    return f"- {markdown(score.label)}: {share} of the test images are positive."


def _performance(score: TargetInputs) -> Iterator[str]:
    runs = f", mean of {score.runs.count} runs" if score.runs else ""
    yield f"- {markdown(score.label)}: AUROC {estimate(score.ranked)}{runs}"
    for key, metric in registry.metrics(*registry.BINARY).items():
        shown = score.metrics.get(key)
        if metric.summary and key != "auroc" and shown is not None and shown.value is not None:
            yield f"  - {metric.label} {estimate(shown, metric.digits)}"
