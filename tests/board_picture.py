"""The README's pictures of a built board: `python -m tests.board_picture site/public`."""

from __future__ import annotations

import io
import sys
from pathlib import Path

from PIL import Image

from tests.browser.conftest import ARGUMENTS, chromium_path

ROOT = Path(__file__).parents[1]
WIDTH, HEIGHT, COLOURS = 1200, 900, 48


def main(pages: Path) -> None:
    """Write docs/board-light.png and docs/board-dark.png."""
    from playwright.sync_api import FloatRect, sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium_path(), args=ARGUMENTS)
        for scheme in ("light", "dark"):
            page = browser.new_page(viewport={"width": WIDTH, "height": HEIGHT}, color_scheme=scheme)
            page.goto((pages / "index.html").resolve().as_uri())
            box = page.locator("table").first.bounding_box()
            assert box is not None
            clip = FloatRect(x=0.0, y=box["y"], width=float(WIDTH), height=box["height"])
            image = (
                Image.open(io.BytesIO(page.screenshot(clip=clip, full_page=True)))
                .convert("RGB")
                .quantize(COLOURS)
            )
            image.save(ROOT / "docs" / f"board-{scheme}.png", optimize=True)
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
