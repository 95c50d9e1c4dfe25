"""Draft of the TRIPOD+AI report of an entry: what the board knows of each item; the rest stays empty.

Sections, numbers, topics and kinds of study (development, evaluation) are those of the checklist of Collins
et al., "TRIPOD+AI statement", BMJ 2024;385:e078378, doi:10.1136/bmj-2023-078378: 27 items, 52 with their
parts. The subjects of parts are in words of our own.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.board.format import estimate, plural
from bench.board.model import Entry, LoadedBoard
from bench.board.render import markdown
from bench.cohort.spec import CohortSpec
from bench.metrics import registry
from bench.publish.interchange import split_words
from bench.scoring.scorecard import RankInputs, TargetInputs
from bench.submission.manifest import NOT_STATED, Manifest

DEVELOPMENT, EVALUATION, BOTH = "development only", "evaluation only", ""

ITEMS = (
    ("Title", (("1", "Title", BOTH),)),
    ("Abstract", (("2", "Abstract", BOTH),)),
    (
        "Introduction",
        (
            ("3a", "Background: healthcare context and rationale", BOTH),
            ("3b", "Background: target population, purpose and users", BOTH),
            ("3c", "Background: known health inequalities", BOTH),
            ("4", "Objectives", BOTH),
        ),
    ),
    (
        "Methods",
        (
            ("5a", "Data: sources", BOTH),
            ("5b", "Data: dates", BOTH),
            ("6a", "Participants: setting and centres", BOTH),
            ("6b", "Participants: eligibility", BOTH),
            ("6c", "Participants: treatments received", BOTH),
            ("7", "Data preparation", BOTH),
            ("8a", "Outcome: definition", BOTH),
            ("8b", "Outcome: assessors", BOTH),
            ("8c", "Outcome: blinding", BOTH),
            ("9a", "Predictors: choice", DEVELOPMENT),
            ("9b", "Predictors: definition", BOTH),
            ("9c", "Predictors: assessors", BOTH),
            ("10", "Sample size", BOTH),
            ("11", "Missing data", BOTH),
            ("12a", "Analytical methods: use of the data", DEVELOPMENT),
            ("12b", "Analytical methods: handling of predictors", DEVELOPMENT),
            ("12c", "Analytical methods: model and how it was built", DEVELOPMENT),
            ("12d", "Analytical methods: heterogeneity between clusters", BOTH),
            ("12e", "Analytical methods: measures of performance", BOTH),
            ("12f", "Analytical methods: model updating", EVALUATION),
            ("12g", "Analytical methods: calculation of predictions", EVALUATION),
            ("13", "Class imbalance", BOTH),
            ("14", "Fairness", BOTH),
            ("15", "Model output", DEVELOPMENT),
            ("16", "Training versus evaluation", BOTH),
            ("17", "Ethical approval", BOTH),
        ),
    ),
    (
        "Open science",
        (
            ("18a", "Funding", BOTH),
            ("18b", "Conflicts of interest", BOTH),
            ("18c", "Protocol", BOTH),
            ("18d", "Registration", BOTH),
            ("18e", "Data sharing", BOTH),
            ("18f", "Code sharing", BOTH),
        ),
    ),
    ("Patient and public involvement", (("19", "Patient and public involvement", BOTH),)),
    (
        "Results",
        (
            ("20a", "Participants: flow", BOTH),
            ("20b", "Participants: characteristics", BOTH),
            ("20c", "Participants: comparison with the development data", EVALUATION),
            ("21", "Model development: numbers in each analysis", BOTH),
            ("22", "Model specification", DEVELOPMENT),
            ("23a", "Model performance", BOTH),
            ("23b", "Model performance: heterogeneity between clusters", BOTH),
            ("24", "Model updating", EVALUATION),
        ),
    ),
    (
        "Discussion",
        (
            ("25", "Interpretation", BOTH),
            ("26", "Limitations", BOTH),
            (
                "27a",
                "Usability of the model in the context of current care: poor or missing inputs",
                DEVELOPMENT,
            ),
            ("27b", "Usability of the model in the context of current care: expertise of users", DEVELOPMENT),
            ("27c", "Usability of the model in the context of current care: next steps", BOTH),
        ),
    ),
)
"""Section → number, topic and, after the colon, subject of each item, and the studies that it is for."""


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
        "authors to write. Check every line against the checklist: Collins et al., BMJ 2024;385:e078378, "
        "https://doi.org/10.1136/bmj-2023-078378.",
        *(("", f"Source: {address}") if address else ()),
    ]
    for section, items in ITEMS:
        lines += ["", f"## {section}"]
        for number, subject, studies in items:
            only = f" ({studies})" if studies else ""
            lines += ["", f"### {number} {subject}{only}", "", *known.get(number, ())]
    return ("\n".join(lines).rstrip() + "\n").encode()


def _known(loaded: LoadedBoard, entry: Entry, card: RankInputs) -> Iterator[tuple[str, Sequence[str]]]:
    """Number and lines of each item of which something is known."""
    spec, manifest = loaded.spec, entry.manifest
    labels = ", ".join(markdown(score.label) for score in card.targets)
    test = loaded.board.test_set if loaded.board else None
    yield "1", [f"Evaluation of {markdown(manifest.name)} for {labels} on {markdown(spec.title)}."]
    synthetic = " The cohort is synthetic: no image shows a person." if card.stamp.synthetic else ""
    yield "5a", [markdown(f"{spec.title}, version {spec.version}. {spec.citation}".strip()) + synthetic]
    if manifest.model is not None:
        yield "7", [markdown(_preparation(manifest))]
    yield "8a", [f"- {markdown(_outcome(score))}" for score in card.targets]
    yield "9b", [f"Inputs: {markdown(', '.join(manifest.inputs))}."]
    if test is not None:
        yield "10", [f"- {words}" for words in _sample_size(loaded, card)]
        parts = f"{test.train_images:,} train, {test.val_images:,} val and {test.images:,} test images"
        yield "12a", [f"{parts}, split by patient. {markdown(split_words(spec))}"]
        yield (
            "20a",
            [
                f"{test.images:,} test images of {test.patients:,} patients.",
                "",
                *(_with_outcome(score) for score in card.targets),
            ],
        )
    yield "11", [_missing(score) for score in card.targets]
    yield "12c", [f"- {markdown(words)}" for words in _building(manifest)]
    yield (
        "12e",
        [
            "Measures of discrimination, overall performance and calibration as listed under 23a, with "
            f"{100 * card.level:g}% confidence intervals from {card.replicates:,} bootstrap replicates that "
            f"draw patients.{_subgroups(spec)}"
        ],
    )
    if manifest.recalibration is not None:
        yield "12f", [f"Probabilities were recalibrated on the val images: {manifest.recalibration}."]
    yield "12g", [f"Stored predictions, SHA-256 `{card.predictions_sha256}`."]
    if manifest.embeddings is not None:
        yield "13", ["The heads on the embeddings were fitted without class weights or resampling."]
    probability = card.scores == "probability"
    yield "15", ["Probability of each label." if probability else "A score, not a probability."]
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


def _subgroups(spec: CohortSpec) -> str:
    labels = [markdown(group.label) for group in spec.subgroups]
    return f" The board reports them by {', '.join(labels)} too." if labels else ""


def _with_outcome(score: TargetInputs) -> str:
    negative = score.patients - score.positive_patients
    return (
        f"- {markdown(score.label)}: {score.positive_patients:,} patients with and {negative:,} without a "
        f"positive image."
    )


def _performance(score: TargetInputs) -> Iterator[str]:
    runs = f", mean of {score.runs.count} runs" if score.runs else ""
    yield f"- {markdown(score.label)}: AUROC {estimate(score.ranked)}{runs}"
    for key, metric in registry.metrics(*registry.BINARY).items():
        shown = score.metrics.get(key)
        if metric.summary and key != "auroc" and shown is not None and shown.value is not None:
            yield f"  - {metric.label} {estimate(shown, metric.digits)}"
