"""The reference of the Python interface in Markdown, from signatures and docstrings; nothing is imported."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

PACKAGE = Path(__file__).parents[1]
_SECTION = re.compile(r"^(Args|Attributes|Returns|Yields|Raises):$")
_ITEM = re.compile(r"^(?: {4})?(\w[\w, ]*): (.*)$")

Definition = ast.FunctionDef | ast.ClassDef


@cache
def python_reference() -> str:
    """Return every public name of `bench` in alphabetical order, with its signature and docstring."""
    stub = ast.parse((PACKAGE / "__init__.pyi").read_text("utf-8"))
    parts = {}
    for node in (node for node in stub.body if isinstance(node, ast.ImportFrom)):
        for name in (alias.name for alias in node.names):
            parts[name] = _module(name) if node.module is None else _name(name, node.module)
    return "\n\n".join(parts[name] for name in sorted(parts, key=str.lower)) + "\n"


def _module(name: str) -> str:
    """A module that is public itself: its docstring and its functions."""
    tree = ast.parse((PACKAGE / f"{name}.py").read_text("utf-8"))
    functions = (
        _definition(f"{name}.{node.name}", node, level=3)
        for node in tree.body
        if isinstance(node, ast.FunctionDef) and not node.name.startswith("_")
    )
    return "\n\n".join([f"## {name}", _prose(ast.get_docstring(tree) or ""), *functions])


def _name(name: str, module: str) -> str:
    tree = ast.parse((PACKAGE / f"{module.replace('.', '/')}.py").read_text("utf-8"))
    (node,) = [n for n in tree.body if isinstance(n, Definition) and n.name == name]
    return "\n\n".join([_definition(name, node, level=2), *_methods(name, node)])


def _methods(name: str, node: Definition) -> Iterator[str]:
    """Documented methods of a class; properties and special methods are left out."""
    for method in node.body if isinstance(node, ast.ClassDef) else ():
        if not isinstance(method, ast.FunctionDef) or method.name.startswith("_"):
            continue
        decorators = {ast.unparse(decorator) for decorator in method.decorator_list}
        if ast.get_docstring(method) and not decorators & {"property", "cached_property"}:
            yield _definition(f"{name}.{method.name}", method, level=3)


def _definition(name: str, node: Definition, level: int) -> str:
    parts = [f"{'#' * level} {name}"]
    if isinstance(node, ast.FunctionDef):
        parts.append(f"```python\n{_signature(name, node)}\n```")
    return "\n\n".join([*parts, _prose(ast.get_docstring(node) or "")])


def _signature(name: str, node: ast.FunctionDef) -> str:
    """The call with one argument a line, annotations included."""
    arguments = node.args
    if arguments.args and arguments.args[0].arg in ("self", "cls"):
        arguments = ast.arguments(**{**dict(ast.iter_fields(arguments)), "args": arguments.args[1:]})
    inside = ast.unparse(arguments)
    returned = f" -> {ast.unparse(node.returns)}" if node.returns else ""
    line = f"{name}({inside}){returned}"
    if len(line) <= 100:
        return line
    lines = "".join(f"\n    {part}," for part in _top_level(inside))
    return f"{name}({lines}\n){returned}"


def _top_level(text: str) -> list[str]:
    """Arguments of a signature: its parts between commas that stand in no bracket."""
    parts, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth == 0:
            parts.append("")
        else:
            parts[-1] += character
    return [part.strip() for part in parts]


def _prose(docstring: str) -> str:
    """A Google docstring as Markdown: sections as lists, examples as blocks of code."""
    blocks = [_block(block) for block in re.split(r"\n\n+", docstring.replace("``", "`"))]
    return "\n\n".join(blocks)


def _block(block: str) -> str:
    lines = block.splitlines()
    if block.startswith(">>>"):
        return f"```python\n{block}\n```"
    if not _SECTION.match(lines[0]):
        return block
    items: list[str] = []
    for line in lines[1:]:
        item = _ITEM.match(line)
        if item and not line.startswith("     "):
            items.append(f"- `{item[1]}`: {item[2]}" if lines[0] != "Returns:" else line.strip())
        elif items:
            items[-1] += f" {line.strip()}"
        else:
            items.append(line.strip())
    return f"**{lines[0][:-1]}**\n\n" + "\n".join(items)
