"""Planted faults of a fast but wrong session are caught, and rounding is not taken for one."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.special import expit

from bench.timing.parity import GATES, check_parity, not_checked

GENERATOR = np.random.default_rng(0)
IMAGES = 256
PIXELS = GENERATOR.integers(0, 256, (IMAGES, 12, 12)).astype(np.float64)
WEIGHTS = GENERATOR.normal(0, 0.3, (144, 3))
TARGETS = ("composite", "slvh", "dlv")


def model(inputs: np.ndarray) -> dict[str, np.ndarray]:
    """Probabilities of a linear model."""
    logits = inputs.reshape(IMAGES, -1) @ WEIGHTS
    return dict(zip(TARGETS, expit(logits).T, strict=True))


STORED = model(PIXELS / 255 - 0.5)
LABELS = {t: (p > GENERATOR.random(IMAGES)).astype(float) for t, p in STORED.items()}


@pytest.mark.parametrize(
    ("precision", "gate"), [("fp32", 1e-4), ("tf32", 2e-3), ("fp16", 5e-3), ("bf16", 2e-2)]
)
def test_the_gate_of_each_precision(precision: str, gate: float) -> None:
    def shifted(by: float) -> dict[str, np.ndarray]:
        return {**STORED, "slvh": STORED["slvh"] + by * (np.arange(IMAGES) == 7)}

    passed = check_parity(shifted(0.99 * gate), STORED, precision, labels=LABELS)
    assert (passed.status, passed.target, passed.images) == ("passed", "slvh", IMAGES)
    assert passed.max_difference == pytest.approx(0.99 * gate)
    failed = check_parity(shifted(1.01 * gate), STORED, precision)
    assert failed.status == "failed"
    assert failed.message.startswith(f"1 of {IMAGES} images differ by more than {gate:g} in slvh")


def test_equal_predictions_pass_with_nothing_to_say() -> None:
    parity = check_parity(STORED, STORED, "fp32", labels=LABELS)
    assert (parity.status, parity.max_difference, parity.auroc_difference, parity.message) == (
        "passed",
        0.0,
        0.0,
        "",
    )


@pytest.mark.parametrize(
    "wrong",
    [
        pytest.param(np.swapaxes(PIXELS, 1, 2) / 255 - 0.5, id="height and width swapped"),
        pytest.param(PIXELS.reshape(IMAGES, -1)[:, ::-1] / 255 - 0.5, id="flipped"),
        pytest.param(np.roll(PIXELS, 1, axis=0) / 255 - 0.5, id="images in another order"),
        pytest.param(np.zeros_like(PIXELS), id="input never copied"),
    ],
)
@pytest.mark.parametrize("precision", list(GATES))
def test_a_wrong_layout_fails_in_every_precision(wrong: np.ndarray, precision: str) -> None:
    parity = check_parity(model(wrong), STORED, precision, labels=LABELS)
    assert parity.status == "failed"
    assert "the input or the weights differ" in parity.message
    assert parity.auroc_difference is not None
    assert parity.auroc_difference > 0.01


def test_missing_normalisation_fails() -> None:
    assert check_parity(model(PIXELS / 255), STORED, "bf16").status == "failed"
    assert check_parity(model(PIXELS - 127.5), STORED, "bf16").status == "failed"


def test_a_missing_activation_is_named() -> None:
    logits = {t: np.log(p / (1 - p)) for t, p in STORED.items()}
    parity = check_parity(logits, STORED, "fp16", labels=LABELS)
    assert parity.status == "failed"
    assert "their order is the same, so that a scale or an activation differs" in parity.message
    assert parity.auroc_difference == 0.0


def test_permuted_outputs_are_named() -> None:
    swapped = {"composite": STORED["composite"], "slvh": STORED["dlv"], "dlv": STORED["slvh"]}
    parity = check_parity(swapped, STORED, "fp32", labels=LABELS)
    assert parity.message.startswith(
        "The outputs are permuted: slvh is what is stored for dlv, dlv is what is stored for slvh."
    )


def test_values_that_are_not_numbers_fail_and_are_counted() -> None:
    broken = {t: p.copy() for t, p in STORED.items()}
    broken["dlv"][:5] = np.nan
    broken["slvh"][0] = np.inf
    parity = check_parity(broken, STORED, "bf16", labels=LABELS)
    assert (parity.status, parity.max_difference, parity.target) == ("failed", None, "dlv")
    assert parity.message == f"6 of {3 * IMAGES} values are NaN or infinite, most in dlv."


def test_many_small_shifts_that_move_the_auroc_fail() -> None:
    ties = {"composite": np.round(STORED["composite"], 2)}  # within fp16's gate, but pairs are tied
    moved = {"composite": ties["composite"] + 0.004 * (LABELS["composite"] * 2 - 1)}
    parity = check_parity(moved, ties, "fp16", labels={"composite": LABELS["composite"]})
    assert parity.max_difference is not None
    assert parity.max_difference <= GATES["fp16"][0]
    assert parity.status == "failed"
    assert "AUROC differs by more than" in parity.message


def test_a_target_on_one_side_only_fails() -> None:
    assert "dlv" in check_parity(STORED, {t: STORED[t] for t in TARGETS[:2]}, "fp32").message


def test_int8_and_absent_predictions_are_not_checked() -> None:
    off = {**STORED, "slvh": STORED["slvh"] + 0.3}
    parity = check_parity(off, STORED, "int8", labels=LABELS)
    assert (parity.status, parity.target, parity.max_difference_gate) == ("not_checked", "slvh", None)
    assert parity.max_difference == pytest.approx(0.3)
    assert "of its own predictions" in parity.message
    assert not_checked("none").max_difference is None


def test_without_labels_or_with_one_class_auroc_is_not_compared() -> None:
    assert check_parity(STORED, STORED, "fp32").auroc_difference is None
    ones = {"dlv": np.ones(IMAGES)}
    assert check_parity(STORED, STORED, "fp32", labels=ones).auroc_difference is None
    some = {"dlv": np.where(np.arange(IMAGES) < 5, np.nan, LABELS["dlv"])}
    assert check_parity(STORED, STORED, "fp32", labels=some).auroc_difference == 0.0


def test_scores_of_another_scale_are_compared_relative_to_their_span() -> None:
    scores = {"composite": 1000 * STORED["composite"]}
    near = {"composite": scores["composite"] + 0.05}
    assert check_parity(near, scores, "fp32").status == "failed"
    parity = check_parity(near, scores, "fp32", spans={"composite": 1000.0})
    assert parity.status == "passed"
    assert parity.max_difference == pytest.approx(5e-5)


@given(st.integers(1, 50), st.floats(0, 1), st.floats(0, 1))
def test_the_verdict_follows_the_largest_difference(n: int, a: float, b: float) -> None:
    parity = check_parity({"t": np.full(n, a)}, {"t": np.full(n, b)}, "fp32")
    assert parity.max_difference == abs(a - b)
    assert (parity.status == "passed") == (abs(a - b) <= 1e-4)
