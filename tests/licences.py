"""Lists the licence of everything that is pinned: ``python -m tests.licences`` prints docs/licences.md."""

from __future__ import annotations

import re
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
HEAD = """\
# Licences of the dependencies

What `requirements.lock` and `requirements-torch.lock` pin, as the packages state it; made by `make licences`.
CheXchoBench itself is Apache-2.0 and contains none of them.

| package | version | licence |
|---|---|---|
"""


def pinned(lock: Path) -> dict[str, str]:
    """Package → version of a requirements file."""
    return dict(re.findall(r"(?m)^([A-Za-z0-9._-]+)==([^\s;\\]+)", lock.read_text("utf-8")))


def everything() -> dict[str, str]:
    """Package → version of all that `make test` installs."""
    return pinned(ROOT / "requirements.lock") | pinned(ROOT / "requirements-torch.lock")


def licence(package: str) -> str:
    """The licence that an installed package states: expression, else classifier, else the text's begin."""
    try:
        said = metadata(package).json
    except PackageNotFoundError:
        return "not installed here"
    if expression := said.get("license_expression"):
        return str(expression)
    classifiers = [c.rpartition(" :: ")[2] for c in said.get("classifier", ()) if c.startswith("License :: ")]
    text = str(said.get("license") or "not stated").strip().splitlines()[0]
    return ", ".join(classifiers) or text[:60]


def table() -> str:
    """The whole document."""
    rows = sorted(everything().items(), key=lambda item: item[0].lower())
    return HEAD + "".join(f"| {name} | {version} | {licence(name)} |\n" for name, version in rows)


if __name__ == "__main__":
    print(table(), end="")
