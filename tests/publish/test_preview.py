import http.client
import threading
import urllib.error
import urllib.request

import pytest

from bench.publish.build import build_site
from bench.publish.preview import serving, stamp, watch
from tests.publish.boards import loaded_board


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "e").mkdir()
    (tmp_path / "index.html").write_text("board")
    (tmp_path / "e" / "index.html").write_text("entry")
    (tmp_path / "404.html").write_text("no such page")
    return tmp_path


def test_pages_are_served_and_never_kept(folder):
    with serving(folder, 0) as address:
        assert address.startswith("http://127.0.0.1:")
        with urllib.request.urlopen(address + "e/") as answer:
            assert answer.read() == b"entry"
            assert answer.headers["Cache-Control"] == "no-store"
        (folder / "index.html").write_text("board, built again")
        assert urllib.request.urlopen(address).read() == b"board, built again"


def test_a_missing_page_and_a_folder_without_page_get_the_sites_own(folder):
    (folder / "static").mkdir()
    with serving(folder, 0) as address:
        for path in ("nothing/", "static/", "../../etc/passwd"):
            with pytest.raises(urllib.error.HTTPError) as caught:
                urllib.request.urlopen(address + path)
            assert (caught.value.code, caught.value.read()) == (404, b"no such page")


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", ""])
def test_another_name_for_this_machine_is_refused(folder, host):
    with serving(folder, 0) as address:
        port = int(address.rsplit(":", 1)[1].strip("/"))
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.putrequest("GET", "/", skip_host=True)
        connection.putheader("Host", host)
        connection.endheaders()
        assert connection.getresponse().status == 421
        connection.close()


def test_a_taken_port_is_an_error(folder):
    with serving(folder, 0) as address:
        port = int(address.rsplit(":", 1)[1].strip("/"))
        with pytest.raises(OSError, match="in use"):
            serving(folder, port).__enter__()


def test_hidden_files_and_the_site_itself_do_not_count(folder):
    (folder / ".lock").write_text("x")
    assert set(stamp([folder], folder / "e")) == {folder / "index.html", folder / "404.html"}
    assert set(stamp([folder / "index.html", folder / "absent"])) == {folder / "index.html"}


def test_a_change_is_taken_up_once(folder):
    seen, stop, first = [], threading.Event(), threading.Event()

    def rebuild(changed):
        seen.append(changed)
        first.set()

    thread = threading.Thread(
        target=watch,
        args=([folder], rebuild),
        kwargs={"built": stamp([folder]), "every_s": 0.02, "stop": stop},
        daemon=True,
    )
    thread.start()
    (folder / "e" / "new.html").write_text("x")
    (folder / "404.html").unlink()
    assert first.wait(600)
    stop.wait(0.2)
    stop.set()
    thread.join()
    assert [path for changed in seen for path in changed] == [folder / "404.html", folder / "e" / "new.html"]


def test_pages_are_told_to_follow_the_next_build_and_files_are_not(tmp_path):
    site = tmp_path / "site"
    build_site([loaded_board(2)], site)
    with serving(site, 0) as address:
        fetch = lambda path: urllib.request.urlopen(address + path).read().decode()  # noqa: E731
        version = fetch(".reload")
        tag = f'<script src="/.reload.js" data-version="{version}"></script>'
        with pytest.raises(urllib.error.HTTPError) as missing:
            fetch("nothing")
        for page in (fetch(""), fetch("e/paper/"), fetch("speed/index.html"), missing.value.read().decode()):
            assert page.count(tag) == 1
        assert "location.reload" in fetch(".reload.js")
        assert fetch("leaderboard.json").encode() == (site / "leaderboard.json").read_bytes()
        build_site([loaded_board(2)], site)
        assert fetch(".reload") == version
        build_site([loaded_board(3)], site)
        assert fetch(".reload") != version
    assert not [p for p in site.rglob("*") if p.is_file() and b".reload" in p.read_bytes()]


def test_a_file_that_is_no_page_is_served_as_it_is(folder):
    with serving(folder, 0) as address:
        assert urllib.request.urlopen(address + ".reload").read() == b""
        assert urllib.request.urlopen(address).read() == b"board"
