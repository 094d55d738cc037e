"""Key binding: for this verifier, this challenge, these disclosures, just now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError, Malformed, Unprocessable
from hub.formats import jws, keybinding, sdjwt
from hub.formats.sdjwt import SD
from keys.signer import generate

KEY, HOLDER = generate(), generate()
NOW = 1_790_000_000
AUD, NONCE = "x509_hash:verifier", "nonce"
CLAIMS = {
    "iss": "https://hub.example/dept/dg-edu",
    "vct": "urn:yimen:certificate:degree:1",
    "exp": NOW + 10_000,
    "cnf": {"jwk": HOLDER.public.jwk},
    "level": SD("bachelor"),
    "major": SD("math"),
}
TOKEN = sdjwt.issue(CLAIMS, signer=KEY)
DATA = ["eyJ0eXBlIjoieCJ9", "eyJ0eXBlIjoieSJ9"]


def present(token: str = TOKEN, **changes):
    options = {"signer": HOLDER, "aud": AUD, "nonce": NONCE, "now": NOW} | changes
    return keybinding.make(token, **options)


def verify(token: str, **changes):
    options = {"key": KEY.public, "now": NOW, "aud": AUD, "nonce": NONCE} | changes
    return keybinding.verify(token, **options)


def code(token: str, kind: type[HubError] = Malformed, **changes) -> str:
    with pytest.raises(kind) as fault:
        verify(token, **changes)
    return fault.value.code


def test_round_trip():
    found, bound = verify(present())
    assert found.payload["level"] == "bachelor"
    assert bound == keybinding.KeyBinding(HOLDER.kid, AUD, NONCE, NOW)


@given(st.text(min_size=1, max_size=20), st.text(min_size=1, max_size=20))
def test_round_trip_for_any_audience_and_nonce(aud, nonce):
    if all(c not in aud + nonce for c in "\0") and (aud + nonce).isprintable():
        assert verify(present(aud=aud, nonce=nonce), aud=aud, nonce=nonce)[1].nonce == nonce


def test_missing():
    assert code(TOKEN) == "sdjwt.kb_missing"


def test_by_another_key():
    assert code(present(signer=generate())) == "jws.signature"
    assert code(present(signer=generate("EdDSA"))) == "jws.alg"


def test_by_the_issuer_instead_of_the_holder():
    assert code(present(signer=KEY)) == "jws.signature"


@pytest.mark.parametrize("age", [301, 86_400, 365 * 86_400])
def test_old(age):
    assert code(present(now=NOW - age), Unprocessable) == "keybinding.old"


def test_ahead():
    assert verify(present(now=NOW + 30))
    assert code(present(now=NOW + 31), Unprocessable) == "keybinding.old"
    assert verify(present(now=NOW - 300))


@pytest.mark.parametrize("aud", ["verifier", "x509_hash:verifieR", "", ["x509_hash:verifier"], None])
def test_for_another_verifier(aud):
    assert code(present(aud=aud)) == "keybinding.aud"


@pytest.mark.parametrize("nonce", ["other", "", None, 5])
def test_for_another_challenge(nonce):
    assert code(present(nonce=nonce)) == "keybinding.nonce"


def test_over_other_disclosures():
    """A binding made for little cannot be carried over to more, or to less."""
    kb = present(sdjwt.select(TOKEN, [("level",)])).rpartition("~")[2]
    assert code(TOKEN + kb) == "keybinding.sd_hash"
    whole = present().rpartition("~")[2]
    assert code(sdjwt.select(TOKEN, [("level",)]) + whole) == "keybinding.sd_hash"


def test_over_another_certificate():
    other = sdjwt.issue(CLAIMS, signer=KEY)
    assert code(other + present().rpartition("~")[2]) == "keybinding.sd_hash"


@pytest.mark.parametrize("typ", ["JWT", "kb+JWT", "dpop+jwt", "at+jwt"])
def test_of_another_type(typ):
    kb = jws.sign({"iat": NOW, "aud": AUD, "nonce": NONCE, "sd_hash": "x"}, HOLDER, typ=typ)
    assert code(TOKEN + kb) == "jws.typ"


@pytest.mark.parametrize("gone", ["iat", "aud", "nonce", "sd_hash"])
def test_incomplete(gone):
    kb = jws.split(present().rpartition("~")[2]).payload
    del kb[gone]
    assert code(TOKEN + jws.sign(kb, HOLDER, typ="kb+jwt")) == f"keybinding.{gone}"


@pytest.mark.parametrize("iat", [True, 1.5, "1", None])
def test_time_of_another_type(iat):
    kb = jws.split(present().rpartition("~")[2]).payload | {"iat": iat}
    assert code(TOKEN + jws.sign(kb, HOLDER, typ="kb+jwt")) == "jwt.time"


def test_key_with_a_private_member_in_cnf():
    token = sdjwt.issue(CLAIMS | {"cnf": {"jwk": HOLDER.public.jwk | {"d": "x"}}}, signer=KEY)
    assert code(present(token)) == "key.private_member"


def test_foreign_kid_in_the_header_is_of_no_account():
    payload = jws.split(present().rpartition("~")[2]).payload
    header = {"alg": "ES256", "typ": "kb+jwt", "kid": "wallet-key-1"}
    import orjson

    assert verify(TOKEN + jws.sign_bytes(orjson.dumps(payload), HOLDER, header))


def test_transaction_data():
    token = present(transaction_data=DATA)
    assert verify(token, transaction_data=DATA)
    assert verify(token)
    assert code(token, transaction_data=DATA[:1]) == "keybinding.transaction_data"
    assert code(token, transaction_data=DATA[::-1]) == "keybinding.transaction_data"
    assert code(present(), transaction_data=DATA) == "keybinding.transaction_data"


def test_transaction_data_under_another_hash():
    payload = jws.split(present(transaction_data=DATA).rpartition("~")[2]).payload
    token = TOKEN + jws.sign(payload | {"transaction_data_hashes_alg": "sha-512"}, HOLDER, typ="kb+jwt")
    assert code(token, transaction_data=DATA) == "keybinding.transaction_data"


def test_certificate_is_judged_first():
    assert code(present(), Unprocessable, now=NOW + 20_000) == "jwt.expired"
    assert code(present(), key=generate().public) in ("jws.kid_other", "jws.signature")
    with pytest.raises(Malformed, match=r"keybinding\.missing"):
        keybinding.check(sdjwt.parse(TOKEN), holder=HOLDER.public, now=NOW, aud=AUD, nonce=NONCE)


BOUND = present()


@given(st.integers(0, len(BOUND) - 1), st.integers(1, 127))
def test_any_changed_character_fails(position, flip):
    bad = BOUND[:position] + chr(ord(BOUND[position]) ^ flip) + BOUND[position + 1 :]
    with pytest.raises((HubError, LookupError)):
        # `kid` of the key binding is not looked at, but it is under the signature like the rest
        verify(bad, key=lambda kid: {KEY.kid: KEY.public}[kid])
