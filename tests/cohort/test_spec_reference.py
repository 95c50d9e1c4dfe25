"""docs/cohort-spec.md says what the model of a spec says, and its example is a spec."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from bench.cohort.spec import HashSplit, load_spec
from tests.spec_reference import all_models, page

PAGE = Path(__file__).parents[2] / "docs" / "cohort-spec.md"


def test_the_page_is_what_the_model_gives():
    assert PAGE.read_text("utf-8") == page(), "run `make spec-reference`"


@pytest.mark.parametrize("model", all_models(), ids=lambda model: model.__name__)
def test_every_key_has_one_line_of_meaning(model):
    for name, field in model.model_fields.items():
        assert field.description, f"{model.__name__}.{name}"
        assert not set(field.description) & set("\n|")


def test_links_lead_to_sections():
    text = PAGE.read_text("utf-8")
    headings = {h.lower().replace(" ", "-") for h in re.findall(r"(?m)^## (.+)$", text)}
    assert (
        {"files", "columns", "hash-split", "binary-target"}
        <= set(re.findall(r"\(#([a-z-]+)\)", text))
        <= headings
    )


def test_the_example_is_a_spec(tmp_path):
    file = tmp_path / "cohort.toml"
    file.write_text(re.search(r"```toml\n(.+?)```", PAGE.read_text("utf-8"), re.S)[1], "utf-8")
    spec = load_spec(str(file))
    assert [target.kind for target in spec.targets] == ["binary", "continuous"]
    assert spec.files.table == ("xrays.csv",)
    assert isinstance(spec.split, HashSplit)
