"""Reading built pages with the standard library alone."""

from __future__ import annotations

from dataclasses import dataclass, field
from html.parser import HTMLParser
from pathlib import Path

VOID = {"meta", "link", "input", "br", "img", "hr"}


@dataclass
class Node:
    tag: str
    attributes: dict[str, str | None]
    children: list[Node | str] = field(default_factory=list)

    def find_all(self, tag: str) -> list[Node]:
        found = []
        for child in self.children:
            if isinstance(child, Node):
                found += [child] if child.tag == tag else []
                found += child.find_all(tag)
        return found

    def text(self) -> str:
        return "".join(c if isinstance(c, str) else c.text() for c in self.children)

    def get(self, name: str) -> str:
        return self.attributes.get(name) or ""


class Reader(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.stack = [Node("document", {})]
        self.faults: list[str] = []

    def handle_starttag(self, tag, attrs):
        node = Node(tag, dict(attrs))
        if len(dict(attrs)) != len(attrs):
            self.faults.append(f"<{tag}> repeats an attribute")
        self.stack[-1].children.append(node)
        if tag not in VOID:
            self.stack.append(node)

    def handle_startendtag(self, tag, attrs):
        self.stack[-1].children.append(Node(tag, dict(attrs)))

    def handle_endtag(self, tag):
        if self.stack[-1].tag != tag:
            self.faults.append(f"</{tag}> closes <{self.stack[-1].tag}>")
        else:
            self.stack.pop()

    def handle_data(self, data):
        self.stack[-1].children.append(data)


def read(path: Path) -> Node:
    """The tree of a page; every tag must be closed where it was opened."""
    reader = Reader()
    reader.feed(path.read_text("utf-8"))
    reader.close()
    assert reader.faults == []
    assert len(reader.stack) == 1, [n.tag for n in reader.stack]
    return reader.stack[0]


def html_pages(folder: Path) -> list[Path]:
    return sorted(folder.rglob("*.html"))


def walk(node: Node) -> list[Node]:
    """A node and all that is below it."""
    return [node, *(n for child in node.children if isinstance(child, Node) for n in walk(child))]
