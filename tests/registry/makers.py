"""Makers of numbers that pass their check characters, and of the proofs that a key is in hand."""

from typing import Any

from parts import FixedClock

from hub.formats import jws
from hub.formats.identifiers import credit_check_character, resident_check_character
from keys.signer import LocalSigner

AUDIENCE = "https://hub.example"


def resident(number: int, born: str = "19900307") -> str:
    body = f"441900{born}{number:03d}"
    return body + resident_check_character(body)


def credit(number: int) -> str:
    body = f"11441900{number:09d}"
    return body + credit_check_character(body)


def key_proof(
    signer: LocalSigner,
    purpose: str,
    clock: FixedClock,
    *,
    department: str = "dg-edu",
    code_sha256: str | None = None,
    **other: Any,
) -> str:
    said: dict[str, Any] = {
        "aud": AUDIENCE,
        "department": department,
        "purpose": purpose,
        "iat": int(clock().timestamp()),
    }
    if code_sha256 is not None:
        said["code_sha256"] = code_sha256
    return jws.sign({**said, **other}, signer, typ="yimen-key-proof+jwt")


def rotation_proof(
    signer: LocalSigner,
    purpose: str,
    next_kid: str,
    clock: FixedClock,
    *,
    department: str = "dg-edu",
    **other: Any,
) -> str:
    said = {
        "aud": AUDIENCE,
        "department": department,
        "purpose": purpose,
        "next_kid": next_kid,
        "iat": int(clock().timestamp()),
    }
    return jws.sign({**said, **other}, signer, typ="yimen-key-rotation+jwt")
