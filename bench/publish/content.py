"""Documentation pages from Markdown. Raw HTML in the text is shown, not obeyed."""

from __future__ import annotations

import re
from itertools import pairwise
from pathlib import Path

from markdown_it import MarkdownIt
from markupsafe import Markup


def document(path: Path) -> tuple[str, Markup]:
    """Title and body of a Markdown file; the title is its first heading, and headings get ids."""
    text = path.read_text("utf-8")
    parser = MarkdownIt("commonmark", {"html": False}).enable("table")
    tokens = parser.parse(text)
    title = path.stem.capitalize()
    for token, inline in pairwise(tokens):
        if token.type == "heading_open":
            if token.tag == "h1":
                title = inline.content
            else:
                token.attrSet("id", anchor(inline.content))
    html = parser.renderer.render(tokens, parser.options, {})
    scroll = '<div class="scroll" tabindex="0" role="region" aria-label="Table"><table>'
    html = html.replace("<table>", scroll).replace("</table>", "</table></div>")
    return title, Markup(html)


def anchor(heading: str) -> str:
    """A heading as an id."""
    return re.sub(r"[^a-z0-9]+", "-", heading.lower()).strip("-")
