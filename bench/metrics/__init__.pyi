from . import calibration, deletions, discrimination, influence, noise_floor, prepared, registry

__all__ = [
    "calibration",
    "deletions",
    "discrimination",
    "influence",
    "noise_floor",
    "prepared",
    "registry",
]
