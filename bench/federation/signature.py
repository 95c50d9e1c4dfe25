"""Signed statements: an in-toto statement in a DSSE envelope, signed with ed25519, without any service.

Formats: in-toto Attestation Framework, Statement v1 (https://in-toto.io/Statement/v1); DSSE v1,
https://github.com/secure-systems-lab/dsse. Keys are PEM files; the public key is named by the SHA-256 of its
32 bytes.
"""

from __future__ import annotations

import base64
import binascii
import os
import re
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field

from bench.documents import Document, parse, read_bytes
from bench.errors import EXIT_ENVIRONMENT, BenchError, Problem
from bench.files import canonical_json, sha256_bytes, write_atomic
from bench.sandbox.reader import parse_in_sandbox, read_document

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
KEY_BYTES = 32


def _public_key(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9+/]{43}=", text):
        raise ValueError("this is no public key, which has 44 characters as `bench keygen` prints it")
    return text


PublicKey = Annotated[str, AfterValidator(_public_key)]
"""An ed25519 public key, base64."""


class Signature(Document):
    """One signature of an envelope."""

    keyid: str = Field(description="SHA-256 of the public key's 32 bytes.")
    sig: str = Field(description="Signature, base64.")


class Envelope(Document):
    """DSSE envelope; the signature covers the payload's type and bytes."""

    payloadType: Literal["application/vnd.in-toto+json"]  # noqa: N815
    payload: str = Field(description="The statement, base64.")
    signatures: tuple[Signature, ...] = Field(min_length=1, max_length=1)


class Subject(Document):
    """A file that a statement is about, by its hash."""

    name: str
    digest: dict[Literal["sha256"], Annotated[str, Field(pattern="^[0-9a-f]{64}$")]]


class Statement(Document):
    """In-toto statement; `predicate` is the statement about the subjects."""

    type_: Literal["https://in-toto.io/Statement/v1"] = Field(alias="_type")
    subject: tuple[Subject, ...] = Field(min_length=1)
    predicateType: str  # noqa: N815
    predicate: dict[str, Any]


def _ed25519() -> ModuleType:
    try:
        from cryptography.hazmat.primitives.asymmetric import ed25519
    except ImportError as error:
        message = "Signing and checking signatures need the package cryptography."
        raise BenchError(Problem("sign-extra-missing", message), EXIT_ENVIRONMENT) from error
    return ed25519


def _encoded(signed: str, payload: bytes) -> bytes:
    """The bytes that are signed: DSSE's pre-authentication encoding."""
    return b" ".join(
        [b"DSSEv1", str(len(signed)).encode(), signed.encode(), str(len(payload)).encode(), payload]
    )


def key_id(public: str) -> str:
    """SHA-256 of a public key given in base64."""
    return sha256_bytes(base64.b64decode(public))


def new_key(path: Path) -> str:
    """Make a key pair and write the private key, readable by its owner only.

    Returns:
        The public key, base64.

    Raises:
        BenchError: The file exists (``sign-key-exists``), or the extra ``sign`` is not installed.
    """
    key = _ed25519().Ed25519PrivateKey.generate()
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError as error:
        message = "There is such a file; a private key is never overwritten."
        raise BenchError(Problem("sign-key-exists", message, where=str(path))) from error
    with os.fdopen(descriptor, "wb") as file:
        file.write(_pem(key))
        file.flush()
        os.fsync(file.fileno())
    return _public(key)


def _pem(key: Any) -> bytes:
    from cryptography.hazmat.primitives import serialization

    return bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )


def _public(key: Any) -> str:
    return base64.b64encode(key.public_key().public_bytes_raw()).decode()


def read_key(path: Path) -> Any:
    """Read a private key.

    Raises:
        BenchError: It cannot be read or is no ed25519 key (``sign-key-invalid``).
    """
    ed25519 = _ed25519()
    from cryptography.hazmat.primitives.serialization import load_pem_private_key

    data = read_bytes(path, "sign-key-invalid")
    try:
        key = load_pem_private_key(data, None)
    except (ValueError, TypeError) as error:
        message = "This is not a private key in PEM without a password."
        if b"PUBLIC KEY" in data:
            message = "This is a public key; the private one signs."
        elif b"ENCRYPTED" in data:
            message = "This private key has a password, which nobody can be asked for here."
        raise BenchError(Problem("sign-key-invalid", message, where=str(path))) from error
    if not isinstance(key, ed25519.Ed25519PrivateKey):
        raise BenchError(Problem("sign-key-invalid", "This is not an ed25519 key.", where=str(path)))
    return key


def write_statement(
    path: Path, subjects: dict[str, str], predicate_type: str, predicate: dict[str, Any], key: Any
) -> str:
    """Sign a statement and write its envelope.

    Args:
        path: The file.
        subjects: Name → SHA-256 of what the statement is about.
        predicate_type: Address that names the kind of predicate.
        predicate: The statement about the subjects.
        key: Private key, see `read_key`.

    Returns:
        The public key, base64.
    """
    statement = Statement.model_validate(
        {
            "_type": STATEMENT_TYPE,
            "subject": tuple({"name": n, "digest": {"sha256": s}} for n, s in sorted(subjects.items())),
            "predicateType": predicate_type,
            "predicate": predicate,
        }
    )
    payload, public = canonical_json(statement.plain()), _public(key)
    signature = base64.b64encode(key.sign(_encoded(PAYLOAD_TYPE, payload))).decode()
    envelope = {
        "payloadType": PAYLOAD_TYPE,
        "payload": base64.b64encode(payload).decode(),
        "signatures": [{"keyid": key_id(public), "sig": signature}],
    }
    write_atomic(path, canonical_json(envelope))
    return public


def read_statement(path: Path, predicate_type: str, trusted: dict[str, str]) -> tuple[Statement, str]:
    """Read a signed statement in the sandboxed worker; its content is parsed only if the signature holds.

    Args:
        path: File of the envelope.
        predicate_type: The kind of predicate that is expected.
        trusted: Signer → public key, base64.

    Returns:
        The statement, and the signer.

    Raises:
        BenchError: The file is no envelope or no such statement (``statement-invalid``), its key is not
            trusted (``signer-unknown``), or the signature does not fit the content (``signature-invalid``).
    """
    ed25519 = _ed25519()
    from cryptography.exceptions import InvalidSignature

    where = str(path)
    envelope, _ = read_document(Envelope, path, "statement-invalid")
    signature = envelope.signatures[0]
    signers = {key_id(public): (name, public) for name, public in trusted.items()}
    if signature.keyid not in signers:
        message = (
            f"It is signed with the key {signature.keyid[:12]}…, which none of {len(trusted)} sites has."
        )
        raise BenchError(Problem("signer-unknown", message, where))
    name, public = signers[signature.keyid]
    try:
        payload = base64.b64decode(envelope.payload, validate=True)
        signed = base64.b64decode(signature.sig, validate=True)
        canonical = (base64.b64encode(payload).decode(), base64.b64encode(signed).decode())
        if canonical != (envelope.payload, signature.sig):
            raise InvalidSignature  # bits that base64 ignores
        key = ed25519.Ed25519PublicKey.from_public_bytes(base64.b64decode(public))
        key.verify(signed, _encoded(envelope.payloadType, payload))
    except (InvalidSignature, binascii.Error, ValueError) as error:
        message = f"The signature does not fit the content and the key of {name!r}."
        raise BenchError(Problem("signature-invalid", message, where)) from error
    statement = parse_in_sandbox(Statement, payload, "statement-invalid", where)
    if statement.predicateType != predicate_type:
        message = f"It states {statement.predicateType[:100]!r}, not {predicate_type!r}."
        raise BenchError(Problem("statement-invalid", message, where))
    return statement, name


def parse_predicate(model: Any, statement: Statement, where: str) -> Any:
    """Validate a statement's predicate as a document; errors as ``statement-invalid``."""
    return parse(model, statement.predicate, "statement-invalid", where)
