"""Draft of a cohort spec from a table: columns are guessed by name and content, every guess is commented."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable
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
    cells = {name: _Cells(name, frame[name].str.strip()) for name in map(str, frame)}
    image, patient = _image(cells.values()), _patient(cells.values())
    in_path = patient is None and image is not None and image.values.str.contains(_PATIENT_IN_PATH).all()
    used = {column.name for column in (image, patient) if column}
    inputs: dict[str, _Cells] = {}
    for key, test in (("age", _is_age), ("sex", _is_sex)):
        if input_column := next((c for c in cells.values() if c.name not in used and test(c)), None):
            inputs[key] = input_column
            used.add(input_column.name)
    time = next((c for c in cells.values() if c.name not in used and _time_kind(c)), None)
    used |= {time.name} if time else set()
    split = next((c for c in cells.values() if c.name not in used and _parts(c)), None)
    used |= {split.name} if split else set()
    for column in cells.values():
        if column.name not in used and (_INPUT.search(column.key) or _COVARIATE.search(column.key)):
            inputs[_free(column.key, inputs)] = column
            used.add(column.name)

    binary: list[str] = []
    targets: list[str] = []
    names: list[str] = []
    for column in cells.values():
        if column.name in used:
            continue
        if made := _binary_targets(column, names):
            used.add(column.name)
            binary += names[len(binary) :]
            targets += made
    for column in cells.values():
        if (
            column.name not in used
            and column.key in _MEASUREMENTS
            and (measured := _measurement(column, names))
        ):
            used.add(column.name)
            targets.append(measured)

    missing = []
    lines = [
        f"# Drafted from {_comment(table.name)} by `bench cohort new`. Every line is a guess by names and",
        "# contents of columns: check each. `bench schema cohort` explains every key.",
        'schema = "cohort-spec/1"',
        f"id = {_text(cohort)}  # from the name of this file",
        'version = "1"  # change it when the data change: it is part of the split\'s fingerprint',
        f"title = {_text(cohort)}",
        '# citation = "PAPER"',
        '# licence = "LICENCE"',
        'labels = "private"  # public or shared where others have the labels too',
    ]
    if binary:
        headline = next((name for name in binary if name.startswith("composite")), binary[0])
        why = "named composite" if headline.startswith("composite") else "the first binary target"
        lines.append(f"headline = {_text(headline)}  # {why}; the board ranks by it")
    else:
        missing += ["headline", "targets"]
        lines.append('# headline = "TARGET"  # no column has 0 and 1, yes and no, or a list of findings')
    lines += ["", "[files]", f"table = {_text(table.name)}"]
    folder, suffix = _folder(image.values.head(20).tolist() if image else [], table.parent)
    if folder:
        lines.append(f"images = [{_text(folder)}]  # the first images of the table are there")
    else:
        lines.append('# images = ["FOLDER"]  # no folder beside the table has files named as in the table')

    lines += ["", "[columns]"]
    if image:
        lines.append(f"image = {_text(image.name)}  # no cell is blank and each is different")
        if suffix:
            lines.append(f"image_suffix = {_text(suffix)}  # of the files found")
        elif not folder and not image.looks_like_files:
            lines.append('# image_suffix = ".png"  # no id ends like an image file')
    else:
        missing.append("columns.image")
        lines.append('# image = "COLUMN"  # no column named as an image has a different text in each row')
    if patient:
        lines.append(f"patient = {_text(patient.name)}  # by its name; no cell is blank")
    elif not in_path:
        missing.append("columns.patient")
        lines.append('# patient = "COLUMN"  # no column is named as a patient and has no blank cell')
    if time:
        kind = _time_kind(time)
        lines.append(f"time = {_text(time.name)}  # the smallest is a patient's first image")
        lines += [f"time_kind = {_text(kind)}"] if kind != "number" else []
    else:
        lines.append('# time = "COLUMN"  # a number, or days and times: the smallest is the first image')
    if in_path and image:
        lines += ["", "[columns.patient]  # the patient's id is part of every image id"]
        lines += [f"column = {_text(image.name)}", f"pattern = '{_PATIENT_IN_PATH}'"]
    if inputs:
        lines += ["", "[columns.inputs]  # what a model may see; a label does not belong here"]
        for key, column in inputs.items():
            note = {"age": "  # years, or DICOM ages", "sex": "  # words for female and male"}.get(key, "")
            lines.append(f"{_key(key)} = {_text(column.name)}{note}")

    lines += ["", "[split]"]
    if split:
        lines += ['rule = "column"  # its words are names of parts', f"column = {_text(split.name)}"]
        lines += [f"{part} = {_text(word)}" for part, word in _parts(split).items()]
    else:
        lines += ['rule = "hash"  # by patient: 20% test, 10% val', f"salt = {_text(f'{cohort}-v1')}"]
    lines += targets
    if not binary:
        lines += ["", "# [[targets]]", '# name = "finding"', '# label = "Finding"', '# source = "COLUMN"']
    lines += _subgroups(inputs)
    if left := [name for name in cells if name not in used]:
        lines += ["", "# Columns without a use here:", *(f"# - {_comment(name)}" for name in left)]
    return SpecDraft("\n".join(lines) + "\n", tuple(missing))


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


def _binary_targets(column: _Cells, names: list[str]) -> list[str]:
    """TOML lines of a column's targets, none where it holds no labels; their names are added to `names`."""
    words = set(column.counts.index)
    blank = ["# blank cells are excluded; or negative", 'blank = "exclude"'] if column.blanks else []
    if {"0", "1"} <= words <= {"0", "1", "-1"} or {"0.0", "1.0"} <= words <= {"0.0", "1.0", "-1.0"}:
        extra = blank
        if words & {"-1", "-1.0"}:
            extra = [*extra, "# -1 is excluded; or positive, negative", 'uncertain = "exclude"']
        return _target(column, column.name, _text(column.name), names, "0 and 1", extra)
    lower = {word.lower(): word for word in words}
    for yes, no in (("yes", "no"), ("true", "false"), ("positive", "negative"), ("present", "absent")):
        if set(lower) == {yes, no} and len(words) == 2:
            source = f"{{ column = {_text(column.name)}, word = {_text(lower[yes])} }}"
            return _target(column, column.name, source, names, f"{yes} and {no}", blank)
    if not any("|" in word for word in words):
        return []
    rows = column.values[column.values != ""].str.split("|").explode().str.strip().value_counts()
    if len(rows) > MOST_WORDS or not all(re.fullmatch(r"[^\W\d][\w \-]{0,59}|", word) for word in rows.index):
        return []
    lines = []
    for word in sorted(str(word) for word, count in rows.items() if word and count >= FEWEST_ROWS):
        if word.lower() in ("no finding", "normal", "none"):
            continue
        source = f"{{ column = {_text(column.name)}, word = {_text(word)} }}"
        lines += _target(column, word, source, names, "a word of a list", blank)
    return lines


def _target(
    column: _Cells, label: str, source: str, names: list[str], why: str, extra: list[str]
) -> list[str]:
    names.append(_free(_name(label), names))
    head = ["", f"[[targets]]  # {why} in {_comment(column.name)}"]
    return [*head, f"name = {_text(names[-1])}", f"label = {_text(label)}", f"source = {source}", *extra]


def _measurement(column: _Cells, names: list[str]) -> str:
    """TOML of a measurement; empty where its median is outside the plausible range, in another unit."""
    label, unit, low, high = _MEASUREMENTS[column.key]
    if column.numbers is None or not low <= column.numbers.median() <= high:
        return ""
    names.append(_free(column.key, names))
    return (
        f"\n[[targets]]  # a measurement by its name; its median fits the unit\nname = {_text(names[-1])}\n"
        f'kind = "continuous"\nlabel = {_text(label)}\nsource = {_text(column.name)}\nunit = {_text(unit)}\n'
        f"plausible = [{low}, {high}]  # other values are excluded"
    )


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
