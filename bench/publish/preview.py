"""A preview on this machine alone: serves the built folder, and builds again when what it shows changes.

Pages load themselves again after a build; what makes them is added on the way and stands in no file.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager, suppress
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from io import BytesIO
from pathlib import Path
from stat import S_ISREG
from typing import BinaryIO
from urllib.parse import urlsplit

from bench.publish.build import BUILD_RECORD

HOST = "127.0.0.1"
NAMES = ("127.0.0.1", "localhost")

Stamp = dict[Path, tuple[int, int]]


class _Pages(SimpleHTTPRequestHandler):
    """Files of the site, never kept by the browser; only asked for by this machine's own names."""

    def do_GET(self) -> None:
        if self._asked_here():
            super().do_GET()

    def do_HEAD(self) -> None:
        if self._asked_here():
            super().do_HEAD()

    def _asked_here(self) -> bool:
        """Refuse another site's name that was made to lead to this machine."""
        here = self.headers.get("Host", "").rpartition(":")[0] in NAMES
        if not here:
            self.send_error(421)
        return here

    def end_headers(self) -> None:
        self.send_header("Cache-Control", "no-store")
        super().end_headers()

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        page = Path(self.directory) / "404.html"
        if code != 404 or not page.is_file():
            super().send_error(code, message, explain)
            return
        data = self._send(self._following(page), "text/html", 404)
        if self.command != "HEAD":
            self.wfile.write(data.getvalue())

    def send_head(self) -> BytesIO | BinaryIO | None:
        """The head of an answer, and what is to follow."""
        path = urlsplit(self.path).path
        if path == SCRIPT_PATH:
            return self._send(SCRIPT, "text/javascript")
        if path == VERSION_PATH:
            return self._send(site_version(Path(self.directory)).encode(), "text/plain")
        page = Path(self.translate_path(self.path))
        page = page / "index.html" if path.endswith("/") else page
        if page.suffix == ".html" and page.is_file():
            return self._send(self._following(page), "text/html")
        return super().send_head()

    def _following(self, page: Path) -> bytes:
        version = site_version(Path(self.directory))  # before the page is read: it may be newer, never older
        return following(page.read_bytes(), version)

    def _send(self, data: bytes, kind: str, code: int = 200) -> BytesIO:
        self.send_response(code)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        return BytesIO(data)

    def list_directory(self, path: object) -> None:  # noqa: ARG002 - the base class names it
        self.send_error(404)

    def log_message(self, format: str, *args: object) -> None:
        pass


@contextmanager
def serving(folder: Path, port: int) -> Iterator[str]:
    """Serve `folder` while the block runs; port 0 takes a free one.

    Yields:
        The address.

    Raises:
        OSError: The port is taken.
    """
    with ThreadingHTTPServer((HOST, port), partial(_Pages, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.1}, daemon=True)
        thread.start()
        try:
            yield f"http://{HOST}:{server.server_address[1]}/"
        finally:
            server.shutdown()
            thread.join()


def stamp(roots: Iterable[Path], leave_out: Path | None = None) -> Stamp:
    """Time and size of every file below `roots`, which may be files themselves or absent.

    What is hidden, or lies below `leave_out`, does not count: locks, half-written files, the site itself.
    """
    stamp: Stamp = {}
    for root in roots:
        for path in root.rglob("*") if root.is_dir() else (root,):
            parts = path.relative_to(root).parts
            if any(p.startswith(".") for p in parts) or (leave_out and path.is_relative_to(leave_out)):
                continue
            with suppress(OSError):
                status = path.stat()
                if S_ISREG(status.st_mode):
                    stamp[path] = (status.st_mtime_ns, status.st_size)
    return stamp


def watch(
    roots: Sequence[Path],
    rebuild: Callable[[list[Path]], None],
    *,
    built: Stamp,
    leave_out: Path | None = None,
    every_s: float = 1.0,
    stop: threading.Event | None = None,
) -> None:
    """Call `rebuild` with the changed paths whenever files below `roots` differ; end when `stop` is set.

    `built` is the stamp taken before the first build, so that no change in between is missed. A change is
    taken up once it has settled: two looks in a row see the same.
    """
    stop = stop or threading.Event()
    seen = built
    while not stop.wait(every_s):
        now = stamp(roots, leave_out)
        if now != built and now == seen:
            changed = sorted(p for p in now.keys() | built.keys() if now.get(p) != built.get(p))
            built = now
            rebuild(changed)
        seen = now


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
