"""CheXchoBench: a benchmark and leaderboard harness for echocardiographic labels from chest X-rays.

The array API needs no cohort and no workspace: three arrays `(y, p, patient_id)` are enough. The public names
stand in `__init__.pyi`; each is imported on first use, so that importing the package stays cheap.
"""

import lazy_loader

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
