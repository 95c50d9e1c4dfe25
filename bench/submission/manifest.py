"""``submission.toml``: what an entrant says about an entry."""

from __future__ import annotations

import datetime
import re
import unicodedata
from typing import TYPE_CHECKING, Annotated, Literal
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator

from bench.choices import Recalibration, Track
from bench.documents import Document, schema_field

if TYPE_CHECKING:
    from bench.cohort.decode import ImageRule

PLACEHOLDERS = {"name": "My model", "team": "My group"}
"""What `bench template` writes for keys that the board shows."""

SLUG_RULE = "1 to 64 lower-case letters, digits and hyphens, a letter or digit first and last"
SLUG_PATTERN = r"^[a-z0-9](?:[a-z0-9-]{0,62}[a-z0-9])?$"

_INVISIBLE = frozenset("\u034f\u115f\u1160\u17b4\u17b5\u180e\u2800\u3164\uffa0")
"""Letters and signs that are drawn as nothing, besides blanks, controls and marks."""


def _visible(text: str) -> str:
    if text.isascii() and text.isprintable() and text.strip(" "):
        return text  # nothing of what follows can be wrong, and most texts end here
    if text and not any(unicodedata.category(c)[0] in "LNPS" and c not in _INVISIBLE for c in text):
        raise ValueError(
            "this text shows nothing: it has only blanks or invisible characters "
            f"({', '.join(f'U+{ord(c):04X}' for c in dict.fromkeys(text[:5]))})"
        )
    _without_hidden(text)
    for word in _WORD.findall(unicodedata.normalize("NFKC", text)):
        scripts = {script for c in word if (script := unicodedata.name(c, "").partition(" ")[0]) in _ALIKE}
        if len(scripts) > 1:
            names = " and ".join(sorted(script.title() for script in scripts))
            raise ValueError(f"a word of this text mixes {names} letters, which look alike")
    return text


def _without_hidden(text: str) -> str:
    if text.isascii():
        return text
    if hidden := [c for i, c in enumerate(text) if c in _INVISIBLE or _hidden_here(text, i)]:
        raise ValueError(f"this text holds an invisible character, U+{ord(hidden[0]):04X}")
    return text


_WORD = re.compile(r"[^\W\d_]+")
_ALIKE = frozenset({"LATIN", "CYRILLIC", "GREEK", "ARMENIAN", "CHEROKEE", "COPTIC"})
"""Scripts with letters of the same shape."""
_JOINERS = "\u200c\u200d"


def _hidden_here(text: str, place: int) -> bool:
    """Return whether a character is drawn as nothing; joiners belong to some scripts and to emoji."""
    c, before = text[place], text[place - 1 : place]
    if c in _JOINERS or "\ufe00" <= c <= "\ufe0f":
        return not before or before.isascii() or unicodedata.name(before, "").partition(" ")[0] in _ALIKE
    if unicodedata.category(c) == "Mn":  # more marks than a letter of any language carries
        return place >= 4 and all(unicodedata.category(x) == "Mn" for x in text[place - 4 : place])
    return unicodedata.category(c) in ("Cf", "Co", "Cn")


def _one_line(text: str) -> str:
    if len(text.splitlines()) > 1 or "\n" in text:
        raise ValueError("this text must stand on one line")
    return _without_controls(text)


def _without_controls(text: str) -> str:
    if controls := [c for c in text if unicodedata.category(c) == "Cc" and c not in "\t\n"]:
        raise ValueError(f"this text holds the control character U+{ord(controls[0]):04X}")
    return text


Text = Annotated[str, Field(min_length=1, max_length=200), AfterValidator(_visible)]
Heading = Annotated[Text, AfterValidator(_one_line)]
Line = Annotated[str, Field(max_length=1000), AfterValidator(_visible), AfterValidator(_one_line)]
"""A text of one line without hidden characters, which may be empty."""
Note = Annotated[
    str, Field(max_length=2000), AfterValidator(_without_hidden), AfterValidator(_without_controls)
]

NOT_STATED = "not stated"
"""Text of a declaration that the authors of an entry do not make."""


def _http(link: str) -> str:
    if not link.startswith(("https://", "http://")):
        raise ValueError("must begin with https:// or http://")
    try:
        parts = urlsplit(link)
        host, _ = parts.hostname, parts.port
    except ValueError:
        host = None
    if not host or not link.isascii() or not link.isprintable() or re.search(r"[\s\\<>\"^`{|}]", link):
        raise ValueError("must be an address with a host, in ASCII without blanks (encode other characters)")
    if "@" in parts.netloc:
        raise ValueError("must not hold a user name or password")
    return link


EARLIEST = datetime.date(2000, 1, 1)


def _recent(date: datetime.date) -> datetime.date:
    if not EARLIEST <= date <= datetime.date.today() + datetime.timedelta(days=2):  # time zones, clocks
        raise ValueError(f"must lie between {EARLIEST} and today")
    return date


Link = Annotated[str, Field(max_length=500), AfterValidator(_http)]


class ImageInput(Document):
    """Preprocessing of an image: grey, 8 bits, resize, divide by `scale`, subtract `mean`, divide by `std`.

    `bench.cohort.decode.ImageRule` states the steps up to the 8-bit grey values; with three channels each
    holds the same image.
    """

    name: str = Field(description="Name of the ONNX input, float32 (N, channels, height, width).")
    height: int = Field(gt=0, le=4096)
    width: int = Field(gt=0, le=4096)
    channels: Literal[1, 3] = 1
    resize: Literal["bilinear", "bicubic", "area"] = Field(
        default="bilinear", description="Interpolation; the whole image is resized, nothing is cropped."
    )
    antialias: bool = Field(
        default=True,
        description="Whether the kernel is widened where an image is reduced, as by Pillow.",
    )
    range: Literal["image", "full"] | tuple[float, float] = Field(
        default="image",
        description="Values of images of more than 8 bits that become 0 and 255: those of the image itself, "
        "0 and 65,535 (`full`), or two values.",
    )
    scale: float = Field(default=255.0, gt=0)
    mean: tuple[float, ...] = (0.0,)
    std: tuple[Annotated[float, Field(gt=0)], ...] = (1.0,)

    @model_validator(mode="after")
    def _per_channel(self) -> ImageInput:
        for name, values in (("mean", self.mean), ("std", self.std)):
            if len(values) not in (1, self.channels):
                raise ValueError(f"{name} has {len(values)} values for {self.channels} channels")
        return self

    @model_validator(mode="after")
    def _range_and_resize_are_possible(self) -> ImageInput:
        if not isinstance(self.range, str) and not self.range[0] < self.range[1]:
            raise ValueError("range must be two values in ascending order")
        if self.resize == "area" and not self.antialias:
            raise ValueError('antialias = false goes with "bilinear" and "bicubic": "area" averages')
        return self

    @property
    def rule(self) -> ImageRule:
        """The rule by which files become pixels."""
        from bench.cohort.decode import ImageRule

        return ImageRule(self.resize, self.antialias, self.range)


class ModelInputs(Document):
    """The ONNX file's interface."""

    image: ImageInput
    age: str | None = Field(default=None, description="Name of the input for age in years, float32 (N, 1).")
    sex: str | None = Field(default=None, description="Name of the input for sex, float32 (N, 1), male 1.")
    outputs: dict[str, str] = Field(
        min_length=1, description="Target → output name; `name:column` where the output is (N, columns)."
    )
    activation: Literal["none", "sigmoid"] = Field(
        default="none", description="`sigmoid` where the outputs are logits of the binary targets."
    )


class ReportedValue(Document):
    """A published AUROC with its published interval."""

    auroc: float = Field(ge=0, le=1)
    low: float | None = Field(default=None, ge=0, le=1)
    high: float | None = Field(default=None, ge=0, le=1)

    @model_validator(mode="after")
    def _ordered(self) -> ReportedValue:
        given = [value for value in (self.low, self.auroc, self.high) if value is not None]
        if given != sorted(given):
            raise ValueError("low, auroc and high must be in ascending order")
        return self


class Reported(Document):
    """Numbers from a paper, with what makes them hard to compare."""

    citation: Text
    split: Text
    caveat: Note
    link: Link | None = None
    metrics: dict[str, ReportedValue] = Field(min_length=1, description="Target or `macro` → AUROC.")


class EmbeddingRecord(Document):
    """Embeddings that an entry's predictions were computed from; `bench submit --embeddings` fills it in."""

    dimension: int = Field(gt=0, description="Features of an image.")
    dtype: Literal["float16", "float32"]
    sha256: dict[Literal["train", "val", "test"], Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]] = Field(
        description="Part → SHA-256 of the file of its embeddings."
    )
    strength: dict[Text, float] = Field(
        default_factory=dict,
        description="Target → inverse penalty of its logistic regression, or penalty of its ridge "
        "regression, chosen on val; left out where the training labels have one value.",
    )


class Retraction(Document):
    """``retraction.json``: why the maintainers of a board took an entry out of the ranking."""

    schema_: str = schema_field("retraction", 1)
    date: datetime.date
    reason: Annotated[
        str, Field(min_length=1, max_length=500), AfterValidator(_visible), AfterValidator(_one_line)
    ]

    @property
    def sentence(self) -> str:
        """The retraction as boards say it."""
        return f"retracted on {self.date}: {self.reason}"


class Manifest(Document):
    """``submission.toml``."""

    schema_: Literal["submission/1"] = Field(default="submission/1", alias="schema")
    name: Heading
    team: Heading
    date: Annotated[datetime.date, AfterValidator(_recent)] = Field(
        strict=False, description="When the entry was made here; a paper's year is in its citation."
    )
    kind: Literal["model", "ensemble", "baseline", "reported"] = "model"
    description: Note = ""
    inputs: tuple[Text, ...] = Field(min_length=1, max_length=50, description="`image`, `age`, `sex`, …")
    training_data: Text = NOT_STATED
    external_data: Text = NOT_STATED
    pretrained_weights: Text = NOT_STATED
    image_size: int | None = Field(
        default=None,
        gt=0,
        le=4096,
        description="Pixels of the shorter side of the image that the model gets.",
    )
    upsampled_from: int | None = Field(
        default=None, gt=0, le=4096, description="Pixels of that side before it was enlarged to `image_size`."
    )
    zero_shot: bool | None = Field(
        default=None,
        description="Whether no image of the cohort was trained or tuned on; left out: not stated.",
    )
    parameters: int | None = Field(default=None, ge=0, le=10**15)
    licence: Text = NOT_STATED
    links: dict[Text, Link] = Field(default_factory=dict, max_length=20)
    scores: Literal["probability", "uncalibrated"] = "probability"
    track: Track = Track.HOLDOUT
    recalibration: Recalibration | None = Field(
        default=None, description="How the probabilities were fitted anew on val, where they were."
    )
    model: ModelInputs | None = None
    embeddings: EmbeddingRecord | None = None
    reported: Reported | None = None

    @model_validator(mode="after")
    def _upsampled_is_larger(self) -> Manifest:
        if self.upsampled_from is not None and self.upsampled_from >= (self.image_size or 0):
            raise ValueError("upsampled_from must be less than image_size, which belongs to it")
        return self

    @model_validator(mode="after")
    def _reported_has_numbers(self) -> Manifest:
        if (self.kind == "reported") != (self.reported is not None):
            raise ValueError('kind = "reported" and the table [reported] belong together')
        return self


class EncoderFile(Document):
    """Description of an encoder: ``encoder.toml``."""

    schema_: Literal["encoder/1"] = Field(alias="schema")
    name: str = Field(min_length=1, max_length=100, description="As the board shows it.")
    file: str = Field(min_length=1, description="The ONNX file, beside this one or below.")
    features: str = Field(min_length=1, description="Output with the features, float32 (N, width).")
    image: ImageInput = Field(description="How an image goes in, as in a submission's [model.image].")
    description: str = Field(default="", max_length=800)
    pretrained_weights: Text = Field(description="What it was trained from and on.")
    external_data: Text = Field(description="Data beyond the cohort that it has seen.")
