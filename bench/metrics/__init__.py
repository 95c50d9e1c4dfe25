"""Pure functions of (y, score, weight): arrays in, plain numbers out, `None` where a figure is undefined.

Modules are imported on first use, so that names and definitions of metrics can be read without numpy.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
