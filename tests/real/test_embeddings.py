"""Embeddings of real X-rays by two stand-ins for an encoder: a random projection and principal components."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sklearn.decomposition import PCA
from sklearn.random_projection import GaussianRandomProjection

import bench
from bench.cohort.load import load_cohort
from bench.cohort.spec import load_spec
from bench.cohort.split import PARTS
from bench.workspace import Workspace
from tests.real.test_nih import SPEC

pytestmark = pytest.mark.real
WIDTH, SIDE = 32, 32


@pytest.mark.parametrize("encoder", ["random-projection", "principal-components"])
def test_a_stand_in_for_an_encoder_is_scored(real: Path, board: Workspace, encoder: str) -> None:
    cohort = load_cohort(load_spec(str(SPEC)), real / "nih-1000")
    found = {path.name: path for path in (real / "nih-1000").rglob("*") if path.suffix in (".png", ".jpg")}
    pixels = np.array(
        [
            np.asarray(
                Image.open(found[Path(image).name]).convert("L").resize((SIDE, SIDE)), np.float32
            ).ravel()
            for image in cohort.images
        ]
    )
    model = (
        PCA(WIDTH, random_state=0)
        if encoder.startswith("principal")
        else GaussianRandomProjection(WIDTH, random_state=0)
    )
    model.fit(pixels[cohort.rows("train")])
    folder = board.root / "embeddings"
    folder.mkdir()
    for part in PARTS:
        rows = cohort.rows(part)
        np.save(folder / f"{part}.npy", model.transform(pixels[rows]).astype(np.float32))
        (folder / f"{part}_ids.txt").write_text("\n".join(cohort.images[rows]))
    bench.submit(embeddings=folder, slug=encoder, cohort=SPEC, data=real / "nih-1000")
    card = bench.score(encoder, replicates=200, jobs=1, cohort=SPEC, data=real / "nih-1000").scorecards[0]
    points = [p for p in card.label_efficiency if p.target == card.headline]
    print(encoder, [(p.fraction, p.auroc.value) for p in points])
    auroc = points[-1].auroc.value
    assert auroc is not None
    assert 0.45 < auroc < 0.95
