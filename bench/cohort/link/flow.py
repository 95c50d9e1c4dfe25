"""Flow chart of exclusions, as STARD 2015 asks for: images, studies and patients, as SVG and HTML."""

from __future__ import annotations

import html
from collections.abc import Mapping, Sequence
from typing import Any, Final
from xml.etree import ElementTree

from bench.documents import Document

WIDTH: Final = 920
BOX_WIDTH: Final = 340
SIDE_X: Final = 400
LINE: Final = 18
PADDING: Final = 10
GAP: Final = 26


class Exclusion(Document):
    """Images excluded for one reason."""

    reason: str
    images: int
    studies: int
    patients: int


class FlowStep(Document):
    """A box of the flow chart: the images so far, and those excluded next."""

    label: str
    images: int
    studies: int
    patients: int
    excluded: tuple[Exclusion, ...] = ()


def counted(step: FlowStep | Exclusion) -> str:
    """Return the counts of a step or exclusion as text."""
    return f"{step.images:,} images, {step.studies:,} studies, {step.patients:,} patients"


def flow_svg(steps: Sequence[FlowStep]) -> str:
    """Draw the flow: a box for each step, and to its right the reasons of its exclusions."""
    root = ElementTree.Element("svg", {"xmlns": "http://www.w3.org/2000/svg", "role": "img"})
    ElementTree.SubElement(root, "title").text = "Flow of exclusions"
    ElementTree.SubElement(
        root, "style"
    ).text = (
        "text{font:13px sans-serif}.b{font-weight:600}rect{fill:#fff;stroke:#555}path{stroke:#555;fill:none}"
    )
    y = PADDING
    for k, step in enumerate(steps):
        left = [(step.label, "b"), (counted(step), "")]
        height = _box(root, PADDING, y, BOX_WIDTH, left)
        reasons = [e for e in step.excluded if e.images]
        right = [line for e in reasons for line in ((f"{e.reason}:", ""), (f"  {counted(e)}", ""))]
        below = y + height
        if right:
            middle = y + height / 2
            ElementTree.SubElement(root, "path", {"d": f"M{PADDING + BOX_WIDTH} {middle}H{SIDE_X}"})
            below = max(
                below, y + _box(root, SIDE_X, y, WIDTH - SIDE_X - PADDING, [("Excluded", "b"), *right])
            )
        if k + 1 < len(steps):
            x = PADDING + BOX_WIDTH / 2
            ElementTree.SubElement(root, "path", {"d": f"M{x} {y + height}V{below + GAP}"})
        y = below + GAP
    root.set("viewBox", f"0 0 {WIDTH} {y - GAP + PADDING}")
    root.set("width", str(WIDTH))
    return ElementTree.tostring(root, encoding="unicode")


def _box(root: ElementTree.Element, x: float, y: float, width: float, lines: list[tuple[str, str]]) -> int:
    """Draw a box of text lines; return its height."""
    height = 2 * PADDING + LINE * len(lines)
    size = {"x": str(x), "y": str(y), "width": str(width), "height": str(height), "rx": "3"}
    ElementTree.SubElement(root, "rect", size)
    for k, (text, kind) in enumerate(lines):
        place = {"x": str(x + PADDING), "y": str(y + PADDING + LINE * k + 13)}
        place |= {"class": kind} if kind else {}
        ElementTree.SubElement(root, "text", place).text = text
    return height


def flow_html(report: Mapping[str, Any], steps: Sequence[FlowStep]) -> str:
    """Return a page with the flow chart, the rule of the link, and the counts of labels and corrections.

    Args:
        report: Plain data of a `LinkReport`.
        steps: Its flow.
    """
    labels = [[r["target"], r["labelled"], r["positives"], r["undecided"]] for r in report["labels"]]
    lengths = list(report["corrections"])
    kinds = list(next(iter(report["corrections"].values())))
    corrections = [[kind, *(report["corrections"][name][kind] for name in lengths)] for kind in kinds]
    selected = ["rows of transthoracic studies", *(report["selected_rows"][name] for name in lengths)]
    sources = [[s["release"], s["file"], s["size_bytes"]] for s in report["sources"]]
    synthetic = "<p><strong>Synthetic files: no patient is real.</strong></p>" if report["synthetic"] else ""
    excluded = [
        [step.label, e.reason, e.images, e.studies, e.patients] for step in steps for e in step.excluded
    ]
    body = [
        f"<h1>Link of {html.escape(report['cohort'])}</h1>{synthetic}<p>{html.escape(report['rule'])}</p>",
        flow_svg(steps),
        _table("Exclusions", ["from", "reason", "images", "studies", "patients"], excluded),
        _table("Labels", ["target", "labelled", "positive", "one measurement alone would decide"], labels),
        _table("Measurements", ["rows", *lengths], [selected, *corrections]),
        _table("Files", ["release", "file", "bytes"], sources),
    ]
    style = (
        "body{font:15px sans-serif;margin:2em;max-width:60em}table{border-collapse:collapse}"
        "td,th{padding:.2em .7em;border-bottom:1px solid #ccc;text-align:left}.n{text-align:right}"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Link report</title>'
        f"<style>{style}</style></head><body>{''.join(body)}</body></html>\n"
    )


def _table(title: str, head: list[str], rows: list[list[Any]]) -> str:
    def cell(value: Any) -> str:
        number = isinstance(value, int)
        return f'<td class="n">{value:,}</td>' if number else f"<td>{html.escape(str(value))}</td>"

    heads = "".join(f'<th scope="col">{html.escape(h)}</th>' for h in head)
    lines = "".join(f"<tr>{''.join(map(cell, row))}</tr>" for row in rows)
    return f"<h2>{title}</h2><table><thead><tr>{heads}</tr></thead><tbody>{lines}</tbody></table>"
