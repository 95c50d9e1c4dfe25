"""Draft of a cohort spec from a table: columns are guessed by name and content, every guess is commented."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import pandas as pd
import tomlkit

from bench.cohort.cohort import SEXES
from bench.cohort.read_table import read_text_table
from bench.errors import BenchError, Problem
from bench.files import write_atomic

FEWEST_ROWS = 10
"""A word of a list becomes a target where at least this many rows hold it."""
MOST_WORDS = 40
"""A column with more distinct words is no list of findings."""
_SUFFIX = r"\.(?:jpe?g|png|dcm|dicom|tiff?|bmp)"
_IMAGE_FILE = re.compile(rf".+{_SUFFIX}", re.IGNORECASE)
_IMAGE_NAMES = (
    *("image_id", "image", "image_index", "image_name", "image_file", "image_filename", "filename"),
    *("file_name", "dicom_id", "cxr_filename", "cxr_id", "img_id", "img", "file", "path", "image_path"),
)
_PATIENT_NAMES = (
    *("patient_id", "patientid", "patient", "subject_id", "subjectid", "subject", "person_id"),
    *("patient_key", "mrn"),
)
_PATIENT_IN_PATH = r"patient\d+"
_PART_WORDS = {
    "train": ("train", "training", "development"),
    "val": ("val", "valid", "validate", "validation"),
    "test": ("test", "testing"),
}
_MEASUREMENTS = {
    "ivsd": ("Interventricular septum", "cm", 0.3, 4.0),
    "lvpwd": ("Posterior wall", "cm", 0.3, 4.0),
    "lvidd": ("Left ventricular diameter", "cm", 1.5, 10.0),
    "lvef": ("Left ventricular ejection fraction", "%", 5.0, 90.0),
    "ef": ("Ejection fraction", "%", 5.0, 90.0),
    "ctr": ("Cardiothoracic ratio", "1", 0.2, 0.9),
}
"""Column → label, unit and plausible range; a column counts where its median lies in the range."""
_COVARIATE = re.compile(r"transplant|pacemaker|(?:^|_)icd(?:_|$)|device|portable|inpatient|emergency|smok")
_INPUT = re.compile(r"(?:^|_)(?:year|view|view_position|pixel_spacing_?[xy]?|bmi|height|weight)$")


@dataclass(frozen=True, slots=True)
class SpecDraft:
    """A drafted spec.

    Attributes:
        text: TOML.
        missing: Keys that a spec needs and that could not be guessed: placeholders in the text.
    """

    text: str
    missing: tuple[str, ...]


def write_spec_draft(table: Path, out: Path) -> SpecDraft:
    """Draft a spec from a table and write it to a new file; its name gives the cohort's id.

    Raises:
        BenchError: The file is there already (``file-exists``), or the table cannot be read
            (``cohort-table``, ``cohort-columns``).
    """
    if out.exists():
        remedy = "Choose another file with `--out`."
        raise BenchError(Problem("file-exists", f"{out.name} would be overwritten.", str(out), remedy))
    frame = read_text_table(table).frame
    if any(re.fullmatch(r"[-+]?[\d.]+", name) or _IMAGE_FILE.fullmatch(name) for name in map(str, frame)):
        message = "The first line has numbers or image files in place of names of columns."
        remedy = "Add a first line that names each column."
        raise BenchError(Problem("cohort-columns", message, str(table), remedy))
    cohort = re.sub(r"[^a-z0-9_-]+", "-", out.stem.lower()).strip("-_")[:64] or "our-cohort"
    draft = draft_spec(frame, table, cohort)
    write_atomic(out, draft.text.encode())
    return draft


def draft_spec(frame: pd.DataFrame, table: Path, cohort: str) -> SpecDraft:
    """Draft a spec from a table as text.

    No id is in the draft, and of cells only words that at least ten rows share.

    Args:
        frame: The table, every cell as text.
        table: Its file. Folders beside it are tried for the images.
        cohort: Id of the cohort.
    """
    roles = _roles([_Cells(name, frame[name].str.strip()) for name in map(str, frame)])
    folder, suffix = _folder(roles.image.values.head(20).tolist() if roles.image else [], table.parent)
    lines = [
        f"# Drafted from {_comment(table.name)} by `bench cohort new`. Every line is a guess by names and",
        "# contents of columns: check each. `bench schema cohort` explains every key.",
        *_head(cohort, roles.headline),
        *_files(table.name, folder),
        *_columns(roles, has_folder=bool(folder), suffix=suffix),
        *_split(roles.split, cohort),
        *(line for target in (*roles.binary, *roles.measured) for line in target.lines),
        *([] if roles.binary else _NO_TARGET),
        *_subgroups(roles.inputs),
        *_unused(roles.unused),
    ]
    return SpecDraft("\n".join(lines) + "\n", roles.missing)


@dataclass(frozen=True)
class _Cells:
    """A column: its name, its cells without blanks at their ends, and what is derived from both."""

    name: str
    values: pd.Series[str]

    @cached_property
    def key(self) -> str:
        """The name in lower case, with `_` for what is neither letter nor digit."""
        return _name(self.name)

    @cached_property
    def counts(self) -> pd.Series[int]:
        """Word → rows, without blank cells."""
        return self.values[self.values != ""].value_counts()

    @property
    def blanks(self) -> int:
        """Number of blank cells."""
        return int((self.values == "").sum())

    @property
    def is_full(self) -> bool:
        """Whether there are rows and no cell is blank."""
        return len(self.values) > 0 and not self.blanks

    @property
    def looks_like_files(self) -> bool:
        """Whether every cell ends like an image file."""
        return bool(self.values.str.fullmatch(_IMAGE_FILE).all())

    @property
    def numbers(self) -> pd.Series[float] | None:
        """The cells that are not blank as numbers; None where one is no number, or all are blank."""
        numeric = pd.to_numeric(self.values[self.values != ""], errors="coerce")
        return None if numeric.empty or numeric.isna().any() else numeric


@dataclass(frozen=True, slots=True)
class _Target:
    """A drafted target: its name, and its table as lines of TOML."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True)
class _Roles:
    """What the columns of a table are guessed to be; a column has one role at most.

    Attributes:
        image: Ids of the images.
        patient: Ids of the patients.
        patient_in_image: Whether every image id has the patient's in it, and no column has.
        time: Order of a patient's images.
        split: Names of parts.
        inputs: Name of an input → its column.
        binary: Binary targets.
        measured: Measurements.
        unused: Names of the other columns.
    """

    image: _Cells | None
    patient: _Cells | None
    patient_in_image: bool
    time: _Cells | None
    split: _Cells | None
    inputs: dict[str, _Cells]
    binary: tuple[_Target, ...]
    measured: tuple[_Target, ...]
    unused: tuple[str, ...]

    @property
    def headline(self) -> str:
        """The first target that is named as a composite, else the first; empty without a binary target."""
        names = [target.name for target in self.binary]
        return next((name for name in names if name.startswith("composite")), names[0] if names else "")

    @property
    def missing(self) -> tuple[str, ...]:
        """Keys that a spec needs and that no column gives."""
        missing = [] if self.binary else ["headline", "targets"]
        missing += [] if self.image else ["columns.image"]
        missing += [] if self.patient or self.patient_in_image else ["columns.patient"]
        return tuple(missing)


def _roles(columns: list[_Cells]) -> _Roles:
    """Guess the role of every column; where a column could have several, the first of these counts."""
    rest = {column.name: column for column in columns}

    def take(column: _Cells | None) -> _Cells | None:
        return rest.pop(column.name, column) if column else None  # one column may be image and patient

    def first(test: Callable[[_Cells], object]) -> _Cells | None:
        return take(next(filter(test, rest.values()), None))

    image, patient = take(_image(columns)), take(_patient(columns))
    in_image = (
        patient is None and image is not None and bool(image.values.str.contains(_PATIENT_IN_PATH).all())
    )
    inputs = {"age": first(_is_age), "sex": first(_is_sex)}
    given = {key: column for key, column in inputs.items() if column}
    time, split = first(_time_kind), first(_parts)
    for column in list(rest.values()):
        if _INPUT.search(column.key) or _COVARIATE.search(column.key):
            given[_free(column.key, given)] = rest.pop(column.name)
    names: list[str] = []
    binary, measured = [], []
    for column in list(rest.values()):
        if targets := _binary_targets(column, names):
            binary += targets
            del rest[column.name]
    for column in list(rest.values()):
        if target := _measurement(column, names):
            measured.append(target)
            del rest[column.name]
    return _Roles(
        image=image,
        patient=patient,
        patient_in_image=in_image,
        time=time,
        split=split,
        inputs=given,
        binary=tuple(binary),
        measured=tuple(measured),
        unused=tuple(rest),
    )


def _image(columns: Iterable[_Cells]) -> _Cells | None:
    """The column of image ids: unique, named as an image or with names of files; ids go before paths."""
    candidates = [
        c
        for c in columns
        if c.is_full and len(c.counts) == len(c.values) and (c.key in _IMAGE_NAMES or c.looks_like_files)
    ]

    def order(column: _Cells) -> tuple[bool, bool, int]:
        rank = _IMAGE_NAMES.index(column.key) if column.key in _IMAGE_NAMES else len(_IMAGE_NAMES)
        return bool(column.values.str.contains("/", regex=False).any()), not column.looks_like_files, rank

    return min(candidates, key=order, default=None)


def _patient(columns: Iterable[_Cells]) -> _Cells | None:
    candidates = [c for c in columns if c.is_full and c.key in _PATIENT_NAMES]
    return min(candidates, key=lambda c: _PATIENT_NAMES.index(c.key), default=None)


def _is_age(column: _Cells) -> bool:
    if not re.search(r"(?:^|_)age(?:_|$)|^patientage$", column.key):
        return False
    ages = column.values[column.values != ""].str.replace(r"^(\d{3})Y$", r"\1", regex=True)
    numbers = pd.to_numeric(ages, errors="coerce")
    return len(numbers) > 0 and bool(numbers.between(0, 130).mean() > 0.9)


def _is_sex(column: _Cells) -> bool:
    named = re.search(r"(?:^|_)(?:sex|gender)(?:_|$)", column.key)
    return bool(named) and any(word.lower() in SEXES for word in column.counts.index)


def _time_kind(column: _Cells) -> str:
    """The kind of a time, empty where the column is none."""
    if not re.search(r"time|date|days|offset", column.key) or not column.is_full:
        return ""
    if column.numbers is not None:
        return "number"
    days = r"-?\d+ days?(?: [+-]?\d+:\d\d:\d\d(?:\.\d+)?)?"
    return "timedelta" if bool(column.values.str.fullmatch(days).all()) else ""


def _parts(column: _Cells) -> dict[str, str]:
    """Part → its word, where every cell names a part and both train and test are there."""
    if not column.is_full or len(column.counts) > len(_PART_WORDS):
        return {}
    part_of_word = {
        part: word
        for word in sorted(column.counts.index)
        for part, words in _PART_WORDS.items()
        if word.lower() in words
    }
    return (
        part_of_word
        if len(part_of_word) == len(column.counts) and {"train", "test"} <= set(part_of_word)
        else {}
    )


def _binary_targets(column: _Cells, names: list[str]) -> list[_Target]:
    """Draft the targets of a column, none where it holds no labels; their names are added to `names`."""
    words = set(column.counts.index)
    blank = ["# blank cells are excluded; or negative", 'blank = "exclude"'] if column.blanks else []
    if {"0", "1"} <= words <= {"0", "1", "-1"} or {"0.0", "1.0"} <= words <= {"0.0", "1.0", "-1.0"}:
        extra = blank
        if words & {"-1", "-1.0"}:
            extra = [*extra, "# -1 is excluded; or positive, negative", 'uncertain = "exclude"']
        return [_binary_target(column, column.name, _text(column.name), names, "0 and 1", extra)]
    lower = {word.lower(): word for word in words}
    for yes, no in (("yes", "no"), ("true", "false"), ("positive", "negative"), ("present", "absent")):
        if set(lower) == {yes, no} and len(words) == 2:
            source = f"{{ column = {_text(column.name)}, word = {_text(lower[yes])} }}"
            return [_binary_target(column, column.name, source, names, f"{yes} and {no}", blank)]
    return [
        _binary_target(
            column,
            word,
            f"{{ column = {_text(column.name)}, word = {_text(word)} }}",
            names,
            "a word of a list",
            blank,
        )
        for word in _findings(column)
    ]


def _findings(column: _Cells) -> list[str]:
    """Return the findings of a column whose cells are lists such as ``Edema|Effusion``, in order."""
    if not any("|" in word for word in column.counts.index):
        return []
    rows = column.values[column.values != ""].str.split("|").explode().str.strip().value_counts()
    are_words = all(re.fullmatch(r"[^\W\d][\w \-]{0,59}|", word) for word in rows.index)
    if len(rows) > MOST_WORDS or not are_words:
        return []
    words = sorted(str(word) for word, count in rows.items() if word and count >= FEWEST_ROWS)
    return [word for word in words if word.lower() not in ("no finding", "normal", "none")]


def _binary_target(
    column: _Cells, label: str, source: str, names: list[str], why: str, extra: list[str]
) -> _Target:
    names.append(_free(_name(label), names))
    head = ["", f"[[targets]]  # {why} in {_comment(column.name)}"]
    keys = [f"name = {_text(names[-1])}", f"label = {_text(label)}", f"source = {source}"]
    return _Target(names[-1], (*head, *keys, *extra))


def _measurement(column: _Cells, names: list[str]) -> _Target | None:
    """Draft a measurement; None for an unknown name, or where the median is outside the plausible range."""
    if column.key not in _MEASUREMENTS:
        return None
    label, unit, low, high = _MEASUREMENTS[column.key]
    if column.numbers is None or not low <= column.numbers.median() <= high:
        return None
    names.append(_free(column.key, names))
    return _Target(
        names[-1],
        (
            "",
            "[[targets]]  # a measurement by its name; its median fits the unit",
            f"name = {_text(names[-1])}",
            'kind = "continuous"',
            f"label = {_text(label)}",
            f"source = {_text(column.name)}",
            f"unit = {_text(unit)}",
            f"plausible = [{low}, {high}]  # other values are excluded",
        ),
    )


_NO_TARGET = ("", "# [[targets]]", '# name = "finding"', '# label = "Finding"', '# source = "COLUMN"')


def _head(cohort: str, headline: str) -> Iterator[str]:
    yield 'schema = "cohort-spec/1"'
    yield f"id = {_text(cohort)}  # from the name of this file"
    yield 'version = "1"  # change it when the data change: it is part of the split\'s fingerprint'
    yield f"title = {_text(cohort)}"
    yield '# citation = "PAPER"'
    yield '# licence = "LICENCE"'
    yield 'labels = "private"  # public or shared where others have the labels too'
    if headline:
        why = "named composite" if headline.startswith("composite") else "the first binary target"
        yield f"headline = {_text(headline)}  # {why}; the board ranks by it"
    else:
        yield '# headline = "TARGET"  # no column has 0 and 1, yes and no, or a list of findings'


def _files(table: str, folder: str) -> Iterator[str]:
    yield from ("", "[files]", f"table = {_text(table)}")
    if folder:
        yield f"images = [{_text(folder)}]  # the first images of the table are there"
    else:
        yield '# images = ["FOLDER"]  # no folder beside the table has files named as in the table'


def _columns(roles: _Roles, *, has_folder: bool, suffix: str) -> Iterator[str]:
    yield from ("", "[columns]")
    if roles.image:
        yield f"image = {_text(roles.image.name)}  # no cell is blank and each is different"
        if suffix:
            yield f"image_suffix = {_text(suffix)}  # of the files found"
        elif not has_folder and not roles.image.looks_like_files:
            yield '# image_suffix = ".png"  # no id ends like an image file'
    else:
        yield '# image = "COLUMN"  # no column named as an image has a different text in each row'
    if roles.patient:
        yield f"patient = {_text(roles.patient.name)}  # by its name; no cell is blank"
    elif not roles.patient_in_image:
        yield '# patient = "COLUMN"  # no column is named as a patient and has no blank cell'
    if roles.time:
        kind = _time_kind(roles.time)
        yield f"time = {_text(roles.time.name)}  # the smallest is a patient's first image"
        yield from [f"time_kind = {_text(kind)}"] if kind != "number" else []
    else:
        yield '# time = "COLUMN"  # a number, or days and times: the smallest is the first image'
    if roles.patient_in_image and roles.image:
        yield from ("", "[columns.patient]  # the patient's id is part of every image id")
        yield from (f"column = {_text(roles.image.name)}", f"pattern = '{_PATIENT_IN_PATH}'")
    if roles.inputs:
        yield from ("", "[columns.inputs]  # what a model may see; a label does not belong here")
        for key, column in roles.inputs.items():
            note = {"age": "  # years, or DICOM ages", "sex": "  # words for female and male"}.get(key, "")
            yield f"{_key(key)} = {_text(column.name)}{note}"


def _split(column: _Cells | None, cohort: str) -> Iterator[str]:
    yield from ("", "[split]")
    if column:
        yield from ('rule = "column"  # its words are names of parts', f"column = {_text(column.name)}")
        yield from (f"{part} = {_text(word)}" for part, word in _parts(column).items())
    else:
        yield from ('rule = "hash"  # by patient: 20% test, 10% val', f"salt = {_text(f'{cohort}-v1')}")


def _unused(names: Sequence[str]) -> Iterator[str]:
    if names:
        yield from ("", "# Columns without a use here:", *(f"# - {_comment(name)}" for name in names))


def _subgroups(inputs: dict[str, _Cells]) -> list[str]:
    lines = []
    if sex := inputs.get("sex"):
        shown = {1.0: "Male", 0.0: "Female"}
        words = {
            word: shown[SEXES[word.lower()]] for word in sorted(sex.counts.index) if word.lower() in SEXES
        }
        values = ", ".join(f"{_text(word)} = {_text(name)}" for word, name in words.items())
        lines += ["", "[[subgroups]]", 'name = "sex"', 'label = "Sex"', f"column = {_text(sex.name)}"]
        lines.append(f"values = {{ {values} }}")
    if age := inputs.get("age"):
        lines += ["", "[[subgroups]]", 'name = "age"', 'label = "Age"', f"column = {_text(age.name)}"]
        lines += ["bands = [18, 40, 60, 80]", 'unit = "years"']
    return lines


def _folder(ids: list[str], beside: Path) -> tuple[str, str]:
    """The folder beside a table that has one of some images, and the suffix of files; empty if none has."""
    safe = [name for name in ids if ".." not in name and not name.startswith("/") and len(name) < 200]
    folders = sorted(path.name for path in beside.iterdir() if path.is_dir() and path.name[:1] != ".")
    for folder in (*folders[:50], "."):
        for suffix in ("", ".jpg", ".png", ".jpeg"):
            if any((beside / folder / f"{name}{suffix}").is_file() for name in safe):
                return folder, suffix
    return "", ""


def _name(text: str) -> str:
    """`text` as a name of a target or input: lower-case letters, digits and `_`."""
    return re.sub(r"[^a-z0-9]+", "_", text.lower()).strip("_")[:60] or "column"


def _free(name: str, taken: Collection[str]) -> str:
    """`name`, with a number where it is taken."""
    return next(n for k in range(1, len(taken) + 2) if (n := name if k == 1 else f"{name}_{k}") not in taken)


def _text(text: str) -> str:
    return str(tomlkit.string(text).as_string())


def _key(text: str) -> str:
    return text if re.fullmatch(r"[A-Za-z0-9_-]+", text) else _text(text)


def _comment(text: str) -> str:
    """`text` on one line, without control characters, for a comment."""
    return "".join(c if c.isprintable() else "?" for c in text)[:100]
