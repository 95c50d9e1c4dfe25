"""The drawings: right format, repeatable, and tied to the heart neither too loosely nor too tightly."""

from __future__ import annotations

from dataclasses import replace
from io import BytesIO
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import roc_auc_score
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from bench.cohort.synthetic.aggregates import Measurement
from bench.cohort.synthetic.anatomy import Subject, anatomy_of
from bench.cohort.synthetic.drawing import _tile_weights, demo_jpeg, demo_pixels
from bench.cohort.synthetic.patients import invent_patients
from bench.cohort.synthetic.streams import Streams
from bench.cohort.synthetic.table import label_rules, table_of
from bench.cohort.synthetic.write import subjects_of

SEED = 20_240_320
PLAIN = Subject(
    patient="a" * 32,
    image="a" * 32 + "_00000000.jpg",
    female=True,
    age=60.0,
    cm={"ivsd": 1.05, "lvpwd": 1.0, "lvidd": 4.4},
    heart_transplant=False,
    lung_transplant=False,
    device=False,
)


def test_jpeg_has_the_format_of_the_release_and_says_what_it_is() -> None:
    image = Image.open(BytesIO(demo_jpeg(PLAIN, SEED)))
    assert (image.format, image.mode, image.size) == ("JPEG", "L", (224, 224))
    assert b"Synthetic" in image.info["comment"]
    decoded, drawn = np.asarray(image, int), demo_pixels(PLAIN, SEED).astype(int)
    assert np.abs(decoded - drawn).mean() < 3
    assert (drawn.min(), drawn.max()) == (0, 255)


def test_an_image_depends_on_its_names_and_seed_alone() -> None:
    first = demo_jpeg(PLAIN, SEED)
    demo_jpeg(replace(PLAIN, image="b.jpg"), SEED)
    assert demo_jpeg(PLAIN, SEED) == first
    assert demo_jpeg(PLAIN, SEED + 1) != first
    assert demo_jpeg(replace(PLAIN, image="b.jpg"), SEED) != first


def test_the_drawing_is_the_pinned_one() -> None:
    """Means of 56 by 56 blocks, which no rounding moves: raise the recipe number when they change."""
    blocks = demo_pixels(PLAIN, SEED).reshape(4, 56, 4, 56).mean(axis=(1, 3))
    pinned = [[145, 143, 140, 143], [136, 132, 125, 138], [140, 154, 166, 130], [193, 200, 198, 182]]
    assert np.abs(blocks - pinned).max() < 1


def test_images_of_a_patient_are_more_alike_than_images_of_two() -> None:
    def distance(a: Subject, b: Subject) -> float:
        x, y = (anatomy_of(subject, Streams(SEED)) for subject in (a, b))
        return abs(x.heart_left + x.heart_right - y.heart_left - y.heart_right)

    people = [replace(PLAIN, patient=f"{k:032x}") for k in range(200)]
    same = [distance(p, replace(p, image=p.image + "2")) for p in people]
    other = [distance(p, replace(q, image=q.image + "2")) for p, q in pairwise(people)]
    assert np.mean(same) < 0.75 * np.mean(other)


def _mean_image(subject: Subject, count: int = 30) -> npt.NDArray[np.float64]:
    images = [
        demo_pixels(replace(subject, patient=f"{k:032x}", image=f"{k}.jpg"), SEED) for k in range(count)
    ]
    mean: npt.NDArray[np.float64] = np.mean(images, axis=0)
    return mean


def test_a_dilated_heart_is_drawn_wider() -> None:
    dilated = replace(PLAIN, cm={"ivsd": 1.05, "lvpwd": 1.0, "lvidd": 6.2})
    normal, large = _mean_image(PLAIN), _mean_image(dilated)
    border = (slice(146, 160), slice(164, 180))  # beside a normal heart's left border
    assert large[border].mean() > normal[border].mean() + 20
    apex = (slice(60, 80), slice(40, 80))  # right upper lung
    assert abs(large[apex].mean() - normal[apex].mean()) < 6


def test_thick_walls_round_the_left_border() -> None:
    thick = replace(PLAIN, cm={"ivsd": 1.8, "lvpwd": 1.7, "lvidd": 4.4})
    assert (_mean_image(thick) - _mean_image(PLAIN))[105:130, 135:165].mean() > 8


def test_hardware_is_drawn_where_it_lies() -> None:
    plain = demo_pixels(PLAIN, SEED)
    generator = demo_pixels(replace(PLAIN, device=True), SEED)
    wires = demo_pixels(replace(PLAIN, heart_transplant=True), SEED)
    clips = demo_pixels(replace(PLAIN, lung_transplant=True), SEED)
    assert (generator == 255).sum() > (plain == 255).sum() + 100
    assert (generator == 255)[:, 112:].sum() > (generator == 255)[:, :100].sum()
    for metal in (wires, clips):
        changed = np.flatnonzero((metal != plain).any(axis=0))
        assert 10 < (metal != plain).sum() < 500
        assert 70 < changed.min() < changed.max() < 160


def test_extreme_hearts_can_be_drawn() -> None:
    for cm in (0.05, 12.0):
        pixels = demo_pixels(replace(PLAIN, cm={"ivsd": cm, "lvpwd": cm, "lvidd": cm}), SEED)
        assert pixels.std() > 20


def test_even_the_drawing_rules_do_not_separate_the_classes() -> None:
    """A model of the exact shapes, which no reader of the pixels sees so well, stays below 0.95."""
    cohort = invent_patients(5_000, 11)
    subjects = subjects_of(cohort, table_of(cohort, 11))
    once = np.flatnonzero(cohort.first)
    streams = Streams(11)
    shapes = np.array(
        [
            (
                *(a.chest, *a.diaphragm, a.habitus, a.heart_left, a.heart_right, a.heart_tip),
                *(a.roundness, a.aorta, a.congestion),
            )
            for a in (anatomy_of(subjects[i], streams) for i in once)
        ]
    )
    labels = label_rules(cohort.cm, cohort.female)
    for target, low in (("slvh", 0.82), ("dlv", 0.82), ("composite_slvh_dlv", 0.80)):
        y = labels[target][once]
        model = make_pipeline(StandardScaler(), LogisticRegression())
        model.fit(shapes[:2_500], y[:2_500])
        assert low < roc_auc_score(y[2_500:], model.predict_proba(shapes[2_500:])[:, 1]) < 0.95


def test_age_and_sex_alone_tell_something() -> None:
    """The planted slope: a liability correlated by 0.18 with age gives an AUROC of about 0.6."""
    cohort = invent_patients(12_000, 11)
    x = np.c_[cohort.age, cohort.female]
    y = label_rules(cohort.cm, cohort.female)["composite_slvh_dlv"]
    train = cohort.patient < 9_000
    model = make_pipeline(StandardScaler(), LogisticRegression()).fit(x[train], y[train])
    assert 0.55 < roc_auc_score(y[~train], model.predict_proba(x[~train])[:, 1]) < 0.65


def test_the_planted_silhouette_of_device_wearers_tells_little_of_the_heart() -> None:
    def width(device: bool, diameter: float) -> float:
        cm: dict[Measurement, float] = {"ivsd": 1.05, "lvpwd": 1.0, "lvidd": diameter}
        people = [
            replace(PLAIN, patient=f"{k:032x}", image=f"{k}.jpg", device=device, cm=cm) for k in range(300)
        ]
        return float(np.mean([anatomy_of(person, Streams(SEED)).heart_left for person in people]))

    assert width(True, 4.4) > width(False, 4.4) + 0.02
    assert width(True, 6.0) - width(True, 4.4) < 0.5 * (width(False, 6.0) - width(False, 4.4))


def test_the_local_mean_is_pillows_bicubic_interpolation_of_tiles() -> None:
    tiles = np.random.default_rng(0).random((7, 7)).astype(np.float32)
    weights = _tile_weights()
    expected = Image.fromarray(tiles).resize((224, 224), Image.Resampling.BICUBIC)
    assert np.abs(weights @ tiles @ weights.T - np.asarray(expected)).max() < 1e-5


@pytest.mark.slow
def test_pixels_of_a_few_hundred_patients_beat_age_and_sex() -> None:
    """Linear reading of 28 by 28 pixels, no network: already clearly better than age and sex."""
    cohort = invent_patients(1_200, SEED)
    subjects = subjects_of(cohort, table_of(cohort, SEED))
    y = label_rules(cohort.cm, cohort.female)["composite_slvh_dlv"]
    small = [Image.fromarray(demo_pixels(s, SEED)).reduce(8) for s in subjects]
    x = np.array([np.asarray(image, float).ravel() for image in small])
    train = cohort.patient < 700
    model = make_pipeline(StandardScaler(), LogisticRegression(C=1e-4, max_iter=500))
    model.fit(x[train], y[train])
    score = model.predict_proba(x[~train])[:, 1]
    assert 0.68 < roc_auc_score(y[~train], score) < 0.95
