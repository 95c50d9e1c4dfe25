"""Cohort spec: a TOML file that describes a cohort, so that another site needs no code."""

from __future__ import annotations

import re
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from bench.choices import LabelMode
from bench.documents import Document, parse, read_text, toml_data
from bench.errors import BenchError, Problem, did_you_mean, missing_file_hint

Name = Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,63}$")]


def _one_or_many(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class Files(Document):
    """Files of the release, relative to its folder."""

    table: tuple[str, ...] = Field(
        default=(),
        description="One name or several: the first that exists is read. Left out where `split.rule` "
        "is `tables`.",
    )
    images: tuple[str, ...] = Field(
        default=(), description="One folder or several, tried in this order for each image."
    )
    checksums: str = Field(default="SHA256SUMS.txt", description="sha256sum list, verified where present.")

    @field_validator("table", "images", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return _one_or_many(value)


def _id_pattern(value: str) -> str:
    """Refuse a pattern that does not compile, or whose id could be any of several groups."""
    groups = re.compile(_regex(value)).groups
    if groups > 1:
        raise ValueError(
            f"it has {groups} groups, so that the id could be any of them: keep one pair of brackets "
            "around the id, and write (?:...) for the others"
        )
    return value


def _regex(value: str) -> str:
    try:
        re.compile(value)
    except re.error as error:
        raise ValueError(f"not a regular expression: {error}") from error
    return value


class PatientColumn(Document):
    """Patient id as part of a column's text."""

    column: str = Field(description="Column with the text that holds the id.")
    pattern: Annotated[str, AfterValidator(_id_pattern)] = Field(
        description="Regular expression, searched in each cell: its one group is the id, without a group the "
        "whole match."
    )


class Study(Document):
    """Evaluation by study: the views of a study share one label and are scored as one."""

    column: str = Field(description="Column with the study id.")
    pattern: Annotated[str, AfterValidator(_id_pattern)] = Field(
        default="", description="The id as part of the column's text, as for the patient; empty: all of it."
    )
    views: Literal["mean", "maximum"] = Field(
        description="How the predictions of a study's views are combined."
    )


class RowFilter(Document):
    """Rows that belong to the cohort: those whose cell is one of `values`, or in which `pattern` is found."""

    column: str = Field(description="Column whose cells are compared.")
    label: str = Field(min_length=1, description="What the rows are, as messages name them: frontal views.")
    values: tuple[str, ...] = Field(default=(), description="Texts of a cell that keep its row.")
    pattern: Annotated[str, AfterValidator(_regex)] = Field(
        default="", description="Regular expression, searched in each cell; a match keeps the row."
    )

    @model_validator(mode="after")
    def _one_of_both(self) -> RowFilter:
        if bool(self.values) == bool(self.pattern):
            raise ValueError("name either values or a pattern")
        return self


class Columns(Document):
    """Columns of the table that the harness itself reads."""

    image: str = Field(description="Image id, unique; also the file name, with `image_suffix` added.")
    patient: str | PatientColumn = Field(
        description="Compared as text: without blanks at its ends, in Unicode normal form C, 7.0 as 7."
    )
    similar_patients: Literal["error", "distinct"] = Field(
        default="error",
        description="Ids that differ only by case, leading zeros or Unicode forms: a fault where they are in "
        "more than one part, or distinct people.",
    )
    time: str | None = Field(default=None, description="Smallest = the patient's first image.")
    time_kind: Literal["number", "timedelta"] = Field(
        default="number",
        description="How `time` is written: a number, or a duration such as 3 days 04:00:00.",
    )
    image_suffix: str = Field(
        default="", description="Added to the image id for the name of its file, such as .jpg."
    )
    image_file: str | None = Field(
        default=None, description="Column with the image's file in a folder of images; default the image id."
    )
    inputs: dict[str, str] = Field(
        default_factory=dict,
        description="Model input name → column. `age` in years and `sex` (M or F) have fixed meaning.",
    )


class Contains(Document):
    """A binary target that is 1 where a separated list holds a word."""

    column: str = Field(description="Column with the list.")
    word: str = Field(min_length=1, description="Word that makes the target 1; compared as a whole.")
    separator: str = Field(default="|", min_length=1, description="Text between the words of the list.")

    @model_validator(mode="after")
    def _can_match(self) -> Contains:
        if self.word != self.word.strip():
            raise ValueError("word: no word of a list begins or ends with a blank; remove it")
        if self.separator in self.word:
            raise ValueError("word: no word of a list holds the separator; name one word")
        return self


class BinaryTarget(Document):
    """A 0/1 label. Values other than 0 and 1 follow `uncertain` (-1) and `blank` (empty)."""

    name: Name = Field(description="Name in predictions files, manifests and figures.")
    kind: Literal["binary"] = Field(default="binary", description="Kind of target; may be left out.")
    label: str = Field(description="Name shown on pages.")
    source: str | Contains = Field(description="Column with the label, or a word of a list.")
    uncertain: Literal["error", "exclude", "positive", "negative"] = Field(
        default="error", description="What -1 means: a fault, not scored, 1 or 0."
    )
    blank: Literal["error", "exclude", "negative"] = Field(
        default="error", description="What an empty cell means: a fault, not scored or 0."
    )

    @model_validator(mode="after")
    def _policy_has_effect(self) -> BinaryTarget:
        if isinstance(self.source, Contains) and self.uncertain != "error":
            raise ValueError("uncertain: a list of words holds no -1; remove this key")
        return self


class ContinuousTarget(Document):
    """A measurement; values outside `plausible` (inclusive) are excluded from scoring and counted."""

    name: Name = Field(description="Name in predictions files, manifests and figures.")
    kind: Literal["continuous"] = Field(description="Kind of target.")
    label: str = Field(description="Name shown on pages.")
    source: str = Field(description="Column with the measurement.")
    unit: str = Field(description="Unit of the measurement, such as cm.")
    plausible: tuple[float, float] = Field(
        description="Smallest and largest plausible value, both inclusive."
    )


class ValueSubgroups(Document):
    """Subgroups by the values of a column: value → name shown."""

    name: Name = Field(description="Name in scorecards.")
    label: str = Field(description="Name shown on pages.")
    column: str = Field(description="Column that decides the subgroup.")
    values: dict[str, str] = Field(
        min_length=1, description="Value of the column → name of the subgroup shown."
    )


class BandSubgroups(Document):
    """Subgroups by bands of a number: `bands` are lower limits, the last band is open."""

    name: Name = Field(description="Name in scorecards.")
    label: str = Field(description="Name shown on pages.")
    column: str = Field(description="Column that decides the subgroup.")
    bands: tuple[float, ...] = Field(
        min_length=2, description="Lower limits of the bands, ascending; the last band is open."
    )
    unit: str = Field(default="", description="Unit of the number, such as years.")

    @field_validator("bands")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if list(value) != sorted(set(value)):
            raise ValueError("must be strictly ascending")
        return value


class HashSplit(Document):
    """`u = sha256(salt, patient)`: test where u < test, val where u < test + val, train the rest."""

    rule: Literal["hash"] = Field(description="By hash of the patient id.")
    salt: str = Field(
        min_length=1, description="Text hashed with the patient id; another salt is another split."
    )
    test: float = Field(default=0.2, gt=0, lt=1, description="Share of the patients in test.")
    val: float = Field(default=0.1, ge=0, lt=1, description="Share of the patients in val.")

    @model_validator(mode="after")
    def _leaves_train(self) -> HashSplit:
        if self.test + self.val >= 1:
            raise ValueError("test + val must be below 1")
        return self


class ColumnSplit(Document):
    """Split by a column of the table."""

    rule: Literal["column"] = Field(description="By a column of the table.")
    column: str = Field(description="Column that names the part.")
    train: str = Field(description="Value of the column for train.")
    test: str = Field(description="Value of the column for test.")
    val: str = Field(default="", description="Value of the column for val; empty: there is no val.")


class ListSplit(Document):
    """Split by files with one image id a line, which the release publishes beside its table.

    Images in no list are val or train by the hash rule among their patients where `test_file` is the only
    list. Where there are others, every image is in exactly one of the lists.
    """

    rule: Literal["list"] = Field(description="By lists of image ids.")
    test_file: str = Field(description="List of test.")
    train_file: str = Field(default="", description="List of train.")
    val_file: str = Field(default="", description="List of val; needs `train_file`.")
    train_val_file: str = Field(
        default="", description="List of train and val together; val by the hash rule among its patients."
    )
    otherwise: HashSplit = Field(
        description="Rule used for val where no list names it, and for all where no list is in the folder."
    )

    @model_validator(mode="after")
    def _lists_cover_all(self) -> ListSplit:
        if self.train_val_file and (self.train_file or self.val_file):
            raise ValueError("train_val_file: remove it, or train_file and val_file")
        if self.val_file and not self.train_file:
            raise ValueError("val_file: name the train_file too")
        return self

    @property
    def files(self) -> dict[Literal["train", "val", "test", "train or val"], str]:
        """Part → file of its list, of those that the spec names."""
        return {
            "test": self.test_file,
            **({"train": self.train_file} if self.train_file else {}),
            **({"val": self.val_file} if self.val_file else {}),
            **({"train or val": self.train_val_file} if self.train_val_file else {}),
        }


class TableSplit(Document):
    """Split by table: the release has one table for each part. Of several names the first that exists."""

    rule: Literal["tables"] = Field(description="By one table for each part.")
    train: tuple[str, ...] = Field(default=(), description="Table of train, one name or several.")
    val: tuple[str, ...] = Field(default=(), description="Table of val, one name or several.")
    test: tuple[str, ...] = Field(min_length=1, description="Table of test, one name or several.")

    @field_validator("train", "val", "test", mode="before")
    @classmethod
    def _several(cls, value: object) -> object:
        return _one_or_many(value)

    @property
    def tables(self) -> dict[Literal["train", "val", "test"], tuple[str, ...]]:
        """Part → names of its table, of those that the spec names."""
        return {
            **({"train": self.train} if self.train else {}),
            **({"val": self.val} if self.val else {}),
            "test": self.test,
        }


class AllTest(Document):
    """Every image is test: an external validation cohort."""

    rule: Literal["all-test"] = Field(description="Every image is test.")


class Threshold(Document):
    """Exceeded where `column` > the limit of the patient's sex (strictly)."""

    column: str = Field(description="Column with the measurement, in the unit of the limits.")
    male: float = Field(description="Limit for men.")
    female: float = Field(description="Limit for women.")


class LabelRule(Document):
    """Rule that derives a label from measurements; agreement is reported, labels are never recomputed."""

    target: Name = Field(description="Binary target that the rule derives.")
    any_of: tuple[Threshold, ...] = Field(
        default=(), description="Thresholds; the label is 1 where any is exceeded."
    )
    or_targets: tuple[Name, ...] = Field(
        default=(), description="Binary targets; the label is 1 where any of them is 1."
    )


Target = Annotated[BinaryTarget | ContinuousTarget, Field(discriminator="kind")]
Split = Annotated[HashSplit | ColumnSplit | ListSplit | TableSplit | AllTest, Field(discriminator="rule")]


class CohortSpec(Document):
    """Description of a cohort: files, columns, targets, subgroups and split."""

    schema_: Literal["cohort-spec/1"] = Field(alias="schema", description="Format of this file.")
    id: Name = Field(description="Name of the cohort in commands, folders and files.")
    version: str = Field(description="Version of the release, as its publisher names it.")
    title: str = Field(description="Name shown on pages.")
    description: str = Field(default="", description="What the cohort holds, shown on pages.")
    citation: str = Field(default="", description="How to cite the data.")
    licence: str = Field(default="", description="Licence or agreement under which the data are had.")
    url: str = Field(default="", description="Web address of the release.")
    synthetic: bool = Field(default=False, description="Whether no image and no label is of a real patient.")
    files: Files = Field(description="Files of the release.")
    columns: Columns = Field(description="Columns that the harness reads.")
    rows: tuple[RowFilter, ...] = Field(
        default=(), description="Rows of the table that belong to the cohort; all where there is no filter."
    )
    study: Study | None = Field(default=None, description="Evaluation by study; left out: by image.")
    targets: tuple[Target, ...] = Field(min_length=1, description="What models predict.")
    headline: Name = Field(description="Binary target by which the board ranks.")
    macro: tuple[Name, ...] = Field(
        default=(), description="Binary targets whose mean AUROC is reported; empty: none."
    )
    subgroups: tuple[ValueSubgroups | BandSubgroups, ...] = Field(
        default=(), description="Subgroups in which figures are reported."
    )
    split: Split = Field(description="How patients are divided into train, val and test.")
    label_rules: tuple[LabelRule, ...] = Field(
        default=(), description="Rules by which labels were derived; their agreement is reported."
    )
    compare_split_column: str = Field(default="", description="A published split to audit beside ours.")
    expected_images: int | None = Field(
        default=None, description="Images of a complete release; another count is a fault of the audit."
    )
    expected_patients: int | None = Field(
        default=None, description="Patients of a complete release; another count is a fault of the audit."
    )
    smallest_cell: int = Field(
        default=10,
        ge=0,
        description="Images of each class behind a published step of a curve; 0 where labels are public.",
    )
    labels: LabelMode = Field(
        default=LabelMode.PRIVATE,
        description="Who has the labels: public; shared, everybody who may submit but not the public; "
        "private, the holder of the data only. It decides what may be published.",
    )
    attempts_per_team: int = Field(
        default=10, ge=1, description="Sets of predictions that a team may submit where labels are private."
    )
    prediction_aliases: dict[str, str] = Field(
        default_factory=dict, description="Column names of known prediction files → target."
    )

    @model_validator(mode="before")
    @classmethod
    def _binary_by_default(cls, data: object) -> object:
        if isinstance(data, dict) and isinstance(data.get("targets"), list | tuple):
            targets = ({"kind": "binary", **t} if isinstance(t, dict) else t for t in data["targets"])
            return {**data, "targets": tuple(targets)}
        return data

    @model_validator(mode="after")
    def _consistent(self) -> CohortSpec:
        names = [target.name for target in self.targets]
        if len(set(names)) != len(names):
            raise ValueError("two targets share a name")
        binary = {target.name for target in self.binary_targets}
        for key, names_used in (("headline", (self.headline,)), ("macro", self.macro)):
            if missing := sorted(set(names_used) - binary):
                raise ValueError(f"{key}: no binary target is named {', '.join(missing)}")
        in_rules = {name for rule in self.label_rules for name in (rule.target, *rule.or_targets)}
        if missing := sorted(in_rules - binary):
            raise ValueError(f"label_rules: no binary target is named {', '.join(missing)}")
        if any(rule.any_of for rule in self.label_rules) and "sex" not in self.columns.inputs:
            raise ValueError("label_rules: thresholds need the input sex under columns.inputs")
        if bool(self.files.table) == isinstance(self.split, TableSplit):
            raise ValueError(
                "files.table: remove it, since split names the tables"
                if self.files.table
                else "files.table: name the table"
            )
        if missing := sorted(set(self.prediction_aliases.values()) - set(names)):
            raise ValueError(f"prediction_aliases: no target is named {', '.join(missing)}")
        return self

    @property
    def binary_targets(self) -> tuple[BinaryTarget, ...]:
        """Targets with a 0/1 label, in the order of the spec."""
        return tuple(t for t in self.targets if isinstance(t, BinaryTarget))

    @property
    def continuous_targets(self) -> tuple[ContinuousTarget, ...]:
        """Targets that are measurements, in the order of the spec."""
        return tuple(t for t in self.targets if isinstance(t, ContinuousTarget))


@cache
def builtin_specs() -> tuple[str, ...]:
    """Return the ids of the built-in cohort specs."""
    folder = resources.files("bench.cohort").joinpath("specs")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_spec(cohort: str) -> CohortSpec:
    """Read a spec by built-in id, or from a TOML file.

    A spec with ``extends = "<built-in id>"`` has all keys of that spec except those that it gives itself:
    tables are merged key by key, lists and a split of another rule are replaced.

    Raises:
        BenchError: No such spec (``cohort-unknown``), or an invalid one (``cohort-spec``), all faults listed.
    """
    if cohort in builtin_specs():
        return parse(CohortSpec, _builtin(cohort), "cohort-spec", f"{cohort} (built in)", strict=True)
    path = Path(cohort)
    built_in = builtin_specs()
    if not path.is_file():
        message = f"{cohort!r} is neither a built-in cohort ({', '.join(built_in)}) nor a file."
        remedy = (
            missing_file_hint(path)[1] if path.suffix == ".toml" else did_you_mean(cohort, built_in).strip()
        )
        raise BenchError(Problem("cohort-unknown", message, remedy=remedy))
    data = toml_data(read_text(path, "cohort-spec"), "cohort-spec", str(path))
    if (base := data.pop("extends", None)) is not None:
        if base not in built_in:
            message = f"extends: {base!r} is not one of the built-in cohorts ({', '.join(built_in)})."
            raise BenchError(Problem("cohort-spec", message, str(path)))
        data = _merged(_builtin(base), data)
    return parse(CohortSpec, data, "cohort-spec", str(path), strict=True)


def builtin_text(cohort: str) -> str:
    """Read the TOML text of a built-in spec, to copy and change.

    Raises:
        BenchError: No such spec (``cohort-unknown``).
    """
    built_in = builtin_specs()
    if cohort not in built_in:
        message = f"{cohort!r} is not one of the built-in cohorts ({', '.join(built_in)})."
        raise BenchError(Problem("cohort-unknown", message, remedy=did_you_mean(cohort, built_in).strip()))
    return resources.files("bench.cohort").joinpath("specs", f"{cohort}.toml").read_text("utf-8")


@cache
def _builtin(cohort: str) -> dict[str, Any]:
    """Return the tables of a built-in spec, which nobody may change: they are kept."""
    text = builtin_text(cohort)
    data = toml_data(text, "cohort-spec", f"{cohort} (built in)")
    return _merged(_builtin(data.pop("extends")), data) if "extends" in data else data


def _merged(base: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """Return `base` with `changes`: tables of the same rule are merged, everything else is replaced."""
    merged = dict(base)
    for key, value in changes.items():
        merged[key] = value
        if isinstance(value, dict) and isinstance(old := base.get(key), dict):
            same_rule = value.get("rule") in (None, old.get("rule"))
            merged[key] = _merged(old, value) if same_rule else value
    return merged
