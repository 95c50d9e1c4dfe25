"""Lighthouse on a phone: boards of 200 and 1,000 entries. ``python -m tests.perf.lighthouse RUNS``.

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
from statistics import median
from typing import Any

from bench.publish.build import build_site
from tests.publish.boards import loaded_board

VERSION = "12.8.2"
FLAGS = "--headless=new --no-sandbox --disable-dev-shm-usage --disable-gpu"
PAGES = {
    199: ("index.html", "e/entry-0001/index.html"),
    999: ("index.html", "all/index.html", "compare/index.html", "subgroups/index.html"),
}
"""Ranked entries of a board, and pages of it."""


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


def report(address: str, chrome: str, folder: Path) -> dict[str, Any]:
    """What Lighthouse finds on one page in one run."""
    path = folder / "report.json"
    command = ["npx", "--yes", f"lighthouse@{VERSION}", address, "--output=json", "--quiet"]
    command += [f"--output-path={path}", f"--chrome-flags={FLAGS}"]
    subprocess.run(command, env={**os.environ, "CHROME_PATH": chrome}, check=True, timeout=300)
    found: dict[str, Any] = json.loads(path.read_text("utf-8"))
    return found


def costly(found: dict[str, Any]) -> dict[str, str]:
    """The audits that cost points, worst first."""
    weights = {ref["id"]: ref["weight"] for part in found["categories"].values() for ref in part["auditRefs"]}
    audits = {name: found["audits"][name] for name, weight in weights.items() if weight}
    below = {name: a for name, a in audits.items() if a["score"] is not None and a["score"] < 0.995}
    lost = sorted(below, key=lambda name: weights[name] * (below[name]["score"] - 1))
    return {
        name: f"{below[name]['score']:.2f} {below[name].get('displayValue', '')}".strip() for name in lost
    }


def main(runs: int) -> int:
    chrome = shutil.which("chromium") or shutil.which("google-chrome")
    if chrome is None or shutil.which("npx") is None:
        print("chromium and npx are needed")
        return 3
    with tempfile.TemporaryDirectory() as temporary:
        for entries in PAGES:
            build_site([loaded_board(entries)], Path(temporary) / str(entries))
        with ThreadingHTTPServer(("127.0.0.1", 0), partial(Compressed, directory=temporary)) as server:
            threading.Thread(target=server.serve_forever, daemon=True).start()
            for entries, page in ((entries, page) for entries, pages in PAGES.items() for page in pages):
                address = f"http://127.0.0.1:{server.server_address[1]}/{entries}/{page}"
                found = [report(address, chrome, Path(temporary)) for _ in range(runs)]
                print(f"{entries + 1:,} entries, {page}: {runs} runs, load {os.getloadavg()[0]:.1f}")
                for name in found[0]["categories"]:
                    scores = [one["categories"][name]["score"] for one in found]
                    print(f"  {name}: median {median(scores):.2f}, {min(scores):.2f} to {max(scores):.2f}")
                worst = min(found, key=lambda one: one["categories"]["performance"]["score"])
                print(f"  costs points in the worst run: {costly(worst) or 'nothing'}", flush=True)
            server.shutdown()
    return 0


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1]) if len(sys.argv) > 1 else 5))
