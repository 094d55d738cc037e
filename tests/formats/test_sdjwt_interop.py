"""Both directions with an independent implementation (PyPI sd-jwt), and the examples of RFC 9901 itself."""

import json
import time
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from hypothesis import given, settings
from hypothesis import strategies as st
from jwcrypto.jwk import JWK
from sd_jwt.common import SDObj
from sd_jwt.holder import SDJWTHolder
from sd_jwt.issuer import SDJWTIssuer
from sd_jwt.verifier import SDJWTVerifier

from hub.errors import Malformed, Unprocessable
from hub.formats import keybinding, sdjwt
from hub.formats.sdjwt import SD
from keys.public import PublicKey
from keys.signer import LocalSigner, generate

KEY, HOLDER = generate(), generate()
NOW = int(time.time())
AUD, NONCE = "x509_hash:abc", "nonce-1"
BASE = {
    "iss": "https://hub.example/dept/dg-edu",
    "vct": "urn:yimen:certificate:degree:1",
    "exp": NOW + 86_400,
}
RFC = json.loads((Path(__file__).parents[1] / "vectors" / "rfc9901_a3.json").read_text())


def private(signer: LocalSigner) -> JWK:
    return JWK.from_pem(signer._key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))


def public(signer: LocalSigner) -> JWK:
    return JWK(**signer.public.jwk)


OURS = BASE | {
    "holders": [{"name": SD("张三"), "id_no": SD("440101199001010017")}, {"name": SD("李四")}],
    "level": SD("bachelor"),
    "list": [SD("a"), "b", SD({"c": SD(1)})],
    "nested": SD({"deep": SD([SD(True), None])}),
    "cnf": {"jwk": HOLDER.public.jwk},
}


def test_ours_verifies_there():
    token = sdjwt.issue(OURS, signer=KEY, decoys=2)
    theirs = SDJWTVerifier(token, lambda iss, header: public(KEY)).get_verified_payload()
    assert theirs == sdjwt.claims(token)
    assert theirs["nested"] == {"deep": [True, None]}


@pytest.mark.parametrize(
    "paths", [[], [("level",)], [("holders", None, "name"), ("list", 2, "c")], [("nested", "deep", 0)]]
)
def test_our_selection_verifies_there(paths):
    part = sdjwt.select(sdjwt.issue(OURS, signer=KEY), paths)
    theirs = SDJWTVerifier(part, lambda iss, header: public(KEY)).get_verified_payload()
    assert theirs == sdjwt.verify(part, key=KEY.public, now=NOW).payload


def test_our_key_binding_verifies_there():
    part = sdjwt.select(sdjwt.issue(OURS, signer=KEY), [("level",)])
    bound = keybinding.make(part, signer=HOLDER, aud=AUD, nonce=NONCE, now=NOW)
    theirs = SDJWTVerifier(bound, lambda iss, header: public(KEY), AUD, NONCE).get_verified_payload()
    assert theirs["level"] == "bachelor"
    assert "nested" not in theirs


def issued_there(claims: dict, **header: str) -> str:
    extra = {"typ": "dc+sd-jwt", "kid": KEY.kid} | header
    return SDJWTIssuer(
        claims, private(KEY), holder_key=public(HOLDER), add_decoy_claims=True, extra_header_parameters=extra
    ).sd_jwt_issuance


THEIRS = BASE | {
    SDObj("level"): "bachelor",
    "holders": [{SDObj("name"): "张三", SDObj("id_no"): "440101199001010017"}],
    "list": [SDObj("a"), "b"],
    SDObj("nested"): {SDObj("inner"): {"plain": [1, SDObj(2)]}},
}


def test_theirs_verifies_here():
    found = sdjwt.verify(issued_there(THEIRS), key=lambda kid: {KEY.kid: KEY.public}[kid], now=NOW)
    assert found.payload["level"] == "bachelor"
    assert found.payload["holders"] == [{"name": "张三", "id_no": "440101199001010017"}]
    assert found.payload["list"] == ["a", "b"]
    assert found.payload["nested"] == {"inner": {"plain": [1, 2]}}
    assert found.kid == KEY.kid
    assert len(found.disclosed) == 7


def test_our_selection_of_theirs_verifies_here_and_there():
    part = sdjwt.select(issued_there(THEIRS), [("nested", "inner", "plain", 1), ("holders", None, "name")])
    here = sdjwt.verify(part, key=KEY.public, now=NOW).payload
    assert here == SDJWTVerifier(part, lambda iss, header: public(KEY)).get_verified_payload()
    assert here["nested"] == {"inner": {"plain": [1, 2]}}
    assert here["holders"] == [{"name": "张三"}]
    assert "level" not in here


def test_their_presentation_with_key_binding_verifies_here():
    holder = SDJWTHolder(issued_there(THEIRS))
    holder.create_presentation({"level": True}, NONCE, AUD, private(HOLDER))
    found, bound = keybinding.verify(
        # their key binding says the time of this moment, not of when this file was collected
        holder.sd_jwt_presentation, key=KEY.public, now=int(time.time()), aud=AUD, nonce=NONCE
    )
    assert found.payload["level"] == "bachelor"
    assert "nested" not in found.payload
    assert bound.jkt == HOLDER.kid


def test_what_they_let_through_we_refuse():
    """The list of standards section 2, run against the library that lets it through."""
    expired = issued_there(BASE | {"exp": NOW - 1000})
    wrong_type = issued_there(THEIRS, typ="JWT")
    without = issued_there({k: v for k, v in THEIRS.items() if k != "vct"})
    hidden_exp = issued_there({SDObj(k) if k == "exp" else k: v for k, v in BASE.items()})
    stray = issued_there(THEIRS) + sdjwt.parse(sdjwt.issue(OURS, signer=KEY)).disclosures[0] + "~"
    for token in (expired, wrong_type, without, hidden_exp, stray):
        SDJWTVerifier(token, lambda iss, header: public(KEY)).get_verified_payload()  # no complaint there
        with pytest.raises((Malformed, Unprocessable)):
            sdjwt.verify(token, key=KEY.public, now=NOW)


names = st.text("abcdef名", min_size=1, max_size=4)
scalars = st.booleans() | st.integers(-1000, 1000) | st.text(max_size=4).filter(lambda t: "\0" not in t)


@given(st.dictionaries(names, scalars | st.lists(scalars, max_size=3), max_size=4), st.data())
@settings(max_examples=30)
def test_any_flat_claims_agree_in_both_directions(claims, data):
    hidden = data.draw(st.sets(st.sampled_from(sorted(claims)))) if claims else set()
    ours = sdjwt.issue(BASE | claims, signer=KEY, disclose=[(n,) for n in hidden])
    theirs = issued_there(BASE | {SDObj(k) if k in hidden else k: v for k, v in claims.items()})
    there = SDJWTVerifier(ours, lambda iss, header: public(KEY)).get_verified_payload()
    here = sdjwt.verify(theirs, key=KEY.public, now=NOW).payload
    assert there == BASE | claims
    assert here == BASE | claims | {"cnf": {"jwk": here["cnf"]["jwk"]}}


# ---------------------------------------------------------------- the examples of the RFC


ISSUER = PublicKey.from_jwk(RFC["issuer_jwk"])
ISSUED = "~".join([RFC["issuer_jwt"], *RFC["disclosures"], ""])
PRESENTED = "~".join([RFC["issuer_jwt"], *RFC["presented"], RFC["kb_jwt"]])


def test_rfc_9901_issued_example():
    found = sdjwt.verify(ISSUED, key=ISSUER, now=RFC["kb_iat"]).payload
    assert found["address"] == {
        "street_address": "Heidestraße 17", "locality": "Köln", "postal_code": "51147", "country": "DE",
    }  # fmt: skip
    assert found["age_equal_or_over"] == {
        "12": True,
        "14": True,
        "16": True,
        "18": True,
        "21": True,
        "65": False,
    }
    assert len(sdjwt.paths(ISSUED)) == 27


def test_rfc_9901_presentation_with_key_binding():
    found, bound = keybinding.verify(
        PRESENTED, key=ISSUER, now=RFC["kb_iat"] + 5, aud=RFC["aud"], nonce=RFC["nonce"]
    )
    assert {k: v for k, v in found.payload.items() if k not in ("iss", "iat", "exp", "vct", "cnf")} == {
        "age_equal_or_over": {"18": True},
        "nationalities": ["DE"],
    }
    assert bound.iat == RFC["kb_iat"]


def test_rfc_9901_presentation_is_what_select_makes():
    part = sdjwt.parse(sdjwt.select(ISSUED, [("age_equal_or_over", "18"), ("nationalities",)]))
    assert set(part.disclosures) == set(RFC["presented"])


def test_rfc_9901_presentation_is_not_for_another_time():
    with pytest.raises(Unprocessable):
        keybinding.verify(PRESENTED, key=ISSUER, now=NOW, aud=RFC["aud"], nonce=RFC["nonce"])


@pytest.mark.parametrize(
    ("disclosure", "digest"),
    [
        ("WyIyR0xDNDJzS1F2ZUNmR2ZyeU5STjl3IiwgImdpdmVuX25hbWUiLCAiSm9obiJd",
         "jsu9yVulwQQlhFlM_3JlzMaSFzglhQG0DpfayQwLUK4"),
        ("WyJfMjZiYzRMVC1hYzZxMktJNmNCVzVlcyIsICJmYW1pbHlfbmFtZSIsICJNw7ZiaXVzIl0",
         "X9yH0Ajrdm1Oij4tWso9UzzKJvPoDxwmuEcO3XAdRC0"),
    ],
    ids=["section 5.1", "section 4.2.3"],
)  # fmt: skip
def test_rfc_9901_digests(disclosure, digest):
    payload, used = sdjwt.process({"_sd": [digest]}, [disclosure])
    assert list(used.values()) == [disclosure]
    assert payload in ({"given_name": "John"}, {"family_name": "Möbius"})
