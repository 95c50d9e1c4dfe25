"""The least time of a model's work, from given figures and from the CPU of this machine."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.timing.parity import not_checked
from bench.timing.record import BatchTiming, ColdStart, Roofline, Stability, Throughput
from bench.timing.roofline import least_ms, measure_roofline, with_limit
from bench.timing.statistics import summarise, unmeasured
from bench.timing.workers.roofline import cpu_ceilings
from tests.runtime.models import SIZE, busy_model, linear_model, save

KNOWN = Roofline(
    mflop_per_image=5000.0, weight_mb=28.0, image_mb=0.2, device_gflop_per_s=50_000.0, device_gb_per_s=2000.0
)
IMAGE = {"image": (1, SIZE, SIZE)}


def row(batch: int, latency_ms: float | None) -> BatchTiming:
    return BatchTiming(
        batch=batch,
        status="ok",
        compute=unmeasured("none"),
        end_to_end=unmeasured("none") if latency_ms is None else summarise([np.full(50, latency_ms)] * 2),
        throughput=Throughput(images_per_s=None),
        cold_start=ColdStart(prepare_ms=None, first_inference_ms=None),
        stability=Stability(stable=None),
        parity=not_checked("none"),
        blocks=2,
    )


def test_the_limit_is_the_larger_of_products_and_bytes() -> None:
    assert least_ms(KNOWN, 1) == pytest.approx(0.1)  # 5 GFLOP at 50 TFLOP/s; 28 MB at 2 TB/s take 0.014 ms
    assert least_ms(KNOWN, 32) == pytest.approx(3.2)
    light = KNOWN.model_copy(update={"mflop_per_image": 1.0})
    assert least_ms(light, 1) == pytest.approx(28.2 / 2000)
    assert least_ms(light, 100) == pytest.approx(48 / 2000)  # the weights are read once for a batch


def test_a_row_gets_the_fraction_that_it_reaches() -> None:
    assert with_limit(row(1, 0.4), KNOWN).limit_fraction == pytest.approx(0.25)
    assert with_limit(row(1, 0.05), KNOWN).limit_fraction is None  # faster than the device was seen to be
    assert with_limit(row(1, None), KNOWN).limit_fraction is None
    assert with_limit(row(1, 0.4), Roofline(reason="unknown")).limit_fraction is None


def test_the_device_s_own_time_is_held_against_the_limit_where_it_is_known() -> None:
    timed = row(1, 0.4).model_copy(update={"compute": summarise([np.full(50, 0.2)] * 2)})
    assert with_limit(timed, KNOWN).limit_fraction == pytest.approx(0.5)


@pytest.mark.parametrize("field", [name for name in Roofline.model_fields if name != "reason"])
def test_a_figure_that_is_missing_leaves_the_limit_unknown(field: str) -> None:
    assert KNOWN.figures == (5000.0, 28.0, 0.2, 50_000.0, 2000.0)
    partly = KNOWN.model_copy(update={field: None})
    assert partly.figures == ()
    assert least_ms(partly, 1) is None


def test_a_processor_multiplies_and_copies() -> None:
    products_per_s, bytes_per_s = cpu_ceilings()
    assert 1e8 < products_per_s < 1e14
    assert 1e8 < bytes_per_s < 1e13


def test_figures_come_from_a_process_of_its_own(tmp_path: Path) -> None:
    roofline = measure_roofline(save(linear_model(), tmp_path / "m.onnx"), IMAGE, "fp32", is_gpu=False)
    assert roofline.reason == ""
    assert roofline.mflop_per_image == pytest.approx(2e-6 * SIZE * SIZE * 2)
    assert roofline.weight_mb == pytest.approx(4e-6 * SIZE * SIZE * 2)
    assert roofline.device_gflop_per_s is not None
    assert roofline.device_gb_per_s is not None


def test_unknown_work_is_null_with_a_reason(tmp_path: Path) -> None:
    loop = measure_roofline(save(busy_model(3, 4), tmp_path / "l.onnx"), IMAGE, "fp32", is_gpu=False)
    assert loop == Roofline(reason="The work of Loop does not follow from the graph.")
    assert "int8" in measure_roofline(tmp_path / "l.onnx", IMAGE, "int8", is_gpu=False).reason
    (tmp_path / "bad.onnx").write_bytes(b"no model")
    broken = measure_roofline(tmp_path / "bad.onnx", IMAGE, "fp32", is_gpu=False)
    assert broken.mflop_per_image is None
    assert broken.reason
    assert str(tmp_path) not in broken.reason
