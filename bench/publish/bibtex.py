"""Citations as BibTeX."""

from __future__ import annotations

import re

from bench.board.model import Entry
from bench.cohort.spec import CohortSpec

_SPECIAL = {"\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "%": r"\%", "&": r"\&", "$": r"\$", "#": r"\#"}
_SPECIAL |= {"_": r"\_", "^": r"\^{}", "~": r"\~{}"}


def bibtex(entry: Entry, spec: CohortSpec) -> str:
    """An ``@misc`` for an entry; every text is escaped, so that none can end its field."""
    manifest = entry.manifest
    fields = {
        "title": f"{manifest.name} on CheXchoBench, cohort {spec.id} {spec.version}",
        "author": manifest.team,
        "year": str(manifest.date.year),
        "note": manifest.reported.citation if manifest.reported else "Predictions scored by chexchobench",
    }
    lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items()]
    return "\n".join([f"@misc{{{spec.id}-{entry.slug},", *lines, "}"])


def cohort_bibtex(spec: CohortSpec) -> str:
    """An ``@misc`` for the cohort's board."""
    fields = {"title": f"CheXchoBench: {spec.title}, version {spec.version}", "note": spec.citation}
    lines = [f"  {name} = {{{_escaped(value)}}}," for name, value in fields.items() if value]
    return "\n".join([f"@misc{{chexchobench-{spec.id},", *lines, "}"])


def _escaped(text: str) -> str:
    one_line = re.sub(r"\s+", " ", text)
    return "".join(_SPECIAL.get(character, character) for character in one_line)
