"""Pre-registration: hashes of a model and of a plan, stored before the model is scored."""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import Field

from bench.documents import Document, schema_field
from bench.errors import BenchError, Problem
from bench.files import clear_parts, locked, write_json
from bench.sandbox.reader import read_document
from bench.submission.store import check_free, check_slug, refuse_renaming
from bench.workspace import REGISTERED, STORE_LOCK, attempts_folder

HASH = r"^[0-9a-f]{64}$"


class Registration(Document):
    """``_registered/<slug>.json``; never changed, but for the slug of a renamed entry."""

    schema_: str = schema_field("registration", 1)
    slug: str
    date: datetime.date
    model_sha256: str = Field(pattern=HASH, description="Of the ONNX file.")
    plan_sha256: str = Field(
        pattern=HASH, description="Of the text that states what will be evaluated and how."
    )


def register(folder: Path, registration: Registration) -> Path:
    """Store a registration.

    Args:
        folder: The cohort's folder of submissions.
        registration: The registration.

    Raises:
        BenchError: The slug is invalid, registered, in use, or was scored before (``registration-late``).
    """
    slug = registration.slug
    check_slug(slug)
    path = folder / REGISTERED / f"{slug}.json"
    with locked(folder / STORE_LOCK):
        clear_parts(path.parent)
        if path.exists():
            raise BenchError(Problem("registration-late", f"{slug!r} is registered already.", str(path)))
        refuse_renaming(folder)
        check_free(folder, slug)
        if (attempts_folder(folder) / f"{slug}.json").exists():
            raise BenchError(Problem("registration-late", f"{slug!r} was scored before.", str(folder)))
        write_json(path, registration.plain())
    return path


def find_registration(folder: Path, slug: str) -> Registration | None:
    """Read the registration of a slug; None where there is none.

    Raises:
        BenchError: The file is damaged (``registration-invalid``).
    """
    path = folder / REGISTERED / f"{slug}.json"
    return read_document(Registration, path, "registration-invalid")[0] if path.exists() else None


def refuse_registered(folder: Path, slug: str) -> None:
    """Refuse to rename an entry to a slug that is registered.

    Raises:
        BenchError: The slug is registered (``registration-differs``).
    """
    registration = find_registration(folder, slug)
    if registration is not None:
        message = (
            f"{slug!r} was registered on {registration.date} for model {registration.model_sha256[:12]}."
        )
        remedy = "Choose another slug: this one is kept for the registered model."
        raise BenchError(Problem("registration-differs", message, str(folder / REGISTERED), remedy))


def move_registration(folder: Path, old: str, new: str) -> None:
    """Keep a registration under the entry's new slug, once; hold the store's lock."""
    registration = find_registration(folder, old)
    if registration is not None:
        write_json(folder / REGISTERED / f"{new}.json", registration.model_copy(update={"slug": new}).plain())
        (folder / REGISTERED / f"{old}.json").unlink()


def refuse_other_model(folder: Path, slug: str, model_sha256: str) -> None:
    """Refuse a submission under a registered slug of anything but the registered model.

    Raises:
        BenchError: ``registration-differs``.
    """
    registration = find_registration(folder, slug)
    if registration is not None and registration.model_sha256 != model_sha256:
        what = "another model" if model_sha256 else "predictions without the model"
        registered = f"registered on {registration.date} with model {registration.model_sha256[:12]}"
        message = f"{slug!r} was {registered}; this is {what}."
        raise BenchError(Problem("registration-differs", message, str(folder / REGISTERED)))
