"""What can sign. Functions that take a `Signer` sign; nothing else does."""

from typing import Protocol

from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.hazmat.primitives.hashes import SHA256

from keys.algorithms import EDDSA, P256_HALF_ORDER, P256_ORDER, require_allowed
from keys.errors import KeyFault
from keys.public import P256, PublicKey

PrivateKey = ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey
_ECDSA = ec.ECDSA(SHA256())


class Signer(Protocol):
    """One private key, wherever it lives (memory, a file, later an HSM)."""

    @property
    def alg(self) -> str:
        """The JOSE name of the algorithm."""
        ...

    @property
    def kid(self) -> str:
        """The RFC 7638 thumbprint of the public key."""
        ...

    @property
    def public(self) -> PublicKey:
        """The public half."""
        ...

    def sign(self, message: bytes) -> bytes:
        """64 bytes: r || s with low s for ES256, the plain signature for EdDSA."""
        ...


class LocalSigner:
    """A private key in this process's memory. Its `repr` shows the public half only."""

    __slots__ = ("_key", "alg", "kid", "public")

    alg: str
    kid: str
    public: PublicKey

    def __init__(self, private_key: PrivateKey) -> None:
        if not isinstance(private_key, ec.EllipticCurvePrivateKey | ed25519.Ed25519PrivateKey):
            raise KeyFault("key.algorithm", "不支持的密钥类型", "the key type is not supported")
        self._key = private_key
        self.public = PublicKey(private_key.public_key())
        self.alg = self.public.alg
        self.kid = self.public.kid

    def sign(self, message: bytes) -> bytes:
        """Sign `message` (hashed by the algorithm itself); see `Signer.sign`."""
        if isinstance(self._key, ed25519.Ed25519PrivateKey):
            return self._key.sign(message)
        r, s = decode_dss_signature(self._key.sign(message, _ECDSA))
        if s > P256_HALF_ORDER:  # (r, n - s) verifies too: always write the lower of the two
            s = P256_ORDER - s
        return r.to_bytes(32, "big") + s.to_bytes(32, "big")

    def __repr__(self) -> str:
        return f"{type(self).__name__}(alg={self.alg!r}, kid={self.kid!r})"


def new_private_key(alg: str) -> PrivateKey:
    """A fresh private key for an allowed algorithm; `KeyFault` for any other name."""
    if require_allowed(alg) == EDDSA:
        return ed25519.Ed25519PrivateKey.generate()
    return ec.generate_private_key(P256)


def generate(alg: str = "ES256") -> LocalSigner:
    """A signer over a fresh key that exists in memory only."""
    return LocalSigner(new_private_key(alg))
