"""Lighthouse's mobile scores of a board of 200 rows and of an entry: ``python -m tests.perf.lighthouse``.

Needs node, npx with access to a registry, and chromium. Not part of the tests: the score of performance falls
on a busy machine, so it is looked at by hand.
"""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from bench.publish.site import build_site
from tests.publish.boards import loaded_board

VERSION = "12.8.2"
FLAGS = "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu"
PAGES = ("index.html", "e/entry-0001/index.html")
AUDITS = ("first-contentful-paint", "total-blocking-time", "cumulative-layout-shift")


class Compressed(SimpleHTTPRequestHandler):
    """Answers with gzip, as every host of static pages does."""

    def do_GET(self) -> None:
        path = Path(self.translate_path(self.path))
        path = path / "index.html" if path.is_dir() else path
        if not path.is_file():
            self.send_error(404)
            return
        data = gzip.compress(path.read_bytes())
        self.send_response(200)
        self.send_header("Content-Type", f"{self.guess_type(str(path))}; charset=utf-8")
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: object) -> None:
        pass


def main() -> int:
    chrome = shutil.which("chromium") or shutil.which("google-chrome")
    if chrome is None or shutil.which("npx") is None:
        print("chromium and npx are needed")
        return 3
    with tempfile.TemporaryDirectory() as temporary:
        site, report = Path(temporary) / "site", Path(temporary) / "report.json"
        build_site([loaded_board(199)], site)
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Compressed, directory=str(site))) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            address = f"http://127.0.0.1:{server.server_address[1]}/"
            for page in PAGES:
                command = [
                    "npx",
                    "--yes",
                    f"lighthouse@{VERSION}",
                    address + page,
                    "--output=json",
                    "--quiet",
                ]
                command += [f"--output-path={report}", f"--chrome-flags={FLAGS}"]
                subprocess.run(command, env={**os.environ, "CHROME_PATH": chrome}, check=True, timeout=300)
                found = json.loads(report.read_text("utf-8"))
                scores = {name: part["score"] for name, part in found["categories"].items()}
                details = {name: found["audits"][name]["displayValue"] for name in AUDITS}
                print(page, scores, details)
            server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main())
