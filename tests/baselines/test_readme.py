from __future__ import annotations

import re
from pathlib import Path

from baselines.api import Baseline
from baselines.registry import baselines
from baselines.views import make_task
from bench.cohort.cohort import Cohort

README = (Path(__file__).parents[2] / "baselines" / "README.md").read_text("utf-8")


def test_every_baseline_is_in_the_table():
    named = set(re.findall(r"^\| `([a-z0-9-]+)`", README, flags=re.MULTILINE))
    assert named == set(baselines())


def test_the_template_runs(tiny: Cohort):
    (template,) = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
    namespace: dict[str, object] = {"__name__": "template"}
    exec(compile(template, "template", "exec"), namespace)
    baseline = namespace["BASELINE"]
    assert isinstance(baseline, Baseline)
    task = make_task(tiny, baseline, seed=0, quick=True, folder=Path())
    result = baseline.run(task)
    assert set(result.predictions) == {"large", "rare"}
    assert all(values.shape == (len(task.test),) for values in result.predictions.values())
    assert all(((values >= 0) & (values <= 1)).all() for values in result.predictions.values())
