import pytest

from tests.perf.statistics_table import SIZES, TARGETS, first_use_seconds, measure, table


@pytest.mark.perf
@pytest.mark.filterwarnings("ignore")
def test_statistics_are_as_fast_as_promised():
    measured = measure()
    print("\n" + table(measured))
    for name, goals in TARGETS.items():
        for (images, _), goal in zip(SIZES, goals, strict=True):
            assert measured[images, name][1] >= goal, (name, images)


@pytest.mark.perf
def test_first_use_takes_no_more_than_eight_seconds():
    cold, warm = first_use_seconds()
    print(f"\nFirst use: {cold:.1f} s with compilation, {warm:.2f} s from the cache")
    assert cold <= 8
    assert warm <= 2
