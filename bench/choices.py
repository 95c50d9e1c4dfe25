"""Choices that several packages and the command line share, one enumeration each."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pydantic_core import CoreSchema


class Choice(StrEnum):
    """An enumeration that a document holds as plain text: its JSON Schema lists the words."""

    @classmethod
    def __get_pydantic_core_schema__(cls, source: Any, handler: Any) -> CoreSchema:
        """Accept the words, also in documents in which no value is converted, and store them as text."""
        from pydantic_core import core_schema

        words = core_schema.literal_schema([str(word) for word in cls])
        text = core_schema.plain_serializer_function_ser_schema(str, when_used="json")
        return core_schema.no_info_after_validator_function(cls, words, serialization=text)


class Track(Choice):
    """Images by which entries are ranked."""

    HOLDOUT = "holdout"
    """The test images, all predicted by one model."""
    CV5 = "cv5"
    """All images, each predicted by the one of five models that was not fitted on its fold."""


class Precision(Choice):
    """Number format in which a backend runs a model."""

    FP32 = "fp32"
    TF32 = "tf32"
    FP16 = "fp16"
    BF16 = "bf16"
    INT8 = "int8"


class Recalibration(Choice):
    """Method of recalibration on the val images."""

    TEMPERATURE = "temperature"
    ISOTONIC = "isotonic"


class LabelMode(Choice):
    """Access to the labels of a cohort; it decides what may be published."""

    PUBLIC = "public"
    """Everybody: predictions and whole scorecards are published."""
    SHARED = "shared"
    """Everybody who may submit, but not the public: predictions are published encrypted, few figures."""
    PRIVATE = "private"
    """The holder of the data only: the AUROC to three decimals is published, for few attempts."""


PUBLISHED_DIGITS = 4
"""Significant digits of what is published of a cohort whose labels are shared."""
