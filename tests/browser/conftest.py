"""A browser where there is one; every test here is skipped with the reason where there is none."""

from __future__ import annotations

import shutil
import threading
import time
from contextlib import contextmanager
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from bench.publish.build import build_site
from tests.publish.boards import HOSTILE, loaded_board, reported_only

ARGUMENTS = ["--no-sandbox", "--disable-dev-shm-usage", "--disable-gpu"]


def chromium_path():
    return next(
        (p for name in ("chromium", "chromium-browser", "google-chrome") if (p := shutil.which(name))), None
    )


@pytest.fixture(scope="session")
def browser():
    api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    path = chromium_path()
    if path is None:
        pytest.skip("no chromium is installed (make browser)")
    with api.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=path, args=ARGUMENTS)
        yield started
        started.close()


@pytest.fixture(scope="session")
def folder(tmp_path_factory):
    """A folder with the site under a base path: /some/base/."""
    root = tmp_path_factory.mktemp("browser")
    boards = [loaded_board(24, names=HOSTILE), reported_only()]
    build_site(boards, root / "some" / "base", base="/some/base/", built_from="commit abc1234")
    return root


@pytest.fixture(scope="session")
def modules():
    """What npm installed for these tests."""
    found = Path(__file__).parent / "node_modules"
    if not (found / "axe-core").is_dir():
        pytest.skip("axe-core and html-validate are not installed (make browser)")
    return found


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format, *args):
        pass


class Piecemeal(Quiet):
    """Server of files in pieces with pauses, like a slow connection."""

    def copyfile(self, source, outputfile):
        while piece := source.read(4000):
            outputfile.write(piece)
            outputfile.flush()
            time.sleep(0.02)


@contextmanager
def serving(folder, handler=Quiet):
    """Serves the folder; gives the address."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}/"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@pytest.fixture(scope="session")
def address(folder):
    with serving(folder) as root:
        yield f"{root}some/base/"


class Visit:
    """A page together with everything that went wrong on it."""

    def __init__(self, page):
        self.page = page
        self.faults: list[str] = []
        self.requests: list[str] = []
        page.on("console", lambda m: self.faults.append(m.text) if m.type in ("error", "warning") else None)
        page.on("pageerror", lambda e: self.faults.append(str(e)))
        page.on("dialog", self._refuse)
        page.on("request", lambda r: self.requests.append(r.url))

    def _refuse(self, dialog):
        self.faults.append("a dialog opened")
        dialog.dismiss()


@pytest.fixture
def visit(browser):
    """Opens a page: visit(url, width=…, scheme=…, javascript=…)."""
    contexts = []

    def go(url, *, width=1280, scheme="light", **options):
        context = browser.new_context(
            viewport={"width": width, "height": 900}, color_scheme=scheme, **options
        )
        context.set_default_timeout(120_000)  # a busy machine is slow, not wrong
        contexts.append(context)
        found = Visit(context.new_page())
        found.page.goto(url)
        return found

    yield go
    for context in contexts:
        context.close()
