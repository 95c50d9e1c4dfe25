"""Sealed predictions: encrypted in the age format to a board's public key, so that they can stand in public.

Whoever holds the private key can decrypt them, also with the tool ``age``, and score them again. Others see
the hash of the encrypted file, and that of the predictions, which contain a random salt.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import Field

from bench.documents import Document, read_bytes, schema_field
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import canonical_json, clear_parts, locked, sha256_bytes, sha256_file, write_atomic
from bench.sandbox.reader import read_document
from bench.submission.store import Submission
from bench.workspace import (
    LABEL_EFFICIENCY,
    PREDICTIONS,
    RUNS,
    SEAL,
    SEALED_LABEL_EFFICIENCY,
    SEALED_PREDICTIONS,
    SEALED_RUNS,
    SEALED_VAL_PREDICTIONS,
    STORE_LOCK,
    VAL_PREDICTIONS,
    refuse_key_in_workspace,
    refuse_key_to_commit,
)

KEY_VARIABLE = "BENCH_KEY"
KEY_FILE_VARIABLE = "BENCH_KEY_FILE"
FILES = {
    PREDICTIONS: SEALED_PREDICTIONS,
    VAL_PREDICTIONS: SEALED_VAL_PREDICTIONS,
    LABEL_EFFICIENCY: SEALED_LABEL_EFFICIENCY,
    RUNS: SEALED_RUNS,
}
"""Predictions → their encrypted form."""
HASH = r"^([0-9a-f]{64})?$"


class Seal(Document):
    """``seal.json``: hashes of an entry's predictions and of their encrypted form.

    The predictions contain a random salt, so that their hash does not tell whether two files are equal.
    """

    schema_: str = schema_field("seal", 1, 2)
    key: str = Field(description="Public key that they are encrypted to.")
    predictions_sha256: str = Field(pattern=HASH)
    val_predictions_sha256: str = Field(default="", pattern=HASH)
    label_efficiency_sha256: str = Field(default="", pattern=HASH)
    runs_sha256: str = Field(default="", pattern=HASH)
    sealed_sha256: str = Field(pattern=HASH, description="Of predictions.age.")
    val_sealed_sha256: str = Field(default="", pattern=HASH)
    label_efficiency_sealed_sha256: str = Field(default="", pattern=HASH)
    runs_sealed_sha256: str = Field(default="", pattern=HASH)

    @property
    def plain_hashes(self) -> dict[str, str]:
        """Name of each file of predictions → its SHA-256, empty where there is none."""
        return {
            PREDICTIONS: self.predictions_sha256,
            VAL_PREDICTIONS: self.val_predictions_sha256,
            LABEL_EFFICIENCY: self.label_efficiency_sha256,
            RUNS: self.runs_sha256,
        }

    @property
    def sealed_hashes(self) -> dict[str, str]:
        """Name of each encrypted file → its SHA-256, empty where there is none."""
        return {
            SEALED_PREDICTIONS: self.sealed_sha256,
            SEALED_VAL_PREDICTIONS: self.val_sealed_sha256,
            SEALED_LABEL_EFFICIENCY: self.label_efficiency_sealed_sha256,
            SEALED_RUNS: self.runs_sealed_sha256,
        }


@dataclass(frozen=True, slots=True)
class PrivateKey:
    """A board's private key; its text is never shown."""

    secret: str

    def __repr__(self) -> str:
        """Return a text without the key."""
        return "PrivateKey(...)"

    @property
    def public(self) -> str:
        """The public key that belongs to it."""
        return str(_identity(self.secret).to_public())


def new_key() -> PrivateKey:
    """Return a new private key.

    Raises:
        BenchError: pyrage is not installed (``sealing-missing``).
    """
    return PrivateKey(str(_pyrage().x25519.Identity.generate()))


def require_place_for_key(path: Path, *folders: Path) -> None:
    """Refuse a place for a new private key before anything else is done.

    Args:
        path: The file.
        folders: Folders whose files are committed or published, see `refuse_key_in_workspace`.

    Raises:
        BenchError: The file exists (``key-exists``) or could not be written (``key-file``), or is in a
            workspace (``key-in-workspace``) or in a checkout of git (``key-in-checkout``).
    """
    refuse_key_in_workspace(path, *folders)
    refuse_key_to_commit(path)
    if path.exists():
        raise BenchError(Problem("key-exists", "A key file is never overwritten.", str(path)))
    nearest = next(folder for folder in path.absolute().parents if folder.exists())
    if not nearest.is_dir() or not os.access(nearest, os.W_OK | os.X_OK):
        message = f"It cannot be written: {nearest} is no folder that you may write to."
        raise BenchError(Problem("key-file", message, str(path), "Name a file in a folder of yours."))


def write_key(path: Path, key: PrivateKey) -> None:
    """Write a private key to a new file that only its owner can read; see `require_place_for_key`.

    Raises:
        BenchError: The file exists (``key-exists``) or cannot be written (``key-file``).
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        raise BenchError(Problem("key-exists", "A key file is never overwritten.", str(path))) from error
    except OSError as error:
        raise BenchError(
            Problem("key-file", f"It cannot be written: {error.strerror}.", str(path))
        ) from error
    with os.fdopen(handle, "w", encoding="utf-8") as file:
        file.write(f"# public key: {key.public}\n{key.secret}\n")
        file.flush()
        os.fsync(file.fileno())


def find_private_key(root: Path) -> PrivateKey | None:
    """Return the private key of ``BENCH_KEY``, or of the file of ``BENCH_KEY_FILE``; None without both.

    Raises:
        BenchError: It is not a key of age, or the file is missing or in the workspace `root`.
    """
    if text := os.environ.get(KEY_VARIABLE):
        return _parsed(text, KEY_VARIABLE)
    if name := os.environ.get(KEY_FILE_VARIABLE):
        return read_key(Path(name), root)
    return None


def read_key(path: Path, root: Path) -> PrivateKey:
    """Read a private key from a file, as `write_key` and ``age-keygen`` write it.

    Raises:
        BenchError: The file is missing, not a key (``key-file``), or in the workspace (``key-in-workspace``).
    """
    refuse_key_in_workspace(path, root)
    return _parsed(read_bytes(path, "key-file").decode("utf-8", "replace"), str(path))


def require_private_key(root: Path) -> PrivateKey:
    """Return the private key as `find_private_key`.

    Raises:
        BenchError: There is none (``key-missing``).
    """
    key = find_private_key(root)
    if key is None:
        message = f"The predictions are sealed, and neither {KEY_FILE_VARIABLE} nor {KEY_VARIABLE} is set."
        raise BenchError(Problem("key-missing", message), EXIT_ENVIRONMENT)
    return key


def seal(predictions: dict[str, bytes], public_key: str) -> dict[str, bytes]:
    """Encrypt predictions to a public key.

    Args:
        predictions: Name of the file → its content, the names being those of `FILES`.
        public_key: The board's public key.

    Returns:
        Name → content of the files that may be published: encrypted predictions and ``seal.json``.

    Raises:
        BenchError: The key is not a public key of age (``key-invalid``).
    """
    age = _pyrage()
    try:
        recipient = age.x25519.Recipient.from_str(public_key)
    except Exception as error:  # pyrage raises its own errors, which share no class but Exception
        message = "It is not a public key of age, which begins with age1."
        raise BenchError(Problem("key-invalid", message, "bench.toml: key")) from error
    encrypted = {FILES[name]: bytes(age.encrypt(data, [recipient])) for name, data in predictions.items()}
    stated = Seal(
        key=public_key,
        predictions_sha256=sha256_bytes(predictions[PREDICTIONS]),
        val_predictions_sha256=_hash(predictions.get(VAL_PREDICTIONS)),
        label_efficiency_sha256=_hash(predictions.get(LABEL_EFFICIENCY)),
        runs_sha256=_hash(predictions.get(RUNS)),
        sealed_sha256=sha256_bytes(encrypted[SEALED_PREDICTIONS]),
        val_sealed_sha256=_hash(encrypted.get(SEALED_VAL_PREDICTIONS)),
        label_efficiency_sealed_sha256=_hash(encrypted.get(SEALED_LABEL_EFFICIENCY)),
        runs_sealed_sha256=_hash(encrypted.get(SEALED_RUNS)),
    )
    return {**encrypted, SEAL: canonical_json(stated.plain())}


def _hash(data: bytes | None) -> str:
    return sha256_bytes(data) if data is not None else ""


def seal_entry(entry: Submission, public_key: str) -> bool:
    """Encrypt the stored predictions of an entry, unless they are sealed for this key; finish what died.

    Returns:
        Whether they were encrypted now.
    """
    stored = {name: entry.folder / name for name in FILES}
    with locked(entry.folder.parent / STORE_LOCK):
        clear_parts(entry.folder)
        stated = _stated_seal(entry)
        lacks = stated and any(stored[n].exists() and not h for n, h in stated.plain_hashes.items())
        if stated and stated.key == public_key and not lacks and not _changed_files(entry, stated):
            return False
        plain = {n: read_bytes(path, "stored-predictions") for n, path in stored.items() if path.exists()}
        files = seal(plain, public_key)
        # The seal is written last: until then its hashes tell that the sealing is unfinished.
        for name in sorted(files, key=lambda name: name == SEAL):
            write_atomic(entry.folder / name, files[name])
    return True


def _stated_seal(entry: Submission) -> Seal | None:
    path = entry.folder / SEAL
    return read_document(Seal, path, "seal-broken")[0] if path.exists() else None


def _changed_files(entry: Submission, stated: Seal) -> list[str]:
    """Names of the encrypted files that do not have the hash of the seal."""
    files = {name: entry.folder / name for name in stated.sealed_hashes}
    stored = {name: sha256_file(file) if file.exists() else "" for name, file in files.items()}
    return [name for name, sha256 in stated.sealed_hashes.items() if stored[name] != sha256]


def read_seal(entry: Submission) -> Seal | None:
    """Read the seal of an entry, and compare its hashes with the encrypted files; None where it has none.

    Raises:
        BenchError: A file is missing or was changed (``seal-broken``), or the seal is damaged.
    """
    stated = _stated_seal(entry)
    if stated and (changed := _changed_files(entry, stated)):
        message = f"{changed[0]} is not the file that was sealed."
        raise BenchError(Problem("seal-broken", message, str(entry.folder / SEAL)))
    return stated


def open_entry(entry: Submission, root: Path) -> None:
    """Decrypt the predictions of an entry where only their encrypted form is there.

    Args:
        entry: The entry; nothing happens where it has no seal or its predictions are there, so that a
            sealing that was interrupted can be done again.
        root: Root of the workspace, in which the private key must not be.

    Raises:
        BenchError: The key is missing or another one, or the content is not the sealed one (``seal-broken``).
    """
    stated = _stated_seal(entry)
    if stated is None:
        return
    plain = {name: entry.folder / name for name, sha256 in stated.plain_hashes.items() if sha256}
    missing = [
        name
        for name, path in plain.items()
        if not (path.exists() and sha256_file(path) == stated.plain_hashes[name])
    ]
    if missing:
        read_seal(entry)
    for name in missing:
        data = _decrypt(entry.folder / FILES[name], require_private_key(root), stated)
        if sha256_bytes(data) != stated.plain_hashes[name]:
            message = "The decrypted predictions do not have the hash of the seal."
            raise BenchError(Problem("seal-broken", message, str(entry.folder / SEAL)))
        with locked(entry.folder.parent / STORE_LOCK):
            write_atomic(plain[name], data)


BEGINS = b"age-encryption.org/v1\n"
LONGEST_HEADER = 4096
"""Most bytes of the header of an encrypted file; that for one recipient takes up to 300."""


def _decrypt(path: Path, key: PrivateKey, stated: Seal) -> bytes:
    """Decrypt a stranger's file with the private key.

    It is not done in the sandboxed worker, which must not see the key. The header is bounded, since the time
    that age takes for it grows with the square of its length: 98 kB of recipients took 10 s, 1 MB would take
    a quarter of an hour, and no interrupt ends it.
    """
    age, data = _pyrage(), read_bytes(path, "seal-broken")
    if not data.startswith(BEGINS) or b"\n---" not in data[:LONGEST_HEADER]:
        message = f"It is not a file of age with a header of at most {LONGEST_HEADER:,} bytes."
        raise BenchError(Problem("seal-broken", message, str(path)))
    try:
        return bytes(age.decrypt(data, [_identity(key.secret)]))
    except age.DecryptError as error:
        other = key.public != stated.key
        message = (
            f"It is sealed for {stated.key}; the key given is that of {key.public}." if other else "Damaged."
        )
        raise BenchError(Problem("key-wrong" if other else "seal-broken", message, str(path))) from error


def _parsed(text: str, where: str) -> PrivateKey:
    lines = [line.strip() for line in text.splitlines() if line.strip() and not line.startswith("#")]
    try:
        if len(lines) != 1:
            raise ValueError("not one key")
        _identity(lines[0])
    except BenchError:
        raise
    except Exception as error:  # never repeat the text: it may be a key
        message = "It is not one private key of age, which begins with AGE-SECRET-KEY-1."
        raise BenchError(Problem("key-file", message, where)) from error
    return PrivateKey(lines[0])


def _identity(secret: str) -> Any:
    return _pyrage().x25519.Identity.from_str(secret)


def _pyrage() -> Any:
    try:
        import pyrage
    except ImportError as error:
        message = "Predictions are encrypted by pyrage, which is not installed."
        raise BenchError(Problem("sealing-missing", message), EXIT_ENVIRONMENT) from error
    return pyrage
