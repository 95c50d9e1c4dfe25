from . import calibration, discrimination, influence, prepared, registry

__all__ = ["calibration", "discrimination", "influence", "prepared", "registry"]
