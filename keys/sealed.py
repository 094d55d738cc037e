"""Bytes sealed under a passphrase: scrypt (RFC 7914) for the key, AES-256-GCM for the content."""

import secrets
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.kdf.scrypt import Scrypt

from keys.errors import KeyFault

_MAGIC = b"yimen-sealed-1\n"
_SALT, _NONCE, _TAG = 16, 12, 16
# 32 MiB and about a tenth of a second for each guess. Part of the format: other costs need another magic.
_COST = {"n": 2**15, "r": 8, "p": 1}


def passphrase_bytes(passphrase: str | bytes) -> bytes:
    """The passphrase as bytes (UTF-8); `KeyFault` when it is empty."""
    raw = passphrase.encode("utf-8") if isinstance(passphrase, str) else bytes(passphrase)
    if not raw:
        raise KeyFault("key.passphrase_empty", "密钥口令为空", "the passphrase is empty")
    return raw


def seal(data: bytes, *, passphrase: bytes, name: str) -> bytes:
    """`data` under the passphrase, bound to `name`: a sealed file cannot stand in for another one."""
    salt, nonce = secrets.token_bytes(_SALT), secrets.token_bytes(_NONCE)
    head = _MAGIC + salt + nonce
    return head + _cipher(passphrase, salt).encrypt(nonce, data, head + name.encode("utf-8"))


def unseal(blob: bytes, *, passphrase: bytes, name: str) -> bytes:
    """What was sealed; `KeyFault` when it is cut short, or changed, or the passphrase or the name is another."""
    start = len(_MAGIC) + _SALT + _NONCE
    if not blob.startswith(_MAGIC) or len(blob) < start + _TAG:
        raise KeyFault("key.damaged", "密封文件已损坏", "the sealed file is damaged")
    head, salt, nonce = blob[:start], blob[len(_MAGIC) : start - _NONCE], blob[start - _NONCE : start]
    try:
        return _cipher(passphrase, salt).decrypt(nonce, blob[start:], head + name.encode("utf-8"))
    except InvalidTag as fault:
        raise KeyFault(
            "key.passphrase", "口令错误或密封文件已损坏", "wrong passphrase, or the sealed file is damaged"
        ) from fault


@lru_cache(maxsize=64)  # who holds the passphrase in memory may as well hold what it comes to
def _cipher(passphrase: bytes, salt: bytes) -> AESGCM:
    return AESGCM(Scrypt(salt=salt, length=32, **_COST).derive(passphrase))
