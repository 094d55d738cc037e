"""Public keys: what is accepted, what is refused, and that each key has one name."""

import json

import pytest
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.hashes import SHA256
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from keys import base64url
from keys.errors import KeyFault
from keys.public import _ED25519_P, _ED25519_WEAK_Y, PublicKey, thumbprint
from keys.signer import generate

EC = generate("ES256")
ED = generate("EdDSA")
X = EC.public.jwk["x"]


@pytest.mark.parametrize("signer", [EC, ED], ids=["ES256", "EdDSA"])
def test_jwk_round_trip(signer):
    again = PublicKey.from_jwk(signer.public.jwk)
    assert again == signer.public
    assert hash(again) == hash(signer.public)
    assert again.jwk == signer.public.jwk
    assert thumbprint(signer.public.jwk) == signer.kid


def test_thumbprint_is_that_of_rfc_8037():
    jwk = {"kty": "OKP", "crv": "Ed25519", "x": "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}
    assert thumbprint(jwk) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_webcrypto_members_are_accepted_and_not_written():
    jwk = EC.public.jwk | {"key_ops": ["verify"], "ext": True, "alg": "ES256", "use": "sig", "kid": "mine"}
    assert set(PublicKey.from_jwk(jwk).jwk) == {"kty", "crv", "x", "y"}


def test_pyjwt_reads_our_jwk_and_we_read_theirs():
    for signer, algorithm in ((EC, ECAlgorithm), (ED, OKPAlgorithm)):
        theirs = algorithm.from_jwk(json.dumps(signer.public.jwk))
        assert PublicKey(theirs) == signer.public


REFUSED = {
    "not an object": ["EC"],
    "no kty": {k: v for k, v in EC.public.jwk.items() if k != "kty"},
    "kty not a string": EC.public.jwk | {"kty": ["EC"]},
    "oct": {"kty": "oct", "k": "AAAA"},
    "RSA": {"kty": "RSA", "n": X, "e": "AQAB"},
    "P-384": EC.public.jwk | {"crv": "P-384"},
    "secp256k1": EC.public.jwk | {"crv": "secp256k1"},
    "X25519": ED.public.jwk | {"crv": "X25519"},
    "missing y": {k: v for k, v in EC.public.jwk.items() if k != "y"},
    "y on OKP": ED.public.jwk | {"y": X},
    "unknown member": EC.public.jwk | {"x5u": "https://evil.example"},
    "wrong alg": EC.public.jwk | {"alg": "ES384"},
    "alg of another key": EC.public.jwk | {"alg": "EdDSA"},
    "for encryption": EC.public.jwk | {"use": "enc"},
    "x is a number": EC.public.jwk | {"x": 5},
    "y is a number": EC.public.jwk | {"y": 5},
    "x padded": EC.public.jwk | {"x": X + "="},
    "x short": EC.public.jwk | {"x": base64url.encode(b"\1" * 31)},
    "x long": EC.public.jwk | {"x": base64url.encode(b"\0" + base64url.decode(X))},
    "y empty": EC.public.jwk | {"y": ""},
    "off the curve": EC.public.jwk | {"x": base64url.encode(b"\1" * 32)},
    "infinity": EC.public.jwk | {"x": base64url.encode(bytes(32)), "y": base64url.encode(bytes(32))},
    "Ed25519 x short": ED.public.jwk | {"x": base64url.encode(bytes(31))},
}


@pytest.mark.parametrize("jwk", REFUSED.values(), ids=REFUSED.keys())
def test_refused(jwk):
    with pytest.raises(KeyFault) as fault:
        PublicKey.from_jwk(jwk)
    assert fault.value.code in ("key.jwk", "key.private_member")
    assert X not in str(fault.value)


@pytest.mark.parametrize("member", ["d", "p", "q", "dp", "dq", "qi", "oth", "k"])
def test_private_member_refuses_the_whole_and_is_not_repeated(member):
    with pytest.raises(KeyFault) as fault:
        PublicKey.from_jwk(EC.public.jwk | {member: "SECRET"})
    assert fault.value.code == "key.private_member"
    assert "SECRET" not in str(fault.value) + fault.value.zh


def test_every_small_order_point_is_on_the_list():
    d = -121665 * pow(121666, -1, _ED25519_P) % _ED25519_P

    def double_y(y: int) -> int:
        xx = (y * y - 1) * pow(d * y * y + 1, -1, _ED25519_P) % _ED25519_P
        return (y * y + xx) * pow(2 + xx - y * y, -1, _ED25519_P) % _ED25519_P  # -x^2 + y^2 = 1 + d x^2 y^2

    for y in _ED25519_WEAK_Y:
        assert double_y(double_y(double_y(y))) == 1  # eight times the point is the neutral one
    assert len(_ED25519_WEAK_Y) == 5


@pytest.mark.parametrize("y", sorted(_ED25519_WEAK_Y), ids=range(5))
@pytest.mark.parametrize("sign", [0, 1])
def test_small_order_ed25519_keys_are_refused(y, sign):
    jwk = ED.public.jwk | {"x": base64url.encode((y | sign << 255).to_bytes(32, "little"))}
    with pytest.raises(KeyFault):
        PublicKey.from_jwk(jwk)


@pytest.mark.parametrize("y", [_ED25519_P, _ED25519_P + 1, 2**255 - 1])
def test_non_canonical_ed25519_keys_are_refused(y):
    """y and y + p would be two names of one key."""
    with pytest.raises(KeyFault):
        PublicKey.from_jwk(ED.public.jwk | {"x": base64url.encode(y.to_bytes(32, "little"))})


@pytest.mark.parametrize(
    "key",
    [
        ec.generate_private_key(ec.SECP384R1()).public_key(),
        rsa.generate_private_key(65537, 2048).public_key(),
        ed25519.Ed25519PrivateKey.generate(),
    ],
    ids=["P-384", "RSA", "private"],
)
def test_only_two_kinds_of_key(key):
    with pytest.raises(KeyFault):
        PublicKey(key)


def test_der_signature_is_refused():
    der = EC._key.sign(b"message", ec.ECDSA(SHA256()))
    assert not EC.public.verify(der, b"message")


@pytest.mark.parametrize("signature", [b"", bytes(64), bytes(63), bytes(65), b"\xff" * 64])
@pytest.mark.parametrize("signer", [EC, ED], ids=["ES256", "EdDSA"])
def test_impossible_signatures_are_false_and_never_raise(signer, signature):
    assert signer.public.verify(signature, b"message") is False


@given(message=st.binary(max_size=200), position=st.integers(0, 63), flip=st.integers(1, 255))
def test_any_changed_signature_byte_fails(message, position, flip):
    for signer in (EC, ED):
        signature = bytearray(signer.sign(message))
        assert signer.public.verify(bytes(signature), message)
        signature[position] ^= flip
        assert not signer.public.verify(bytes(signature), message)


def test_keys_of_other_curves_do_not_verify():
    assert not generate().public.verify(EC.sign(b"m"), b"m")
    assert not ED.public.verify(EC.sign(b"m"), b"m")


@given(st.binary(max_size=100))
def test_base64url_round_trip(data):
    assert base64url.decode(base64url.encode(data)) == data


@given(st.text(alphabet="AQgwBCDEX019-_+/= \n~.é", max_size=12))
def test_base64url_accepts_only_what_it_writes(text):
    try:
        data = base64url.decode(text)
    except ValueError:
        return
    assert base64url.encode(data) == text


@pytest.mark.parametrize(
    "text", ["A", "AA=", "AA==", "AB", "AAB", "A A", "AA\n", "A+AA", "A/AA", "AAA.", "AÄ", "=", "AA=A"]
)
def test_base64url_refuses(text):
    with pytest.raises(ValueError):  # noqa: PT011
        base64url.decode(text)
