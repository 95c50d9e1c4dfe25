"""Recipes: TOML files that describe a network and its training."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import resources
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from baselines.api import Choices
from bench.documents import Document, parse, read_table, read_text
from bench.errors import BenchError, Problem

NetworkName = Literal["small", "densenet121"]


class Augmentation(Document):
    """Random augmentation of a training image, drawn anew for every image and epoch."""

    shift: float = Field(default=0.0, ge=0, le=0.5, description="Largest shift, share of the side.")
    zoom: float = Field(default=0.0, ge=0, lt=0.5, description="Largest change of size.")
    contrast: float = Field(default=0.0, ge=0, lt=1, description="Largest change of contrast.")
    noise: float = Field(default=0.0, ge=0, le=1, description="Standard deviation, of pixels in [0, 1].")


class Recipe(Document):
    """Architecture and training settings of a network."""

    schema_: Literal["recipe/1"] = Field(alias="schema")
    title: str = Field(min_length=1, max_length=80)
    description: str = Field(min_length=1, max_length=1500)
    network: NetworkName
    head: Literal["binary", "echo"] = Field(
        default="binary", description="`echo` predicts measurements and derives the targets by label rules."
    )
    inputs: tuple[Literal["image", "age", "sex"], ...] = ("image",)
    size: int = Field(ge=32, le=1024, description="Side of the square input in pixels.")
    epochs: int = Field(gt=0)
    steps_per_epoch: int | None = Field(
        default=None, gt=0, description="Batches of an epoch, for a trial; default: all training images."
    )
    patience: int = Field(gt=0, description="Epochs without a better val loss before it stops.")
    batch: int = Field(gt=1)
    learning_rate: float = Field(gt=0)
    weight_decay: float = Field(default=0.0, ge=0)
    dropout: float = Field(default=0.0, ge=0, lt=1)
    precision: Literal["32", "bf16-mixed", "16-mixed"] = "32"
    accelerator: Literal["auto", "cpu", "gpu"] = "auto"
    devices: int = Field(default=1, gt=0, le=1024, description="Processes of each node, a device each.")
    nodes: int = Field(default=1, gt=0, le=1024, description="Machines; each is started by a launcher.")
    threads: Annotated[int, Field(gt=0)] = Field(default=2, description="CPU threads of the network.")
    augment: Augmentation = Augmentation()

    @model_validator(mode="after")
    def _reads_images(self) -> Recipe:
        if "image" not in self.inputs:
            raise ValueError("inputs must hold image")
        if self.head == "echo" and "sex" not in self.inputs:
            raise ValueError('head = "echo" needs the input sex: its thresholds differ by sex')
        if self.batch % self.processes:
            raise ValueError(f"batch {self.batch} cannot be shared equally by {self.processes} processes")
        return self

    @property
    def processes(self) -> int:
        """Number of processes that share each batch."""
        return self.devices * self.nodes


def load_recipe(name: str, *, quick: bool = False, choices: Choices | None = None) -> Recipe:
    """Load the recipe of a network baseline.

    Args:
        name: Name of the baseline and of ``baselines/recipes/<name>.toml``.
        quick: Whether to apply the table ``[quick]``, which overrides keys.
        choices: Recipe file that replaces the baseline's own, and keys to set last.

    Raises:
        BenchError: ``recipe-invalid``, every fault listed.
    """
    choices = choices or Choices()
    if choices.recipe is None:
        where = f"recipe {name}"
        text = resources.files("baselines").joinpath("recipes", f"{name}.toml").read_text("utf-8")
    else:
        where = str(choices.recipe)
        text = read_text(choices.recipe, "recipe-invalid")
    return parse_recipe(text, where=where, quick=quick, settings=choices.settings)


def parse_recipe(
    text: str, *, where: str, quick: bool = False, settings: Mapping[str, Any] | None = None
) -> Recipe:
    """Parse a recipe; errors as `load_recipe`."""
    data = read_table(text, "recipe-invalid", where)
    overrides = data.pop("quick", {})
    if not isinstance(overrides, dict):
        raise BenchError(Problem("recipe-invalid", "quick must be a table.", where=where))
    return parse(
        Recipe, {**data, **(overrides if quick else {}), **(settings or {})}, "recipe-invalid", where
    )
