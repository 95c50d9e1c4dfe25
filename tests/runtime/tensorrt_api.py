"""Imports TensorRT's real Python bindings without its libraries, so that a fake can be as strict as they are.

The bindings load three native libraries of which they need nine symbols while they are only imported; stubs
with these symbols, compiled here, take their place.
"""

from __future__ import annotations

import ctypes
import importlib
import re
import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path
from typing import Any

_SYMBOLS = (
    "createInferBuilder_INTERNAL",
    "createInferRefitter_INTERNAL",
    "createInferRuntime_INTERNAL",
    "createNvOnnxParserRefitter_INTERNAL",
    "createNvOnnxParser_INTERNAL",
    "getBuilderPluginRegistry",
    "getNvOnnxParserVersion",
    "getPluginRegistry",
    "initLibNvInferPlugins",
)


def bindings(folder: Path) -> Any:
    """The module `tensorrt_bindings`, with stubs compiled into `folder`."""
    spec = find_spec("tensorrt_bindings")
    assert spec is not None
    assert spec.submodule_search_locations is not None
    library = next(Path(spec.submodule_search_locations[0]).glob("tensorrt*.so"))
    needed = sorted(set(re.findall(rb"libnv[a-z_]+\.so\.\d+", library.read_bytes())))
    source = folder / "stub.c"
    source.write_text("".join(f"void *{symbol}(void){{return (void*)0;}}\n" for symbol in _SYMBOLS))
    compiler = shutil.which("cc")
    assert compiler is not None
    for name in (n.decode() for n in needed):
        target = str(folder / name)
        subprocess.run(
            [compiler, "-shared", "-fPIC", "-o", target, f"-Wl,-soname,{name}", str(source)], check=True
        )
        ctypes.CDLL(target, mode=ctypes.RTLD_GLOBAL)
    return importlib.import_module("tensorrt_bindings")
