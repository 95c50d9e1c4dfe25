"""The site's commands on a stored board: serve, freeze and publish."""

import errno
import json
import subprocess
import urllib.request
from http.server import ThreadingHTTPServer

import pytest

from bench.workspace import DATA_VARIABLE, create_workspace
from tests.publish.store import rename_team, write_store


@pytest.fixture
def board(tmp_path, monkeypatch):
    """A workspace with a board of the demo cohort, in a repository that has a remote."""
    made = create_workspace(tmp_path / "space", "demo")
    write_store(made.submissions("demo"), 3)
    monkeypatch.chdir(made.root)
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    monkeypatch.setattr("bench.actions.site.commit", lambda: "abc1234")  # a checkout may change meanwhile
    for words in (
        ["init", "-q", "--bare", "../remote.git"],
        ["init", "-q"],
        ["config", "user.name", "A Tester"],
        ["config", "user.email", "a@example.org"],
        ["remote", "add", "origin", "../remote.git"],
    ):
        subprocess.run(["git", *words], cwd=made.root, check=True, capture_output=True)
    return made


def shown(board, path):
    done = subprocess.run(
        ["git", "show", f"gh-pages:{path}"], cwd=board.root / "../remote.git", capture_output=True
    )
    return done.stdout


def test_a_board_is_frozen_and_published_with_its_release(board, cli):
    assert cli("site", "freeze", "2026.1").exit_code == 0
    assert cli("site", "freeze", "2026.1", "--json").codes == ["release-name"]
    rename_team(board.submission("demo", "entry-0001"))
    dry = cli("site", "publish", "--dry-run", "--json")
    assert dry.exit_code == 0
    assert shown(board, "index.html") == b""
    first = cli("site", "publish", "--json").object["result"]
    assert (first["changed"], first["branch"], first["pages"]) == (
        True,
        "gh-pages",
        dry.object["result"]["pages"],
    )
    assert b"renamed" in shown(board, "e/entry-0001/index.html")
    assert b"renamed" not in shown(board, "v/2026.1/e/entry-0001/index.html")
    assert b"This page is frozen" in shown(board, "v/2026.1/e/entry-0001/index.html")
    again = cli("site", "publish", "--json").object["result"]
    assert (again["changed"], again["commit"]) == (False, first["commit"])
    assert not board.site.exists()


def stale(board):
    path = board.submission("demo", "entry-0002") / "scorecard.json"
    path.write_text(path.read_text("utf-8").replace('"seed": 0', '"seed": 1'), "utf-8")


def other_predictions(board):
    (board.submission("demo", "entry-0002") / "predictions.parquet").write_bytes(b"others")


def mixed(board):
    path = board.submissions("demo") / "board.json"
    text = path.read_text("utf-8")
    assert '"fingerprint": "ab12' in text
    path.write_text(text.replace('"fingerprint": "ab12', '"fingerprint": "cd34', 1), "utf-8")


@pytest.mark.parametrize(
    ("harm", "code"), [(stale, "board-stale"), (other_predictions, "scorecard-stale"), (mixed, "site-input")]
)
def test_a_stale_or_mixed_board_is_neither_published_nor_frozen(board, cli, harm, code):
    assert cli("site", "publish").exit_code == 0
    before = shown(board, "leaderboard.json")
    harm(board)
    for command in (("publish",), ("freeze", "2026.1"), ("build",)):
        ran = cli("site", *command, "--json")
        assert ran.exit_code == 1
        assert set(ran.codes) == {code}
    assert shown(board, "leaderboard.json") == before
    assert not board.releases.exists()


def test_pages_that_fail_a_check_are_not_published(board, cli, monkeypatch):
    assert cli("site", "publish").exit_code == 0
    before = shown(board, "index.html")
    monkeypatch.setattr("bench.publish.checks.site.BOARD_BYTES", 100)
    rename_team(board.submission("demo", "entry-0001"))
    assert set(cli("site", "publish", "--json").codes) == {"site-budget"}
    assert shown(board, "index.html") == before


def test_serving_builds_shows_and_builds_again_until_it_is_stopped(board, cli, monkeypatch):
    found: list[bytes] = []

    def watched(roots, rebuild, *, built, leave_out):
        assert built == preview.stamp(roots, leave_out)
        assert board.store in roots
        address = f"http://127.0.0.1:{port[0]}/"
        found.append(urllib.request.urlopen(address + "e/entry-0001/").read())
        rename_team(board.submission("demo", "entry-0001"))
        rebuild([board.store / "demo" / "entry-0001" / "submission.toml"])
        found.append(urllib.request.urlopen(address + "e/entry-0001/").read())
        stale(board)
        rebuild([])
        found.append(urllib.request.urlopen(address + "e/entry-0001/").read())
        raise KeyboardInterrupt

    import bench.publish.preview as preview

    port: list[int] = []

    def server(where, handler):
        made = ThreadingHTTPServer(where, handler)
        port.append(made.server_address[1])
        return made

    monkeypatch.setattr(preview, "ThreadingHTTPServer", server)
    monkeypatch.setattr(preview, "watch", watched)
    ran = cli("site", "serve", "--port", "0", "--json")
    assert ran.exit_code == 0
    assert json.loads(ran.stdout)["result"]["address"].endswith(f":{port[0]}/")
    assert [b"renamed" in page for page in found] == [False, True, True]
    assert "board-stale" in ran.stderr
    assert "stay as they were" in ran.stderr


def no_space(*_, **__):
    raise OSError(errno.ENOSPC, "No space left on device")


def test_serving_outlives_a_build_that_finds_no_space(board, cli, monkeypatch):
    def watched(roots, rebuild, **_):
        monkeypatch.setattr("bench.actions.site.build_pages", no_space)
        rebuild([])
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.publish.preview.watch", watched)
    ran = cli("site", "serve", "--port", "0", "--json")
    assert ran.exit_code == 0
    assert "No space left on device." in ran.stderr
    assert "Stopped." in ran.stderr


def test_a_fault_while_watching_is_not_taken_for_the_port(board, cli, monkeypatch):
    monkeypatch.setattr("bench.publish.preview.watch", no_space)
    assert cli("site", "serve", "--port", "0", "--json").codes == ["file-error"]


def test_a_taken_port_is_told(board, cli):
    from bench.publish.preview import serving

    with serving(board.root, 0) as address:
        port = address.rsplit(":", 1)[1].strip("/")
        ran = cli("site", "serve", "--port", port, "--json")
    assert (ran.exit_code, ran.codes) == (3, ["port-taken"])
