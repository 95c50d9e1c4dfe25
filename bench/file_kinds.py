"""Kinds of files that are neither CSV nor Parquet, recognised by content."""

from __future__ import annotations

from dataclasses import dataclass

_EXPORT = "Export the table as plain CSV (UTF-8) or Parquet."
_UNPACK = "Unpack it, and use the file in it."
_UTF8 = "Save it as UTF-8; spreadsheet programs call it CSV UTF-8. By command: iconv -f {} -t UTF-8."


@dataclass(frozen=True, slots=True)
class FileKind:
    """A kind of file that is not read.

    Attributes:
        name: With its article, for a message: "It is a zip archive".
        remedy: How to get a file that is read.
    """

    name: str
    remedy: str = _EXPORT


def utf8_remedy(encoding: str) -> str:
    """Tell how to convert a text of another encoding to UTF-8."""
    return _UTF8.format(encoding)


_KINDS: dict[bytes, FileKind] = {
    b"\xff\xfe\x00\x00": FileKind("UTF-32 text", utf8_remedy("UTF-32")),
    b"\x00\x00\xfe\xff": FileKind("UTF-32 text", utf8_remedy("UTF-32")),
    b"\xff\xfe": FileKind("UTF-16 text", utf8_remedy("UTF-16")),
    b"\xfe\xff": FileKind("UTF-16 text", utf8_remedy("UTF-16")),
    b"\x1f\x8b": FileKind("a gzip file within a gzip file", "Unpack it once: `gunzip FILE`."),
    b"PK\x03\x04": FileKind("a zip archive or spreadsheet"),
    b"\xd0\xcf\x11\xe0": FileKind("an old spreadsheet (.xls)"),
    b"BZh": FileKind("a bzip2 file", _UNPACK),
    b"\xfd7zX": FileKind("an xz file", _UNPACK),
    b"\x28\xb5\x2f\xfd": FileKind("a zstd file", _UNPACK),
    b"\x04\x22\x4d\x18": FileKind("an lz4 file", _UNPACK),
    b"7z\xbc\xaf": FileKind("a 7z archive", _UNPACK),
    b"Rar!": FileKind("a rar archive", _UNPACK),
    b"ARROW1": FileKind("a Feather (Arrow) file"),
    b"FEA1": FileKind("a Feather file"),
    b"\xff\xff\xff\xff": FileKind("an Arrow stream"),
    b"ORC": FileKind("an ORC file"),
    b"Obj\x01": FileKind("an Avro file"),
    b"\x89HDF": FileKind("an HDF5 file"),
    b"\x93NUM": FileKind("a numpy file"),
    b"SQLite format 3": FileKind("an SQLite database"),
    b"MATLAB ": FileKind("a MATLAB file"),
    b"RDX": FileKind("an R data file"),
    b"<stata_dta": FileKind("a Stata file"),
    b"$FL2": FileKind("an SPSS file"),
    b"\x80\x02": FileKind("a Python pickle"),
    b"\x80\x03": FileKind("a Python pickle"),
    b"\x80\x04": FileKind("a Python pickle"),
    b"\x80\x05": FileKind("a Python pickle"),
    b"%PDF": FileKind("a PDF"),
    b"{\\rtf": FileKind("a text document (RTF)"),
    b"version https://git-lfs": FileKind(
        "a Git LFS pointer in place of the file", "Run `git lfs pull` in its folder."
    ),
    b"{": FileKind("JSON"),
    b"[": FileKind("JSON"),
    b"<": FileKind("HTML or XML, perhaps the page of a login", "Download the file again, logged in."),
}
"""First bytes → kind; where one beginning begins with another, the longer one stands first."""


def other_kind(data: bytes) -> FileKind | None:
    """Identify a file that is neither CSV nor Parquet; None if it may be one of them.

    Args:
        data: The file's content, or its first 4,096 bytes.
    """
    sample = data[:4096].removeprefix(b"\xef\xbb\xbf")
    if sample.startswith(b"PAR1"):
        return None
    binary = any(byte < 9 for byte in sample) or not sample.isascii()
    for magic, kind in _KINDS.items():
        start = sample.lstrip() if magic in (b"{", b"[", b"<") else sample
        if start.startswith(magic) and (binary or not magic.isalnum()):  # "ORC" may be the name of a column
            return kind
    if data[257:262] == b"ustar":
        return FileKind("a tar archive", _UNPACK)
    encoding = _wide_encoding(sample)
    if encoding:
        return FileKind(f"{encoding[:6]} text without a byte order mark", utf8_remedy(encoding))
    return None


GZIP = "a gzip file"


def kind_instead_of_text(data: bytes) -> str:
    """Name what a file holds in place of JSON or TOML, with its article; empty where it is not known."""
    if not data.strip():
        return "an empty file"
    if data.startswith(b"\x1f\x8b"):
        return GZIP
    if data.startswith(b"PAR1"):
        return "a Parquet file"
    kind = other_kind(data)
    return "" if kind is None or kind.name == "JSON" else kind.name


_EMPTY_BYTES = {"UTF-32LE": (1, 2, 3), "UTF-32BE": (0, 1, 2), "UTF-16LE": (1, 3), "UTF-16BE": (0, 2)}
"""Encoding → bytes of every four that are zero in Latin text."""


def _wide_encoding(sample: bytes) -> str:
    """Return the encoding of text with two or four bytes a character: Latin letters leave the others zero."""
    quarter = len(sample) // 4
    if not quarter:
        return ""
    zero = [sample[offset : 4 * quarter : 4].count(0) / quarter for offset in range(4)]
    for encoding, empty in _EMPTY_BYTES.items():
        filled = [zero[offset] for offset in range(4) if offset not in empty]
        if min(zero[offset] for offset in empty) > 0.25 and max(filled) < 0.05:
            return encoding
    return ""
