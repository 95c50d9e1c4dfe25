"""Four words for two rows, and messages that say what to do."""

from __future__ import annotations

import pytest

from bench.timing.record import Instability, InstabilityCode, Latency, Percentile, Stability
from bench.timing.statistics import unmeasured
from bench.timing.verdict import advice, compare, enqueue_note, half_width


def latency(ms: float, relative: float) -> Latency:
    """A scope whose p50 is known to ± `relative`."""
    p50 = Percentile(value_ms=ms, low_ms=ms * (1 - relative), high_ms=ms * (1 + relative))
    return unmeasured("not measured in this test").model_copy(update={"p50": p50})


@pytest.mark.parametrize(
    ("first", "second", "word"),
    [
        (latency(1.0, 0.01), latency(1.2, 0.01), "faster"),
        (latency(1.2, 0.01), latency(1.0, 0.01), "slower"),
        (latency(1.0, 0.005), latency(1.005, 0.005), "same"),
        (latency(1.0, 0.05), latency(1.05, 0.05), "undecided"),  # 4.9% apart, known to 7.1%
        (latency(1.0, 0.03), latency(1.05, 0.03), "faster"),  # 4.9% apart, known to 4.2%
        (latency(1.0, 0.02), latency(1.0, 0.02), "undecided"),  # equal, known to 2.8% only
        (latency(1.0, 0.001), latency(1.01, 0.001), "same"),  # certainly different, and nobody would notice
        (latency(1.0, 0.01), unmeasured("crashed"), "undecided"),
    ],
)
def test_two_rows_in_four_words(first: Latency, second: Latency, word: str) -> None:
    assert compare(first, second) == word
    opposite = {"faster": "slower", "slower": "faster"}.get(word, word)
    assert compare(second, first) == opposite


def test_half_width_is_relative() -> None:
    assert half_width(latency(8.0, 0.02)) == pytest.approx(0.02)
    assert half_width(unmeasured("crashed")) is None


def unstable(*codes: InstabilityCode, known: float = 0.0144) -> Stability:
    reasons = tuple(Instability(code=code, message="Invented by this test.") for code in codes)
    return Stability(stable=False, reasons=reasons, p50_half_width=known)


def said(stability: Stability, *, is_gpu: bool = False, load: float = 4.8, cores: int = 2) -> str:
    command = "bench time cnn --backend b --precision fp32 --again"
    return advice(stability, is_gpu=is_gpu, load=load, cores=cores, command=command, clock_mhz=1980.0)


def test_a_busy_machine_is_named_with_what_to_do() -> None:
    assert said(unstable("block-spread")) == (
        "The machine was busy (load 4.8 on 2 cores). p50 is known to ±1.4%. Close other programs and run "
        "`bench time cnn --backend b --precision fp32 --again`."
    )
    assert "load" not in said(unstable("block-spread"), load=0.4)


def test_the_load_of_a_timing_itself_is_not_blamed_on_other_programs() -> None:
    words = said(unstable("block-spread"), load=2.05)
    assert words.startswith("The load average was 2.05 on 2 cores, this command's own work included. p50 is")
    assert "busy" not in words


def test_the_remedy_on_a_gpu() -> None:
    assert "-lgc 1980" in said(unstable("clocks"), is_gpu=True)
    assert "raise its power limit" in said(unstable("throttled"), is_gpu=True)
    assert "Close other programs on the GPU" in said(unstable("foreign-process"), is_gpu=True)
    assert "Close other" not in said(unstable("telemetry"), is_gpu=True)
    assert said(Stability(stable=True)) == said(Stability(stable=None)) == ""


def test_a_host_that_is_slower_than_its_device_is_named() -> None:
    assert enqueue_note(latency(1.0, 0.01), 0.79) == ""
    assert "takes the host 0.81 ms and the device 1 ms" in enqueue_note(latency(1.0, 0.01), 0.81)
    assert enqueue_note(unmeasured("no clock"), 0.5) == enqueue_note(latency(1.0, 0.01), None) == ""
