"""The reference of the Python interface has every public name as Python itself knows it."""

from __future__ import annotations

import inspect
import re
from types import ModuleType

import pytest

import bench
from bench.publish.reference import python_reference
from bench.publish.templates import document, site_sources

NAMES = [name for name in bench.__all__ if name != "__version__"]


@pytest.fixture(scope="module")
def sections() -> dict[str, str]:
    parts = re.split(r"(?m)^## (\w+)$", python_reference())
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def test_every_public_name_has_one_section_in_order(sections: dict[str, str]) -> None:
    assert list(sections) == sorted(NAMES, key=str.lower)


@pytest.mark.parametrize("name", NAMES)
def test_a_section_has_the_words_and_arguments_of_its_name(name: str, sections: dict[str, str]) -> None:
    found = getattr(bench, name)
    summary = inspect.getdoc(found).split("\n\n")[0]
    assert summary.replace("``", "`") in sections[name]
    if inspect.isfunction(found):
        for parameter in inspect.signature(found).parameters:
            assert re.search(rf"\b{parameter}\b", sections[name].split("```")[1]), parameter
    if isinstance(found, ModuleType):
        assert {"roc", "reliability", "decision", "forest"} <= set(
            re.findall(r"### plot\.(\w+)", sections[name])
        )


def test_the_page_is_built_from_it() -> None:
    _, body = document(site_sources() / "content" / "reference.md", {"reference": python_reference()})
    assert '<h2 id="evaluate">' in body
    anchors = re.findall(r' id="([^"]+)"', body)
    assert len(anchors) == len(set(anchors)) >= len(NAMES)
    assert "{{" not in body
