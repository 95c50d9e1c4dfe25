"""The board in formats of other catalogues: Croissant, Every Eval Ever, and Hugging Face's model index.

They name the cohort, its split rule and its fields, and never an address of the data. Only boards of cohorts
with public labels have them.
"""

from __future__ import annotations

import datetime
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import cache
from math import isfinite
from typing import Any

from pydantic_core import to_json

from bench.board.model import Entry, LoadedBoard, Standing
from bench.choices import LabelMode
from bench.cohort.spec import CohortSpec, ContinuousTarget, PatientColumn
from bench.metrics import registry
from bench.metrics.metric import Direction
from bench.metrics.results import Estimate
from bench.scoring.scorecard import RankInputs, TargetInputs
from bench.workspace import SITE_TITLE

EVAL_SCHEMA = "0.3.0"
"""Version of the schema of Every Eval Ever that `eval_records` follows."""
CROISSANT = "http://mlcommons.org/croissant/1.1"
_CROISSANT_TERMS = [
    "arrayShape",
    "citeAs",
    "column",
    "containedIn",
    "equivalentProperty",
    "extract",
    "field",
    "fileProperty",
    "fileObject",
    "fileSet",
    "format",
    "includes",
    "isArray",
    "isLiveDataset",
    "jsonPath",
    "key",
    "md5",
    "parentField",
    "path",
    "recordSet",
    "references",
    "regex",
    "repeated",
    "replace",
    "samplingRate",
    "separator",
    "source",
    "subField",
    "transform",
]
CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "sc": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "conformsTo": "dct:conformsTo",
    "data": {"@id": "cr:data", "@type": "@json"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "name": {"@container": "@language"},
    "description": {"@container": "@language"},
    **{term: f"cr:{term}" for term in _CROISSANT_TERMS},
}
"""The JSON-LD context of Croissant 1.1."""


def has_interchange(loaded: LoadedBoard) -> bool:
    """Return whether a board may have these files: it has scored entries and its labels are public."""
    return loaded.board is not None and loaded.spec.labels is LabelMode.PUBLIC


def plain_json(value: Any) -> bytes:
    """Encode with every digit, so that a number equals that of ``leaderboard.json``."""
    return to_json(value, indent=1, inf_nan_mode="null") + b"\n"


def croissant(loaded: LoadedBoard, address: str = "") -> dict[str, Any]:
    """Describe the cohort in Croissant 1.1: targets, split and fields, without an address of the data.

    Args:
        loaded: The board.
        address: Where the board stands; empty where that is not known.
    """
    spec = loaded.spec
    described = {
        "@context": CONTEXT,
        "@type": "sc:Dataset",
        "conformsTo": CROISSANT,
        "name": spec.id,
        "alternateName": spec.title,
        "description": " ".join(part for part in (spec.description, split_words(spec)) if part),
        "version": spec.version,
        "license": spec.licence,
        "citeAs": spec.citation,
        "url": address,
        "recordSet": [_fields(spec), _targets(spec), *_split(loaded)],
    }
    return {key: value for key, value in described.items() if value}


def split_words(spec: CohortSpec) -> str:
    """Name the rule of the split with its settings."""
    settings = spec.split.model_dump(exclude={"rule"}, mode="json")
    stated = {key: value for key, value in settings.items() if value not in ("", [])}
    shown = ", ".join(f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in stated.items())
    return f"Split rule: {spec.split.rule}{f' ({shown})' if shown else ''}."


def _record_set(
    name: str, words: str, kinds: Mapping[str, str], rows: Sequence[Sequence[Any]]
) -> dict[str, Any]:
    """A record set with its records; one that lies in a file would need the file's address."""
    fields = [
        {"@type": "cr:Field", "@id": f"{name}/{column}", "name": column, "dataType": kind}
        for column, kind in kinds.items()
    ]
    keys = [field["@id"] for field in fields]
    data = [dict(zip(keys, row, strict=True)) for row in rows]
    described = {"@type": "cr:RecordSet", "@id": name, "name": name, "description": words}
    return {**described, "field": fields, "data": data}


def _fields(spec: CohortSpec) -> dict[str, Any]:
    """The columns of the table that the harness reads, a row for each use of one."""
    columns = spec.columns
    patient = columns.patient.column if isinstance(columns.patient, PatientColumn) else columns.patient
    rows = [(columns.image, "image", "image id"), (patient, "patient", "patient id")]
    if columns.time:
        rows.append((columns.time, "time", "time of the image"))
    rows += [(column, "input", name) for name, column in columns.inputs.items()]
    for target in spec.targets:
        source = target.source if isinstance(target.source, str) else target.source.column
        rows.append((source, "target", target.name))
    rows += [(group.column, "subgroup", group.label) for group in spec.subgroups]
    kinds = dict.fromkeys(("column", "role", "name"), "sc:Text")
    return _record_set("fields", "Columns of the cohort's table and what they are used for.", kinds, rows)


def _targets(spec: CohortSpec) -> dict[str, Any]:
    kinds = dict.fromkeys(("target", "label", "kind", "unit"), "sc:Text")
    rows = [
        (t.name, t.label, t.kind, t.unit if isinstance(t, ContinuousTarget) else "") for t in spec.targets
    ]
    return _record_set("targets", "What models predict.", kinds, rows)


def _split(loaded: LoadedBoard) -> Iterator[dict[str, Any]]:
    if loaded.board is None:
        return
    test = loaded.board.test_set
    rows = [("train", test.train_images), ("val", test.val_images), ("test", test.images)]
    kinds = {"part": "sc:Text", "images": "sc:Integer"}
    yield _record_set("split", split_words(loaded.spec), kinds, rows)


def _scored(loaded: LoadedBoard) -> Iterator[tuple[Entry, Standing, RankInputs, TargetInputs]]:
    """Entries on the test images with their scores, target by target; retracted ones are left out."""
    for target in loaded.board.targets if loaded.board else ():
        for standing in target.standings:
            entry = loaded.entries[standing.slug]
            card = entry.scorecard
            score = card.target(target.target) if card else None
            if card is not None and score is not None and entry.retraction is None:
                yield entry, standing, card, score


def eval_records(loaded: LoadedBoard, site: str = SITE_TITLE) -> list[dict[str, Any]]:
    """Return the records of Every Eval Ever, one for each entry and target.

    A record has a result for each metric that has a value and finite bounds, and of which higher or lower
    values are better: the schema can express no others. Equal boards give equal records, so the time of a
    record is the beginning of the entry's day (UTC). Their source is the site of this name.
    """

    @cache
    def described(target: str, label: str, key: str) -> dict[str, Any] | None:
        return _described(loaded.spec, target, label, key)

    return [_record(site, loaded.spec, described, *scored) for scored in _scored(loaded)]


def _record(
    site: str,
    spec: CohortSpec,
    described: Callable[[str, str, str], dict[str, Any] | None],
    entry: Entry,
    standing: Standing,
    card: RankInputs,
    score: TargetInputs,
) -> dict[str, Any]:
    manifest = entry.manifest
    midnight = datetime.datetime.combine(manifest.date, datetime.time(), datetime.UTC)
    time = str(int(midnight.timestamp()))
    rank = f"not ranked: {standing.unranked_reason}" if standing.rank is None else str(standing.rank)
    return {
        "schema_version": EVAL_SCHEMA,
        "evaluation_id": f"{_name(spec, score.target)}/{entry.slug}/{time}",
        "retrieved_timestamp": time,
        "source_metadata": {
            "source_name": site,
            "source_type": "evaluation_run",
            "source_organization_name": f"{site} contributors",
            "evaluator_relationship": "first_party" if manifest.kind == "baseline" else "third_party",
        },
        "eval_library": {"name": "chexchobench", "version": card.harness_version},
        "model_info": {
            "name": manifest.name,
            "id": entry.slug,
            "developer": manifest.team,
            "additional_details": {"deployment_type": "unknown", "model_availability": "unknown"},
        },
        "evaluation_results": [
            {**shown, "score_details": _details(estimate, card, score, rank if key == "auroc" else "")}
            for key, estimate in sorted({**score.metrics, "auroc": score.ranked}.items())
            if estimate.value is not None and (shown := described(score.target, score.label, key))
        ],
    }


def _name(spec: CohortSpec, target: str) -> str:
    return f"chexchobench.{spec.id}.{target}"


def _described(spec: CohortSpec, target: str, label: str, key: str) -> dict[str, Any] | None:
    """What all results of a metric share; None where the schema cannot express it."""
    metric = registry.metrics().get(key)
    if metric is None or metric.direction == Direction.TARGET or not all(map(isfinite, metric.bounds)):
        return None
    low, high = metric.bounds
    return {
        "evaluation_name": f"{_name(spec, target)}.{key}",
        "source_data": {
            "dataset_name": spec.title,
            "source_type": "other",
            "additional_details": {"cohort": spec.id, "version": spec.version, "split": "test"},
        },
        "metric_config": {
            "evaluation_description": f"{metric.label} for {label}: {metric.definition}",
            "metric_id": key,
            "metric_name": metric.label,
            "lower_is_better": metric.direction == Direction.LOWER,
            "score_type": "continuous",
            "min_score": low,
            "max_score": high,
        },
    }


def _details(estimate: Estimate, card: RankInputs, score: TargetInputs, rank: str) -> dict[str, Any]:
    details = {"patients": str(score.patients), "positives": str(score.positives)}
    return {
        "score": estimate.value,
        "details": {**details, "rank": rank} if rank else details,
        "uncertainty": _uncertainty(estimate, card.level, score.images),
    }


def _uncertainty(estimate: Estimate, level: float, images: int) -> dict[str, Any]:
    score: dict[str, Any] = {"num_samples": images}
    if estimate.se is not None:
        score["standard_error"] = {"value": estimate.se}
    if estimate.low is not None and estimate.high is not None:
        limits = {"lower": estimate.low, "upper": estimate.high, "confidence_level": level}
        method = ", ".join(part for part in (estimate.method, "clustered by patient") if part)
        score["confidence_interval"] = {**limits, "method": method}
    return score


def model_index(
    spec: CohortSpec, entry: Entry, targets: Sequence[str], address: str = "", site: str = SITE_TITLE
) -> dict[str, Any] | None:
    """Return the ``model-index`` of an entry's model card on Hugging Face; None where it has no AUROC.

    Args:
        spec: The cohort.
        entry: The entry.
        targets: Targets of which the board shows the entry.
        address: Where its page stands; empty where that is not known.
        site: Name of the site.
    """
    card, results = entry.scorecard, []
    if card is None or entry.retraction is not None:
        return None
    for target in targets:
        score = card.target(target)
        auroc = score.ranked if score else None
        if score is None or auroc is None or auroc.value is None:
            continue
        metric = {"type": "roc_auc", "name": registry.metric("auroc").label, "value": auroc.value}
        result: dict[str, Any] = {
            "task": {"type": "image-classification", "name": score.label},
            "dataset": {
                "type": spec.id,
                "name": spec.title,
                "config": score.target,
                "split": "test",
                "revision": spec.version,
            },
            "metrics": [metric],
        }
        if address:
            result["source"] = {"name": site, "url": address}
        results.append(result)
    return {"model-index": [{"name": entry.manifest.name, "results": results}]} if results else None


def yaml_text(value: Mapping[str, Any]) -> bytes:
    """Write mappings, non-empty lists, texts and numbers as YAML; keys must be plain words."""
    return "".join(f"{line}\n" for line in _lines(value, "")).encode()


def _lines(value: Mapping[str, Any], indent: str) -> Iterator[str]:
    for key, content in value.items():
        if isinstance(content, str | int | float):
            yield f"{indent}{key}: {_scalar(content)}"
            continue
        yield f"{indent}{key}:"
        if isinstance(content, list):
            for item in content:
                first, *others = _lines(item, f"{indent}  ")
                yield f"{indent}- {first.lstrip(' ')}"
                yield from others
        else:
            yield from _lines(content, f"{indent}  ")


_JSON = json.JSONEncoder(ensure_ascii=False, allow_nan=False)


def _printable(character: str) -> str:
    return character if character.isprintable() else f"\\U{ord(character):08x}"


def _scalar(value: str | float) -> str:
    """A JSON scalar that YAML reads alike: characters it refuses are escaped, 1e-05 is 1.0e-05."""
    text = _JSON.encode(value)
    if isinstance(value, str):
        return text if text.isprintable() else "".join(map(_printable, text))
    return text.replace("e", ".0e") if "." not in text else text
