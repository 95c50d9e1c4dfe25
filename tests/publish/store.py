"""A store of many synthetic entries, as `bench site build` finds it on disk."""

from __future__ import annotations

import sys
from pathlib import Path

from bench.board.model import LoadedBoard
from bench.files import sha256_bytes, write_json
from bench.submission.store import manifest_toml, read_manifest
from tests.publish.boards import loaded_board


def write_store(folder: Path, count: int) -> LoadedBoard:
    """Write `count` entries with scorecards and timings, and their board; return what was written."""
    loaded = loaded_board(count)
    write_entries(folder, loaded)
    return loaded


def write_entries(folder: Path, loaded: LoadedBoard) -> None:
    """Write the entries of a board, and the board of them."""
    hashes = {slug: _write_entry(folder / slug, loaded, slug) for slug in loaded.entries}
    assert loaded.board is not None
    board = loaded.board.model_copy(
        update={"scorecards": {slug: sha256 for slug, sha256 in hashes.items() if sha256}}
    )
    write_json(folder / "board.json", board.plain())


def _write_entry(folder: Path, loaded: LoadedBoard, slug: str) -> str:
    """The entry's folder; returns the hash of its scorecard, empty where it has none."""
    entry = loaded.entries[slug]
    folder.mkdir(parents=True)
    (folder / "submission.toml").write_text(manifest_toml(entry.manifest), "utf-8")
    for record in entry.timings:
        write_json(folder / "timings" / f"{record.backend}-{record.precision}.json", record.plain())
    if entry.scorecard is None:
        return ""
    predictions = slug.encode()
    (folder / "predictions.parquet").write_bytes(predictions)
    card = entry.scorecard.model_copy(update={"predictions_sha256": sha256_bytes(predictions)})
    write_json(folder / "scorecard.json", card.plain())
    return sha256_bytes((folder / "scorecard.json").read_bytes())


def rename_team(folder: Path) -> None:
    """A change to one entry that its page and the boards show."""
    path = folder / "submission.toml"
    old = read_manifest(path)
    path.write_text(manifest_toml(old.model_copy(update={"team": f"{old.team}, renamed"})), "utf-8")


if __name__ == "__main__":
    write_store(Path(sys.argv[1]), int(sys.argv[2]))
