"""HTML by html-validate: an independent reading of the standard, and its rules on accessibility."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

RULES = Path(__file__).parent / "htmlvalidate.json"


def faults(modules, folder):
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    command = [modules / ".bin" / "html-validate", "--config", RULES, "--formatter", "json", folder]
    done = subprocess.run(command, capture_output=True, text=True)
    return [
        (m["ruleId"], m["message"], f["filePath"]) for f in json.loads(done.stdout) for m in f["messages"]
    ]


def test_no_page_has_an_error(modules, folder):
    assert faults(modules, folder) == []


def test_the_validator_finds_what_is_wrong(modules, tmp_path):
    page = "<!DOCTYPE html><html lang='en'><head><title>t</title></head><body><p><ul></ul></p></body></html>"
    (tmp_path / "index.html").write_text(page)
    assert {rule for rule, _, _ in faults(modules, tmp_path)} & {"element-permitted-content", "close-order"}
