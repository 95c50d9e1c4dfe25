"""Imports TensorRT's real Python bindings without its libraries, so that what our code uses can be looked up.

The bindings load three native libraries of which they need nine symbols while they are only imported; stubs
with these symbols, compiled here, take their place.
"""

from __future__ import annotations

import ast
import ctypes
import importlib
import re
import shutil
import subprocess
from collections.abc import Iterator
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

# What our variables hold.
CLASSES = {
    "builder": "Builder",
    "network": "INetworkDefinition",
    "config": "IBuilderConfig",
    "profile": "IOptimizationProfile",
    "parser": "OnnxParser",
    "layer": "ILayer",
    "tensor": "ITensor",
    "error": "ParserError",
    "runtime": "Runtime",
    "engine": "ICudaEngine",
    "inspector": "EngineInspector",
    "context": "IExecutionContext",
}


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


def uses(source: str) -> Iterator[tuple[str, int | None]]:
    """Dotted names below the module that a source file uses, and with how many arguments it calls them."""
    tree = ast.parse(source)
    calls = {
        id(node.func): len(node.args) + len(node.keywords)
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
    }
    for node in ast.walk(tree):
        if not isinstance(node, ast.Attribute):
            continue
        words, root = [node.attr], node.value
        while isinstance(root, ast.Attribute):
            words.insert(0, root.attr)
            root = root.value
        if not isinstance(root, ast.Name):
            continue
        if root.id == "trt":
            count = calls.get(id(node))
            explicit_self = words[-1] == "__init__" and count is not None
            yield ".".join(words), count - 1 if explicit_self and count else count
        elif root.id in CLASSES:
            yield f"{CLASSES[root.id]}.{words[0]}", calls.get(id(node)) if len(words) == 1 else None


def lookup(module: Any, name: str) -> Any:
    """What a dotted name stands for, None where there is no such thing."""
    found = module
    for word in name.split("."):
        found = getattr(found, word, None)
        if found is None:
            return None
    return found


def accepts(function: Any, arguments: int) -> bool:
    """Whether one of a binding's signatures, as its documentation states them, takes so many arguments."""
    signatures = re.findall(r"\((self[^)]*(?:\([^)]*\)[^)]*)*)\) ->", function.__doc__ or "")
    for signature in signatures:
        parameters = [p for p in re.split(r",\s*(?=\w+:)", signature) if not p.startswith("self")]
        required = sum("=" not in p for p in parameters)
        if required <= arguments <= len(parameters):
            return True
    return not signatures
