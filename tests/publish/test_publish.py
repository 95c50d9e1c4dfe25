"""Publishing to a bare repository on disk."""

import subprocess

import pytest

from bench.errors import BenchError
from bench.publish.deploy import publish_folder


def git(folder, *words):
    return subprocess.run(
        ["git", *words], cwd=folder, check=True, capture_output=True, text=True
    ).stdout.strip()


@pytest.fixture
def remote(tmp_path):
    git(tmp_path, "init", "-q", "--bare", "remote.git")
    return tmp_path / "remote.git"


@pytest.fixture
def clone(remote, tmp_path):
    git(tmp_path, "init", "-q", "-b", "main", "clone")
    folder = tmp_path / "clone"
    for key, value in {
        "user.name": "A Tester",
        "user.email": "a@example.org",
        "core.autocrlf": "true",
    }.items():
        git(folder, "config", key, value)
    git(folder, "remote", "add", "origin", str(remote))
    (folder / "work.txt").write_text("unfinished\n")
    (folder / ".gitignore").write_text("*.html\npublic\n")
    return folder


@pytest.fixture
def pages(tmp_path):
    folder = tmp_path / "built"
    (folder / "e" / "ä entry").mkdir(parents=True)
    (folder / "index.html").write_bytes(b"one\r\ntwo\n")
    (folder / "e" / "ä entry" / "index.html").write_bytes(b"entry\n")
    (folder / ".build.json").write_bytes(b"{}")
    return folder


def push(pages, clone, **options):
    return publish_folder(
        pages, clone, **{"remote": "origin", "branch": "gh-pages", "message": "m", **options}
    )


def listed(remote):
    return git(remote, "-c", "core.quotePath=false", "ls-tree", "-r", "--name-only", "gh-pages").split("\n")


def test_the_branch_holds_the_site_byte_for_byte_and_nothing_else(pages, clone, remote):
    made = push(pages, clone)
    assert made.changed
    assert listed(remote) == [".nojekyll", "e/ä entry/index.html", "index.html"]
    shown = subprocess.run(["git", "show", "gh-pages:index.html"], cwd=remote, capture_output=True).stdout
    assert shown == b"one\r\ntwo\n"
    assert git(remote, "rev-parse", "gh-pages") == made.commit


def test_neither_the_work_tree_nor_a_local_branch_is_touched(pages, clone):
    before = git(clone, "status", "--porcelain", "-uall")
    push(pages, clone)
    assert git(clone, "status", "--porcelain", "-uall") == before
    assert git(clone, "for-each-ref", "refs/heads") == ""


def test_a_second_site_follows_the_first_and_an_equal_one_makes_no_commit(pages, clone, remote):
    first = push(pages, clone)
    assert push(pages, clone) == type(first)(first.commit, changed=False)
    (pages / "e" / "ä entry" / "index.html").unlink()
    (pages / "index.html").write_bytes(b"three\n")
    second = push(pages, clone)
    assert git(remote, "rev-list", "gh-pages").split() == [second.commit, first.commit]
    assert listed(remote) == [".nojekyll", "index.html"]


def test_another_clone_builds_on_what_the_branch_holds(pages, clone, remote, tmp_path):
    first = push(pages, clone)
    git(tmp_path, "clone", "-q", str(remote), "second")
    other = tmp_path / "second"
    git(other, "config", "user.name", "B")
    git(other, "config", "user.email", "b@example.org")
    (pages / "index.html").write_bytes(b"from another machine\n")
    second = push(pages, other)
    (pages / "index.html").write_bytes(b"from the first machine\n")
    third = push(pages, clone)
    assert git(remote, "rev-list", "gh-pages").split() == [third.commit, second.commit, first.commit]


def test_a_branch_of_sources_is_never_overwritten(pages, clone, remote):
    git(clone, "add", ".")
    git(clone, "commit", "-qm", "Sources")
    git(clone, "push", "-q", "origin", "main")
    before = git(remote, "rev-parse", "main")
    with pytest.raises(
        BenchError, match="'main' holds 2 files and folders that are not a built site"
    ) as raised:
        push(pages, clone, branch="main")
    assert raised.value.problems[0].code == "publish-branch"
    assert git(remote, "rev-parse", "main") == before


def test_a_branch_that_moves_meanwhile_is_left_as_it_is(pages, clone, remote, monkeypatch):
    first = push(pages, clone)
    (pages / "index.html").write_bytes(b"two\n")
    moved = push(pages, clone)
    monkeypatch.setattr("bench.publish.deploy._tip", lambda *_: first.commit)
    (pages / "index.html").write_bytes(b"three\n")
    with pytest.raises(BenchError) as caught:
        push(pages, clone)
    assert [p.code for p in caught.value.problems] == ["publish-refused"]
    assert git(remote, "rev-parse", "gh-pages") == moved.commit


def test_a_remote_that_refuses_leaves_the_old_site(pages, clone, remote):
    first = push(pages, clone)
    hook = remote / "hooks" / "pre-receive"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text("#!/bin/sh\necho not today >&2\nexit 1\n")
    hook.chmod(0o755)
    (pages / "index.html").write_bytes(b"two\n")
    with pytest.raises(BenchError, match="not today") as caught:
        push(pages, clone)
    assert caught.value.exit_code == 1
    assert git(remote, "rev-parse", "gh-pages") == first.commit


@pytest.mark.parametrize(
    ("options", "code", "exit_code"),
    [
        ({"remote": "nowhere"}, "publish-refused", 1),
        ({"branch": "a b"}, "publish-git", 3),
        ({"branch": "-x/../y"}, "publish-git", 3),
    ],
)
def test_what_git_refuses_becomes_a_problem(pages, clone, options, code, exit_code):
    with pytest.raises(BenchError) as caught:
        push(pages, clone, **options)
    assert [p.code for p in caught.value.problems] == [code]
    assert caught.value.exit_code == exit_code


def test_without_a_repository_or_git_nothing_is_published(pages, tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_CEILING_DIRECTORIES", str(tmp_path))
    with pytest.raises(BenchError, match="not a git repository") as caught:
        push(pages, pages)
    assert caught.value.exit_code == 3
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(BenchError, match="FileNotFoundError"):
        push(pages, pages)
