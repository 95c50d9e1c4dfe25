"""The process that reads strangers' files for another one; it sees their bytes and no path."""

from __future__ import annotations

from importlib import import_module
from typing import Any, BinaryIO

from bench.documents import parse_json, parse_toml, text_of
from bench.errors import BenchError
from bench.garbage import collect_rarely
from bench.sandbox.messages import read_exactly, read_message, serve, write_message


def work(requests: BinaryIO, answers: BinaryIO) -> None:
    """Answer requests until there are no more: a function, its arguments, and the bytes of a file."""
    collect_rarely()
    while True:
        request, _ = read_message(requests)
        data = read_exactly(requests, request["bytes"])
        document: bytes = b""
        arrays: dict[str, Any] = {}
        header: dict[str, Any]
        try:
            plain, arrays, document = _named(request["function"])(data, **request["arguments"])
            header = {"answer": plain, "bytes": len(document)}
        except BenchError as error:
            header = {"problems": [p.as_dict() for p in error.problems], "exit_code": error.exit_code}
        del data
        write_message(answers, header, arrays, flush=False)
        answers.write(document)
        answers.flush()


def _named(name: str) -> Any:
    """Find a function or class by its name, ``module:name``."""
    module, _, inner = name.partition(":")
    return getattr(import_module(module), inner)


def document(
    data: bytes, *, model: str, code: str, where: str, toml: bool
) -> tuple[dict[str, Any], dict[str, Any], bytes]:
    """Read and validate a document; it is answered as JSON with the fields that the file sets."""
    kind = _named(model)
    if toml:
        parsed = parse_toml(kind, text_of(data, code, where), code, where)
    else:
        parsed = parse_json(kind, data, code, where)
    return {}, {}, parsed.model_dump_json(by_alias=True, exclude_unset=True).encode()


if __name__ == "__main__":
    serve(work)
