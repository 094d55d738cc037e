"""Signers: low s, fixed length, nothing secret in their repr."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jwt.algorithms import ECAlgorithm, OKPAlgorithm

from keys.algorithms import ALLOWED, P256_HALF_ORDER, P256_ORDER
from keys.errors import KeyFault
from keys.signer import LocalSigner, Signer, generate

EC = generate("ES256")
ED = generate("EdDSA")


@given(st.binary(max_size=300))
def test_es256_signatures_have_low_s_and_64_bytes(message):
    signature = EC.sign(message)
    assert len(signature) == 64
    assert 0 < int.from_bytes(signature[32:], "big") <= P256_HALF_ORDER


def test_high_s_of_others_still_verifies():
    """An HSM may not normalise; a certificate is known by its signing input, so that does no harm."""
    signature = EC.sign(b"m")
    high = P256_ORDER - int.from_bytes(signature[32:], "big")
    assert EC.public.verify(signature[:32] + high.to_bytes(32, "big"), b"m")


@given(st.binary(max_size=300))
def test_pyjwt_verifies_what_we_sign(message):
    assert ECAlgorithm(ECAlgorithm.SHA256).verify(message, EC._key.public_key(), EC.sign(message))
    assert OKPAlgorithm().verify(message, ED._key.public_key(), ED.sign(message))


@given(st.binary(max_size=300))
def test_we_verify_what_pyjwt_signs(message):
    assert EC.public.verify(ECAlgorithm(ECAlgorithm.SHA256).sign(message, EC._key), message)


@pytest.mark.parametrize("alg", ["none", "HS256", "RS256", "ES384", "es256", "", "SM2"])
def test_unknown_algorithms_are_refused(alg):
    with pytest.raises(KeyFault):
        generate(alg)


def test_allow_list():
    assert frozenset({"ES256", "EdDSA"}) == ALLOWED


def test_repr_shows_the_public_half_only():
    secret = EC._key.private_numbers().private_value
    assert EC.kid in repr(EC)
    assert str(secret) not in repr(EC)
    assert f"{secret:x}" not in repr(EC)


def test_a_local_signer_is_a_signer():
    signer: Signer = EC
    assert (signer.alg, signer.kid) == ("ES256", signer.public.kid)
    with pytest.raises(KeyFault):
        LocalSigner(EC.public)  # type: ignore[arg-type]
