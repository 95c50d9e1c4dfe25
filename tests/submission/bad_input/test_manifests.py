"""Slugs that cannot be folders or are taken, and manifests with faults."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import Cli
from tests.submission.bad_input.stage import Fault, Stage, Words, refused, submit
from tests.tiny import MANIFEST, REPORTED


def manifest(content: str | bytes, name: str = "m.toml") -> Callable[[Stage], Words]:
    """Correct predictions with this manifest."""

    def make(stage: Stage) -> Words:
        path = stage.correct()
        return submit(path, "--manifest", stage.file(content, name))

    return make


def slugged(slug: str) -> Callable[[Stage], Words]:
    return lambda stage: submit(stage.correct(), slug=slug)


def taken(stage: Stage) -> Words:
    stage.store("entry", stage.cohort.split.fingerprint)
    return submit(stage.correct())


FAULTS = [
    # slug
    Fault("slug that climbs", slugged("../x"), "slug-invalid", re.escape("'../x'")),
    Fault("slug with a folder", slugged("a/b"), "slug-invalid", "'a/b'"),
    Fault("absolute slug", slugged("/etc"), "slug-invalid", "'/etc'"),
    Fault("slug in upper case", slugged("Entry"), "slug-invalid", "'Entry'"),
    Fault("slug of 65 characters", slugged("a" * 65), "slug-invalid", "a{65}"),
    Fault("slug with an umlaut", slugged("müller"), "slug-invalid", "müller"),
    Fault("slug with a hyphen first", slugged("-a"), "slug-invalid", "'-a'"),
    Fault("slug with a blank", slugged("a b"), "slug-invalid", "'a b'"),
    Fault("slug with a line break", slugged("a\n"), "slug-invalid", r"a\\n"),
    Fault("slug with a dot", slugged("."), "slug-invalid", r"'\.'"),
    Fault("slug taken", taken, "slug-taken", "'entry'"),
    # manifest
    Fault(
        "unknown key", manifest(MANIFEST + "sede = 1\n"), "manifest-invalid", "^sede: This key is not known"
    ),
    Fault("missing keys", manifest('name = "x"\n'), "manifest-invalid", "^team: This key is missing"),
    Fault(
        "bad TOML",
        manifest("name = \n"),
        "manifest-invalid",
        "Invalid value",
        remedy="Correct the line named",
    ),
    Fault(
        "deep TOML",
        manifest("a = " + "[" * 5000),
        "manifest-invalid",
        "TOML",
        remedy="Correct the file named",
    ),
    Fault(
        "not UTF-8",
        manifest(b'name = "\xff"'),
        "manifest-invalid",
        "^Not UTF-8",
        remedy="Save the file as UTF-8",
    ),
    Fault(
        "UTF-16 of PowerShell",
        manifest(MANIFEST.encode("utf-16")),
        "manifest-invalid",
        "UTF-16, as PowerShell",
        where="m.toml, line 1$",
        remedy="Save the file as UTF-8",
    ),
    Fault(
        "big-endian UTF-16",
        manifest(b"\xfe\xff" + MANIFEST.encode("utf-16-be")),
        "manifest-invalid",
        "UTF-16, as PowerShell",
        where="m.toml, line 1$",
        remedy="Save the file as UTF-8",
    ),
    Fault(
        "curly quotes",
        manifest(MANIFEST.replace('"A model"', "\u201cA model\u201d")),
        "manifest-invalid",
        "^Not valid TOML",
        where="m.toml, line 1",
        remedy="Correct the line named",
    ),
    Fault(
        "colon for an equals sign",
        manifest(MANIFEST.replace("team =", "team:")),
        "manifest-invalid",
        "^Not valid TOML",
        where="m.toml, line 2",
        remedy="Correct the line named",
    ),
    Fault(
        "key twice",
        manifest(MANIFEST + 'team = "B"\n'),
        "manifest-invalid",
        "^Not valid TOML",
        where="m.toml, line 5",
        remedy="Correct the line named",
    ),
    Fault(
        "a folder",
        lambda s: [*manifest(MANIFEST)(s)[:-1], s.folder],
        "manifest-invalid",
        "^It is a folder",
        where="submitted$",
        remedy="Name the file itself",
    ),
    Fault(
        "a device",
        lambda s: [*manifest(MANIFEST)(s)[:-1], Path("/dev/zero")],
        "manifest-invalid",
        "^It is a device or pipe",
        where="^/dev/zero$",
        remedy="Name the file itself",
    ),
    Fault("bad date", manifest(MANIFEST.replace("2026-01-01", '"yesterday"')), "manifest-invalid", "^date: "),
    Fault("wrong type", manifest(MANIFEST + 'parameters = "many"\n'), "manifest-invalid", "^parameters: "),
    Fault("number as text", manifest(MANIFEST + 'parameters = "7"\n'), "manifest-invalid", "^parameters: "),
    Fault("negative number", manifest(MANIFEST + "parameters = -1\n"), "manifest-invalid", "^parameters: "),
    Fault("no inputs", manifest(MANIFEST.replace('["image"]', "[]")), "manifest-invalid", "^inputs: "),
    Fault(
        "name of two lines", manifest(MANIFEST.replace("A model", r"A\nmodel")), "manifest-invalid", "^name: "
    ),
    Fault(
        "link with a password",
        manifest(MANIFEST + '[links]\ncode = "https://user:word@example.org/x"\n'),
        "manifest-invalid",
        "^links.code: .*must not hold a user name or password",
    ),
    Fault("empty name", manifest(MANIFEST.replace("A model", "")), "manifest-invalid", "^name: "),
    Fault(
        "name of 201 characters", manifest(MANIFEST.replace("A model", "a" * 201)), "manifest-invalid", "200"
    ),
    Fault("unknown kind", manifest(MANIFEST + 'kind = "best"\n'), "manifest-invalid", "^kind: "),
    Fault("unknown scores", manifest(MANIFEST + 'scores = "logit"\n'), "manifest-invalid", "^scores: "),
    Fault(
        "script as a link",
        manifest(MANIFEST + '[links]\ncode = "javascript:alert(1)"\n'),
        "manifest-invalid",
        "links.code: .*https://",
    ),
    Fault(
        "no manifest there",
        lambda s: [*manifest(MANIFEST)(s)[:-1], s.folder / "no.toml"],
        "manifest-invalid",
        "no such file",
        where=r"/no\.toml$",
        remedy="looked for in",
    ),
    Fault("reported with predictions", manifest(REPORTED), "manifest-invalid", '"reported"'),
    Fault(
        "reported without numbers", manifest(MANIFEST + 'kind = "reported"\n'), "manifest-invalid", "together"
    ),
]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_refused(fault: Fault, stage: Stage, cli: Cli) -> None:
    refused(fault, stage, cli)
