"""The templates and static files of the site, and the environment that fills them in."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from importlib import resources
from itertools import count, pairwise
from pathlib import Path
from types import CodeType
from typing import Any, Final

import jinja2
from jinja2.bccache import Bucket
from markdown_it import MarkdownIt
from markupsafe import Markup, escape

from bench.board import format as words
from bench.board.column import Column, Group
from bench.metrics import registry
from bench.metrics.metric import Needs
from bench.publish.exports import as_printed, printed_interval, published_doi, published_year


def site_sources() -> Path:
    """Folder of templates, static files and content: packed in a wheel, ``site`` in a checkout."""
    package = Path(str(resources.files("bench.publish")))
    packed = package / "files"
    return packed if packed.is_dir() else package.parent.parent / "site"


class _CompiledTemplates(jinja2.BytecodeCache):
    """Templates that this process has compiled: `bench site serve` builds again and again."""

    def __init__(self) -> None:
        self._compiled: dict[str, tuple[str, CodeType]] = {}

    def load_bytecode(self, bucket: Bucket) -> None:
        checksum, code = self._compiled.get(bucket.key, ("", None))
        if checksum == bucket.checksum:
            bucket.code = code

    def dump_bytecode(self, bucket: Bucket) -> None:
        if bucket.code is not None:
            self._compiled[bucket.key] = (bucket.checksum, bucket.code)


_COMPILED: Final = _CompiledTemplates()


def environment(sources: Path) -> jinja2.Environment:
    """Template environment that escapes everything, refuses undefined names, and links to http(s) only."""
    env = jinja2.Environment(
        loader=jinja2.FileSystemLoader(sources / "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_clean,
        auto_reload=False,
        bytecode_cache=_COMPILED,
    )
    env.filters.update(
        decimal=words.decimal,
        significant=words.significant,
        count=words.count,
        percent=words.percent,
        estimate=words.estimate,
        metric_label=words.metric_label,
        sentence=words.sentence,
        shortened=words.shortened,
        http=http_only,
        code_spans=code_spans,
        cell_class=cell_class,
        json_data=json_data,
    )
    env.globals.update(
        as_printed=as_printed,
        printed_interval=printed_interval,
        published_year=published_year,
        published_doi=published_doi,
    )
    env.globals.update(interval=words.interval, plural=words.plural, footnotes=footnotes)
    return env


def cell_class(column: Column) -> Markup:
    """The class attribute of a column's cells: alignment, and the preset that shows them."""
    classes = ["n"] if column.numeric else []
    classes += ["b"] if column.bar else [_PRESET[column.group]] if column.group in _PRESET else []
    classes += ["df"] if column.key == "difference" else []
    return Markup(' class="{}"').format(" ".join(classes)) if classes else Markup("")


_PRESET = {
    Group.TARGET: "o",
    Group.LEADER: "o",
    Group.OTHER: "f",
    Group.CALIBRATION: "c",
    Group.SPEED: "s",
    Group.SOURCE: "d",
}


def footnotes(reasons: Sequence[str], first: int = 1) -> dict[str, Markup]:
    """Reason → the small number that leads to it below the table; the first of a page's table is `first`."""
    mark = '<sup><a href="#why-{0}" aria-label="Reason {0}">{0}</a></sup>'
    return {reason: Markup(mark.format(number)) for number, reason in enumerate(reasons, first)}


def code_spans(text: str) -> Markup:
    """`text`, escaped, with what stands between backticks as code."""
    parts = text.split("`")
    return Markup("").join(
        Markup("<code>{}</code>").format(part) if index % 2 else escape(part)
        for index, part in enumerate(parts)
    )


def json_data(value: Any) -> Markup:
    """`value` as JSON that can stand in a data block: no sign of it can end the block."""
    text = json.dumps(value, ensure_ascii=False, sort_keys=True)
    for sign in "<>&\u2028\u2029":
        text = text.replace(sign, f"\\u{ord(sign):04x}")
    return Markup(text)


def http_only(link: str) -> str:
    """`link`, or an empty text where it leads to anything but http(s)."""
    return link if link.startswith(("https://", "http://")) else ""


def _clean(value: Any) -> Any:
    """Remove what XML forbids from strings; the site's own markup stays markup."""
    return value if type(value) is not str or value.isprintable() else words.printable(value)


def document(path: Path, parts: Mapping[str, str] | None = None) -> tuple[str, Markup]:
    """Title and body of a Markdown file; the title is its first heading, and headings get ids.

    Args:
        path: The file.
        parts: Name → Markdown that replaces the line ``{{ name }}``.
    """
    text = path.read_text("utf-8")
    for name, part in (parts or {}).items():
        text = text.replace(f"{{{{ {name} }}}}\n", part)
    return _rendered(text, path.stem.capitalize())


@lru_cache(maxsize=32)
def _rendered(text: str, title: str) -> tuple[str, Markup]:
    """Title, which is `title` where the text has no first heading, and body of a Markdown text."""
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            if token.tag == "h1":
                title = inline.content
            else:
                token.attrSet("id", anchor(inline.content))
    html = parser.renderer.render(tokens, parser.options, {})
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table {}"><table>'
    number = count(1)
    html = re.sub("<table>", lambda _: scroll.format(next(number)), html)
    html = html.replace("</table>", "</table></div>")
    return title, Markup(html)


def metrics_table(*needs: Needs) -> str:
    """Name, definition and direction of metrics as a Markdown table."""
    rows = [
        f"| {_markdown(metric.label)} | {_markdown(metric.definition)} | {metric.better} |"
        for metric in registry.metrics(*needs).values()
    ]
    return "\n".join(["| Metric | Definition | Better |", "|---|---|---|", *rows, ""])


def _markdown(text: str) -> str:
    """`text` as it is, where Markdown would read signs of it as markup."""
    return re.sub(r"([\\`*_\[\]<>|&~])", r"\\\1", text)


def anchor(heading: str) -> str:
    """A heading as an id."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
