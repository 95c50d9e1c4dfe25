"""Charts as SVG text: pure functions from numbers to markup, styled by the site's style sheet."""
