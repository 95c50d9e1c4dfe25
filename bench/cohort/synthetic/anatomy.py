"""Anatomy of a synthetic chest X-ray: the shapes of chest and heart before drawing.

Lengths are in half image widths, positions in [-1, 1] with x to the right and y down; the patient's left is
at the right of the image, as in any chest X-ray. The silhouette depends only in part on the heart's true size
and otherwise on habitus, age, breath and position, so that labels cannot be predicted perfectly.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from bench.cohort.synthetic.aggregates import Measurement
from bench.cohort.synthetic.streams import Streams

IMAGE_SIDE: Final = 224

# Mean outer diameter of the left ventricle and mean wall thickness (cm), by sex (True: female).
MEAN_DIAMETER_CM: Final = {True: 4.42, False: 4.75}
MEAN_WALL_CM: Final = {True: 1.04, False: 1.15}
# Noise of the silhouette's size and wall thickness in standard deviations: (per patient, per exposure).
SIZE_BLUR: Final = (0.9, 0.55)
WALL_BLUR: Final = (0.9, 0.55)
# Planted shortcut: the silhouette of a patient with a device is enlarged, whatever the size of the ventricle:
# (what remains of the size and of the walls, what is added in standard deviations).
DEVICE_SIZE: Final = (0.35, 1.2)


@dataclass(frozen=True, slots=True)
class Subject:
    """Patient and measurements of one image to draw.

    Attributes:
        patient: Patient id; seeds the features that all images of the patient share.
        image: File name; seeds the features of one exposure.
        female: Sex.
        age: Years.
        cm: True measurements.
        heart_transplant: Draws wires in the breastbone.
        lung_transplant: Draws clips at the hila.
        device: Draws a pulse generator and its leads.
    """

    patient: str
    image: str
    female: bool
    age: float
    cm: dict[Measurement, float]
    heart_transplant: bool
    lung_transplant: bool
    device: bool


@dataclass(frozen=True, slots=True)
class Anatomy:
    """Shapes and shades of one image.

    Attributes:
        shift: (x, y) of the whole chest.
        zoom: Scale of the whole chest.
        chest: Half width of the rib cage.
        apex_y: Top of the lungs.
        diaphragm: (right, left) y of the domes.
        habitus: Stoutness, about -2 to 2.
        breast: Shade of the breasts, 0 for none.
        heart_left: How far the heart reaches to the patient's left of the midline.
        heart_right: How far to the right.
        heart_tip: y of the tip of the left ventricle.
        roundness: Convexity of the left border, about -2 to 2.
        aorta: Prominence of the aortic knob.
        congestion: Shade of the lung vessels and bases.
        rib_offset: Phase of the ribs.
        rib_spacing: Distance of the ribs.
        noise: Standard deviation of the grain, in shades.
        local_contrast: How much of the local mean is removed, 0 to 1.
    """

    shift: tuple[float, float]
    zoom: float
    chest: float
    apex_y: float
    diaphragm: tuple[float, float]
    habitus: float
    breast: float
    heart_left: float
    heart_right: float
    heart_tip: float
    roundness: float
    aorta: float
    congestion: float
    rib_offset: float
    rib_spacing: float
    noise: float
    local_contrast: float


def anatomy_of(subject: Subject, streams: Streams) -> Anatomy:
    """Derive the anatomy of one image from its subject and random numbers."""
    patient = iter(streams.normal(f"patient {subject.patient}", 14).tolist())
    exposure = iter(streams.normal(f"exposure {subject.image}", 16).tolist())
    old = (subject.age - 62) / 16
    habitus = next(patient)
    breath = next(exposure) + 0.4 * next(patient)  # high: a deep breath, low domes and a slim heart

    size, thickness = _severity(subject)
    if subject.device:
        size, thickness = DEVICE_SIZE[0] * size + DEVICE_SIZE[1], DEVICE_SIZE[0] * thickness
    size += SIZE_BLUR[0] * next(patient) + SIZE_BLUR[1] * next(exposure)
    thickness += WALL_BLUR[0] * next(patient) + WALL_BLUR[1] * next(exposure)
    width = 0.385 + 0.026 * size + 0.010 * thickness + 0.010 * next(patient)
    width += 0.012 * habitus + 0.008 * old - 0.010 * breath + 0.008 * subject.female
    lean = 0.02 * next(patient) + 0.015 * next(exposure)  # a turned chest moves the heart across the midline
    roundness = 0.75 * thickness + 0.2 * old + 0.3 * next(patient)
    tip = 0.33 - 0.035 * habitus + 0.02 * size - 0.02 * roundness + 0.02 * breath + 0.02 * next(patient)
    dome = 0.42 - 0.035 * habitus + 0.05 * breath
    return Anatomy(
        shift=(0.035 * next(exposure), 0.03 * next(exposure)),
        zoom=1.0 + 0.035 * next(exposure),
        chest=0.80 + 0.02 * next(patient) + 0.015 * breath,
        apex_y=-0.80 + 0.02 * next(patient),
        diaphragm=(dome, dome + 0.05 + 0.02 * next(exposure)),
        habitus=habitus,
        breast=max(0.0, 0.055 + 0.02 * next(patient) + 0.015 * habitus) * subject.female,
        heart_left=max(0.2, width * 1.30 + lean),
        heart_right=max(0.12, width * 0.62 - lean),
        heart_tip=tip,
        roundness=max(-2.2, min(2.2, roundness)),
        aorta=max(0.0, 0.5 + 0.22 * old + 0.16 * thickness + 0.25 * next(patient)),
        congestion=max(0.0, 0.55 + 0.16 * size + 0.22 * next(exposure)),
        rib_offset=next(patient),
        rib_spacing=0.165 + 0.006 * next(exposure),
        noise=0.028 + 0.004 * habitus + 0.003 * next(exposure),
        local_contrast=0.5 + 0.06 * next(exposure),
    )


def _severity(subject: Subject) -> tuple[float, float]:
    """Return ventricle size and wall thickness in standard deviations from the sex's mean, bounded."""
    walls = (subject.cm["ivsd"] + subject.cm["lvpwd"]) / 2
    outer = subject.cm["lvidd"] + 0.5 * (walls - MEAN_WALL_CM[subject.female])
    size = (outer / MEAN_DIAMETER_CM[subject.female] - 1) / 0.13
    thickness = (walls / MEAN_WALL_CM[subject.female] - 1) / 0.19
    return max(-2.5, min(3.5, size)), max(-2.5, min(3.5, thickness))
