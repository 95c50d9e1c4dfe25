"""The commands that write, each on a workspace in a known state, and what may be there afterwards."""

from __future__ import annotations

import os
import secrets
import shutil
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.synthetic.mimic import write_mimic
from bench.federation.signature import new_key as new_site_key
from bench.submission.sealed import new_key
from bench.timing import protocol
from bench.workspace import MARKER, RENAMING, SEAL, create_workspace
from tests.faults.repositories import (
    SETTINGS,
    add_repositories,
    belongs,
    described,
    make_repositories,
    move_repositories,
)
from tests.runtime.models import MODEL, linear_model
from tests.timing.fakes import SHORT
from tests.tiny import MANIFEST, REPORTED, cohort_table, predictions, write_cohort

PATIENTS = 60
REPOSITORIES, KEPT, KEPT_SHARED = "repositories", "kept", "kept-shared"
SALT = "5a" * 16
QUICK = ("--replicates", "100", "--jobs", "1")


def _with_other_key(root: Path) -> None:
    """Gives the board another public key; one of its entries has no seal yet."""
    marker = root / MARKER
    marker.write_text(marker.read_text().replace(BOARD_KEYS[0].public, BOARD_KEYS[1].public))
    for file in (SEAL, "predictions.age"):
        (root / "submissions/chexchonet/two" / file).unlink()


def _no_workspace(root: Path) -> None:
    """Leaves a plain folder, since no private key is written into a workspace."""
    (root / MARKER).unlink()


BOARD_KEYS = (new_key(), new_key())
"""Key pairs of the board with shared labels: that in use, and the next."""


@dataclass(frozen=True, slots=True)
class Scenario:
    """One writing command.

    Attributes:
        name: Its name.
        words: The command line, or a name of `FUNCTIONS`.
        changing: Files whose content a second run may change, such as times; they must only be whole.
        with_git: Whether the workspace is a repository, and the git that the command starts dies with it.
        shared: Whether the labels of the workspace are shared, so that entries have a published form too.
        before: Changes the workspace before the command.
        marks: Files that are removed first and written last, and so mark that the others are complete.
    """

    name: str
    words: tuple[str, ...]
    changing: tuple[str, ...] = ()
    with_git: bool = False
    shared: bool = False
    before: Callable[[Path], object] | None = None
    marks: tuple[str, ...] = ()


RELEASES = (
    "--cxr",
    "../mimic/releases/cxr",
    "--echo",
    "../mimic/releases/echo",
    "--iv",
    "../mimic/releases/iv",
)
SEALED = (".age", "seal.json")
"""What is encrypted differs from one run to the next."""
SCENARIOS = (
    Scenario("submit", ("submit", "../new.csv", "--slug", "new")),
    Scenario("replace", ("submit", "../new.csv", "--slug", "one", "--replace")),
    Scenario("submit a model", ("submit", "--model", "../m.onnx", "--slug", "new")),
    Scenario("submit sealed", ("submit", "../new.csv", "--slug", "new"), changing=SEALED, shared=True),
    Scenario("score", ("score", "--all", *QUICK)),
    Scenario("score, labels shared", ("score", "--all", *QUICK), shared=True),
    Scenario("seal", ("key", "seal"), changing=SEALED, shared=True, before=_with_other_key),
    Scenario("register", ("register", "new", "--model", "../m.onnx", "--plan", "../plan.md")),
    Scenario("retract", ("retract", "one", "--reason", "A reason.")),
    Scenario("rename", ("rename", "one", "zero")),
    Scenario("rename, labels shared", ("rename", "one", "zero"), shared=True),
    Scenario("time", ("time", "timed", "--quick", "--batch", "1"), changing=("timings/",)),
    Scenario("image cache", ("image cache",)),
    Scenario("site build", ("site", "build", "--base", "/elsewhere/")),
    Scenario("site freeze", ("site", "freeze", "r1")),
    Scenario("site publish", ("site", "publish", "--base", "/elsewhere/"), with_git=True),
    Scenario("baseline", ("baseline", "run", "prevalence", "--quick"), changing=("runs/",)),
    Scenario("split lock", ("cohort", "split", "--lock")),
    Scenario("link", ("cohort", "link", "mimic", *RELEASES, "--out", "linked"), marks=("linked/link.json",)),
    Scenario(
        "link again",
        ("cohort", "link", "mimic", *RELEASES, "--out", "linked", "--echo-rule", "maximum"),
        marks=("linked/link.json",),
        before=lambda root: (
            shutil.copytree(root.with_name("linked"), root / "linked", symlinks=True) and None
        ),
    ),
    Scenario(
        "key of a hospital",
        ("keygen", "south.pem", "--site", "south"),
        changing=("south.pem",),
        before=_no_workspace,
    ),
    Scenario(
        "aggregate of a hospital",
        ("score", "one", *QUICK, "--aggregate-out", "n.json", "--site", "north", "--key", "../north.pem"),
    ),
    Scenario("template", ("template", "--out", "entry")),
)
CARELESS = Scenario("careless", ("careless",))
"""A command that writes as no command may: the harness must find it out."""


def command(words: tuple[str, ...]) -> int:
    """Run a command in this process; return its exit code."""
    from bench.cli.main import app

    if words == ("image cache",):
        return build_image_cache()
    if words == CARELESS.words:
        return careless()
    try:
        return int(app([*words], standalone_mode=False) or 0)
    except SystemExit as error:
        return int(error.code or 0)
    except Exception as error:
        return int(getattr(error, "exit_code", 70))


def build_image_cache() -> int:
    """Decodes the cohort's images into the workspace's cache, in chunks of a few images."""
    from bench.cohort import image_cache
    from bench.errors import BenchError
    from bench.workspace import find_workspace

    image_cache.CHUNK = 20
    space = find_workspace()
    try:
        image_cache.build_cache(load_cohort(load_spec("chexchonet"), space.data("chexchonet")), space.cache)
    except BenchError as error:
        return error.exit_code
    return 0


def careless() -> int:
    """Overwrites a manifest in place, and removes another before its successor is there."""
    store = Path("submissions/chexchonet")
    manifest = store / "one" / "submission.toml"
    manifest.write_text(manifest.read_text() + "# changed\n")
    other = store / "two" / "submission.toml"
    text = other.read_text()
    other.unlink()
    other.write_text(text + "# changed\n")
    return 0


def prepare(folder: Path, scenarios: Sequence[Scenario] = ()) -> Path:
    """A workspace with scored, unscored, timed and reported entries and a built site; returns its root.

    Args:
        folder: Where it is made, with the files that commands read.
        scenarios: What will run, beside commands on entries and pages: links need releases, for instance.
    """
    data = folder / "chexchonet-1.0.0"
    write_cohort(data, cohort_table(PATIENTS))
    cohort = load_cohort(load_spec("chexchonet"), data)
    # the release's spec but for its size, which `baseline run` insists on
    spec = resources.files("bench").joinpath("cohort/specs/chexchonet.toml").read_text("utf-8")
    lines = [line for line in spec.splitlines() if not line.startswith("expected_")]
    text = "\n".join(lines).replace('labels = "shared"', 'labels = "public"')
    (folder / "small.toml").write_text(text + "\n")
    space = create_workspace(folder / "space", "../small.toml", {"chexchonet": data})
    (folder / "submission.toml").write_text(MANIFEST + MODEL)
    (folder / "m.onnx").write_bytes(linear_model().SerializeToString())
    for seed, name in enumerate(("one", "two", "waiting", "new")):
        predictions(cohort, seed).to_csv(folder / f"{name}.csv", index=False)
    (folder / "plan.md").write_text("AUROC of the composite target.\n")
    new_site_key(folder / "north.pem")
    protocol.QUICK = SHORT
    secrets.token_hex = lambda nbytes=None: SALT  # the salt of sealed predictions, equal in every run
    paper = space.submission("chexchonet", "paper")
    paper.mkdir(parents=True)
    (paper / "submission.toml").write_text(REPORTED)
    os.environ.update(SETTINGS)
    make_repositories(space.root)
    for words in (
        ("submit", "../one.csv", "--slug", "one"),
        ("submit", "../two.csv", "--slug", "two"),
        ("submit", "--model", "../m.onnx", "--slug", "timed"),
        ("score", "--all", *QUICK),
        ("site", "build"),
        ("site", "publish"),
        ("submit", "../waiting.csv", "--slug", "waiting"),
    ):
        assert command(words) == 0, words
    move_repositories(space.root, folder / REPOSITORIES)
    if any(RELEASES[1] in scenario.words for scenario in scenarios):
        write_mimic(folder / "mimic" / "releases", patients=PATIENTS)
        assert command(("cohort", "link", "mimic", *RELEASES, "--out", "../linked")) == 0
    if any(scenario.shared for scenario in scenarios):
        _prepare_shared(folder, space.root)
    return space.root


def _prepare_shared(folder: Path, root: Path) -> None:
    """Copies the workspace, with shared labels and its entries sealed, beside it."""
    text = (folder / "small.toml").read_text()
    (folder / "shared.toml").write_text(text.replace('labels = "public"', 'labels = "shared"'))
    other = folder / KEPT_SHARED
    shutil.copytree(root, other)
    line = f'key = "{BOARD_KEYS[0].public}"\n'
    (other / MARKER).write_text(line + (other / MARKER).read_text().replace("small.toml", "shared.toml"))
    os.chdir(other)
    for words in (("key", "seal"), ("score", "--all", *QUICK)):
        assert command(words) == 0, words
    os.chdir(root)


def sealed_faults(root: Path) -> list[str]:
    """Encrypted predictions that are torn, or that a whole seal states wrongly."""
    import pyrage

    keys = [pyrage.x25519.Identity.from_str(key.secret) for key in BOARD_KEYS]
    found = []
    for file in sorted(root.glob("submissions/*/*/*.age")):
        try:
            data = bytes(pyrage.decrypt(file.read_bytes(), keys))
        except pyrage.DecryptError:
            found.append(f"{file.relative_to(root)} is torn")
        else:
            if data != file.with_suffix(".parquet").read_bytes():
                found.append(f"{file.relative_to(root)} holds other predictions")
    return found


def restore(kept: Path, root: Path, scenario: Scenario | None = None) -> None:
    """Puts the workspace back into the state that `prepare` left, ready for the scenario.

    Args:
        kept: The workspace as `prepare` left it.
        root: Where it is used.
        scenario: What will run in it; None for any command on the workspace with public labels.
    """
    for folder in (root, Path(tempfile.gettempdir())):
        shutil.rmtree(folder, ignore_errors=True)
    shutil.copytree(kept.with_name(KEPT_SHARED) if scenario and scenario.shared else kept, root)
    Path(tempfile.gettempdir()).mkdir()
    if scenario and scenario.with_git:
        add_repositories(kept.parent / REPOSITORIES, root)
    if scenario and scenario.before:
        scenario.before(root)


def state(root: Path) -> dict[str, bytes]:
    """Path → content of every file that a command keeps; locks and what died half-way are not among them."""
    files = {
        str(path.relative_to(root)): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not _passing(path.relative_to(root))
    }
    return {**files, **described(root)}


def _passing(path: Path) -> bool:
    return (
        belongs(path)
        or path.name == RENAMING
        or any(
            part.startswith(".") and part.endswith((".part", ".old", ".lock", ".holder"))
            for part in path.parts
        )
    )


def leftovers(root: Path) -> list[str]:
    """What processes that died half-way left among the entries, models, releases and pages."""
    places = [root / name for name in ("submissions", "models", "releases", "site", "linked")]
    found = [p for place in places for p in place.rglob(".*") if p.suffix in (".part", ".old")]
    return [str(path.relative_to(root)) for path in found]
