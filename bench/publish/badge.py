"""Badges: an entry's rank interval as a small picture for its own pages."""

from __future__ import annotations

from markupsafe import escape

from bench.publish.format import printable

CHARACTER = 6.6


def badge(left: str, right: str) -> bytes:
    """A badge with two fields; a stand-alone picture, so its style is in its attributes."""
    left, right = printable(left), printable(right)
    first, second = (round(CHARACTER * len(words)) + 14 for words in (left, right))
    width = first + second
    font = 'font-family="Verdana,DejaVu Sans,sans-serif" font-size="11" fill="#fff"'
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="20" role="img" '
        f'aria-label="{escape(left)}: {escape(right)}"><title>{escape(left)}: {escape(right)}</title>'
        f'<rect width="{width}" height="20" rx="3" fill="#444c56"/>'
        f'<path d="M{first} 0h{second - 3}a3 3 0 0 1 3 3v14a3 3 0 0 1-3 3h-{second - 3}z" fill="#0b57a4"/>'
        f'<g {font}><text x="7" y="14">{escape(left)}</text>'
        f'<text x="{first + 7}" y="14">{escape(right)}</text></g></svg>\n'
    ).encode()
