from __future__ import annotations

import pytest

from baselines.networks.recipe import load_recipe, parse_recipe
from bench.errors import BenchError

GOOD = """
schema = "recipe/1"
title = "T"
description = "D"
network = "small"
size = 32
epochs = 3
patience = 2
batch = 16
learning_rate = 1e-3
[quick]
epochs = 1
"""


def _faults(text: str, quick: bool = False) -> list[str]:
    with pytest.raises(BenchError) as caught:
        parse_recipe(text, where="here", quick=quick)
    assert {p.code for p in caught.value.problems} == {"recipe-invalid"}
    assert all(p.where.startswith("here") for p in caught.value.problems)
    return [p.message for p in caught.value.problems]


def test_quick_overrides_only_when_asked():
    assert parse_recipe(GOOD, where="").epochs == 3
    quick = parse_recipe(GOOD, where="", quick=True)
    assert (quick.epochs, quick.size) == (1, 32)


def test_every_fault_in_one_pass():
    text = GOOD.replace("epochs = 3", "epoch = 3").replace("size = 32", "size = 7")
    messages = _faults(text)
    assert len(messages) == 3
    assert any(m == "epoch: This key is not known. Did you mean 'epochs'?" for m in messages)
    assert any(m.startswith("epochs: This key is missing") for m in messages)
    assert any(m.startswith("size: ") for m in messages)


def test_faults_of_the_quick_form():
    assert any("rounds" in m for m in _faults(GOOD + "rounds = 2\n", quick=True))
    assert _faults("quick = 3\n" + GOOD.replace("[quick]\nepochs = 1\n", "")) == ["quick must be a table."]


def test_not_toml():
    assert "Not valid TOML" in _faults("size = ")[0]


@pytest.mark.parametrize(
    ("line", "reason"),
    [
        ('inputs = ["age"]', "inputs must hold image"),
        ('network = "resnet"', "densenet121"),
        ("learning_rate = 0", "greater than 0"),
        ("dropout = 1", "less than 1"),
    ],
)
def test_impossible_values(line: str, reason: str):
    key = line.split(" =")[0]
    kept = [old for old in GOOD.splitlines() if not old.startswith(f"{key} =")]
    assert any(reason in message for message in _faults("\n".join([line, *kept])))


@pytest.mark.parametrize("name", ["cnn-small", "densenet121", "densenet121-echo"])
@pytest.mark.parametrize("quick", [False, True])
def test_recipes_that_come_with_the_harness(name: str, quick: bool):
    assert load_recipe(name, quick=quick).network
