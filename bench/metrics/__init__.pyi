from . import calibration, discrimination, influence, noise_floor, prepared, registry

__all__ = [
    "calibration",
    "discrimination",
    "influence",
    "noise_floor",
    "prepared",
    "registry",
]
