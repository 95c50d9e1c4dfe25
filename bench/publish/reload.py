"""What the preview adds to pages on their way, and no built site holds: they follow the next build."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

from bench.publish.site import BUILD_RECORD

SCRIPT_PATH, VERSION_PATH = "/.reload.js", "/.reload"
"""Addresses that no page can have: names in a site begin with no dot."""

SCRIPT = b"""\
const shown = document.currentScript.dataset.version;
setInterval(async () => {
  const now = await fetch("/.reload").then((answer) => answer.text(), () => ""); // "": the server is away
  if (now && now !== shown) location.reload();
}, 1000);
"""


def site_version(folder: Path) -> str:
    """A text that differs from build to build; empty where nothing is built."""
    with suppress(OSError):
        status = (folder / BUILD_RECORD).stat()
        return f"{status.st_ino}-{status.st_mtime_ns}"
    return ""


def following(page: bytes, version: str) -> bytes:
    """A page that loads itself again once the site is of another version."""
    before, end, after = page.rpartition(b"</body>")
    tag = f'<script src="{SCRIPT_PATH}" data-version="{version}"></script>\n'.encode()
    return before + tag + end + after if end else page
