"""The signature algorithms we know, by their JOSE names. A name that is not here does not exist for us."""

from keys.errors import KeyFault

ES256 = "ES256"
"""ECDSA on P-256 with SHA-256 (RFC 7518 section 3.4). The default everywhere."""

EDDSA = "EdDSA"
"""Ed25519 (RFC 8037 section 3.1); used where another standard asks for it."""

ALLOWED = frozenset({ES256, EDDSA})
SIGNATURE_BYTES = 64
"""Both algorithms give exactly 64 bytes: r || s, or an Ed25519 signature."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_HALF_ORDER = P256_ORDER // 2


def require_allowed(alg: str) -> str:
    """Return `alg`, or raise `KeyFault` when it is not on the allow-list."""
    if alg not in ALLOWED:
        raise KeyFault(
            "key.algorithm", "不支持的签名算法", "the signature algorithm is not on the allow-list"
        )
    return alg
