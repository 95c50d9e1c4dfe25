"""Baselines that are a recipe: a network, trained and exported as its TOML file says."""

from __future__ import annotations

from baselines.api import Baseline, Choices, Result, TrainingTask

PACKAGES = ("torch", "lightning", "onnx", "onnxscript")


def by_recipe(
    name: str,
    summary: str,
    *,
    needs_inputs: tuple[str, ...] = (),
    needs_packages: tuple[str, ...] = (),
    needs_rule: bool = False,
    quick: bool = False,
) -> Baseline:
    """The baseline of ``recipes/<name>.toml``.

    Args:
        name: Its slug and the name of its recipe.
        summary: One line for `bench baseline list`.
        needs_inputs: Inputs that the cohort's spec must declare.
        needs_packages: Importable packages beyond those that every network needs.
        needs_rule: Whether it derives targets from measurements.
        quick: Whether `bench demo` runs it.
    """

    def run(task: TrainingTask) -> Result:
        from baselines.networks.recipe import load_recipe
        from baselines.networks.run import run_recipe

        return run_recipe(task, load_recipe(name, quick=task.quick, choices=task.choices))

    def side(quick: bool, choices: Choices) -> int:
        from baselines.networks.recipe import load_recipe

        return load_recipe(name, quick=quick, choices=choices).size

    def check(quick: bool, choices: Choices) -> None:
        from baselines.networks.recipe import load_recipe
        from baselines.networks.train import require_devices

        require_devices(load_recipe(name, quick=quick, choices=choices))

    return Baseline(
        name,
        summary,
        run,
        needs_images=True,
        needs_inputs=needs_inputs,
        needs_packages=(*PACKAGES, *needs_packages),
        needs_rule=needs_rule,
        has_recipe=True,
        side=side,
        check=check,
        quick=quick,
    )
