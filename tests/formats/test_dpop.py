"""DPoP: this key, this method, this URI, this token, now."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError, Malformed, TooLarge, Unprocessable
from hub.formats import dpop, jws
from keys.signer import generate

KEY = generate()
NOW = 1_790_000_000
HTU = "https://hub.example/v1/verifications"
TOKEN = "eyJ.access.token"


def prove(**changes) -> str:
    options = {"htm": "POST", "htu": HTU, "now": NOW} | changes
    return dpop.prove(options.pop("signer", KEY), **options)


def check(proof: str, **changes) -> dpop.Proof:
    return dpop.check(proof, **({"htm": "POST", "htu": HTU, "now": NOW} | changes))


def code(proof: str, kind: type[HubError] = Malformed, **changes) -> str:
    with pytest.raises(kind) as fault:
        check(proof, **changes)
    return fault.value.code


def code_of(call) -> str:
    with pytest.raises(Malformed) as fault:
        call()
    return fault.value.code


def forged(header: dict | None = None, signer=KEY, **changes) -> str:
    import orjson

    payload = {k: v for k, v in (jws.split(prove()).payload | changes).items() if v is not ...}
    whole = {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public.jwk} | (header or {})
    return jws.sign_bytes(orjson.dumps(payload), signer, {k: v for k, v in whole.items() if v is not ...})


def test_round_trip():
    found = check(prove(access_token=TOKEN), access_token=TOKEN)
    assert (found.jkt, found.key, found.iat, found.htu) == (KEY.kid, KEY.public, NOW, HTU)
    assert found.expires == NOW + 90
    assert found.jti != check(prove()).jti


def test_nothing_private_and_no_kid_in_the_header():
    assert jws.split(prove()).header == {"typ": "dpop+jwt", "alg": "ES256", "jwk": KEY.public.jwk}


def test_example_of_rfc_9449_section_4():
    proof = (
        "eyJ0eXAiOiJkcG9wK2p3dCIsImFsZyI6IkVTMjU2IiwiandrIjp7Imt0eSI6IkVDIiwieCI6Imw4dEZyaHgtMzR0VjNoUklDUkRZOXpDa0RscE"
        "JoRjQyVVFVZldWQVdCRnMiLCJ5IjoiOVZFNGpmX09rX282NHpiVFRsY3VOSmFqSG10NnY5VERWclUwQ2R2R1JEQSIsImNydiI6IlAtMjU2In19"
        ".eyJqdGkiOiItQndDM0VTYzZhY2MybFRjIiwiaHRtIjoiUE9TVCIsImh0dSI6Imh0dHBzOi8vc2VydmVyLmV4YW1wbGUuY29tL3Rva2VuIiwia"
        "WF0IjoxNTYyMjYyNjE2fQ.2-GxA6T8lP4vfrg8v-FdWP0A0zdrj8igiMLvqRMUvwnQg4PtFLbdLXiOSsX0x7NVY-FNyJK70nfbV37xRZT3Lg"
    )
    found = check(proof, htu="https://server.example.com/token", now=1562262616 + 5)
    assert found.jti == "-BwC3ESc6acc2lTc"
    assert found.jkt == "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"  # RFC 9449 section 6.1
    assert (
        dpop.token_hash("Kz~8mXK1EalYznwH-LC-1fBAo.4Ljp~zsPE_NeO.gxU")
        == "fUHyO2r2Z3DZ53EsNrWBb0xWXoaNy59IiKCAqksmQEo"
    )


@pytest.mark.parametrize("offset", [-60, -1, 0, 30])
def test_within_the_window(offset):
    assert check(prove(now=NOW + offset)).expires == NOW + offset + 90


@pytest.mark.parametrize("offset", [-61, -3600, 31, 3600])
def test_outside_the_window(offset):
    assert code(prove(now=NOW + offset), Unprocessable) == "dpop.time"


def test_a_proof_is_remembered_as_long_as_any_node_would_take_it():
    """A node whose clock is 30 s behind takes it until iat + 60 on its clock: iat + 90 on ours."""
    found = check(prove())
    for slow in range(0, 31, 10):
        last = NOW + 60
        assert check(prove(), now=last)
        assert last + slow <= found.expires


@pytest.mark.parametrize("htm", ["GET", "post", "Post", "", " POST"])
def test_another_method(htm):
    assert code(prove(htm=htm)) == "dpop.htm"
    assert code(prove(), htm=htm) == "dpop.htm"


@pytest.mark.parametrize(
    "htu",
    [
        "https://hub.example/v1/verification",
        "https://hub.example/v1/verifications/",
        "https://hub.example:8443/v1/verifications",
        "http://hub.example/v1/verifications",
        "https://evil.example/v1/verifications",
        "https://hub.example/V1/verifications",
        "https://hub.example/v1%2Fverifications",
        "https://hub.example@evil.example/v1/verifications",
        "https://hub.example/x/../v1/verifications",
        "https://hub.example/%2e%2e/v1/verifications",
        "https://hub.example/v1/verifications?a=1",
        "https://hub.example/v1/verifications#x",
        "https://hub.example/v1/verifications%",
        "https://hub.example/v1/verifications%zz",
        "//hub.example/v1/verifications",
        "/v1/verifications",
        "https:hub.example/v1/verifications",
        "https://hub.example:port/v1/verifications",
        "https://hub.example/v1/verifications\n",
        "",
        5,
        None,
        [HTU],
        ...,
    ],
)
def test_another_uri(htu):
    assert code(forged(htu=htu)) == "dpop.htu"


@pytest.mark.parametrize(
    "htu",
    [
        "HTTPS://HUB.example/v1/verifications",
        "https://hub.example:443/v1/verifications",
        "https://hub.example./v1/verifications",
        "https://hub.example/v1/%76erifications",
        "https://hub.example/v1/verif%69cations",
    ],
)
def test_other_spellings_of_the_same_uri(htu):
    assert check(forged(htu=htu)).htu == HTU


@pytest.mark.parametrize(
    ("uri", "normal"),
    [
        ("http://LOCALHOST:80", "http://localhost/"),
        ("http://localhost:8000/a", "http://localhost:8000/a"),
        ("https://h/%7euser/%e4%BD%a0", "https://h/~user/%E4%BD%A0"),
        ("https://h/a%2fb", "https://h/a%2Fb"),
        ("http://[::1]:80/x", "http://[::1]/x"),
        ("https://h//x", "https://h//x"),
    ],
)
def test_normal_form(uri, normal):
    assert dpop.normal_uri(uri) == normal
    assert dpop.normal_uri(normal) == normal


@pytest.mark.parametrize(
    "uri",
    [
        "https://user@hub.example/x",
        "https://user:word@hub.example/x",
        "https://@hub.example/x",
        "https://hub.example/a/./b",
        "https://hub.example/a/../b",
        "https://hub.example/a/%2E%2e/b",
        "https://hub.example/" + "a" * 2048,
        "https:///x",
        "https://./x",
        "wss://hub.example/x",
    ],
)
def test_uris_without_a_normal_form(uri):
    assert code_of(lambda: dpop.normal_uri(uri)) == "dpop.htu"


def test_an_access_token_is_ascii():
    assert code_of(lambda: dpop.token_hash("токен")) == "dpop.ath"


@given(st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=30))
def test_normalising_again_changes_nothing(path):
    try:
        once = dpop.normal_uri("https://h/" + path)
    except Malformed:
        return
    assert dpop.normal_uri(once) == once


@given(st.text(max_size=30))
def test_any_text_is_a_uri_or_malformed(text):
    for uri in (text, "https://" + text):
        try:
            assert dpop.normal_uri(uri).startswith(("http://", "https://"))
        except Malformed as fault:
            if fault.code != "dpop.htu":
                raise


def test_query_and_fragment_are_not_part_of_a_proof():
    assert check(prove(htu=HTU + "?page=2#top")).htu == HTU


def test_access_token():
    assert code(prove(access_token=TOKEN), access_token=TOKEN + "x") == "dpop.ath"
    assert code(prove(), access_token=TOKEN) == "dpop.ath"
    assert code(forged(ath=5), access_token=TOKEN) == "dpop.ath"
    assert check(prove(access_token=TOKEN))  # sent along where none is needed
    assert code(prove(), access_token="токен") == "dpop.ath"


@pytest.mark.parametrize("jti", [..., None, 5, "", "short", "x" * 129, "has space", "has\nline", ["x" * 10]])
def test_jti(jti):
    assert code(forged(jti=jti)) == "dpop.jti"


@pytest.mark.parametrize("iat", [None, True, 1.5, "1790000000", -1])
def test_iat(iat):
    assert code(forged(iat=iat)) == "jwt.time"
    assert code(forged(iat=...)) == "dpop.iat"


@pytest.mark.parametrize("typ", [..., "JWT", "DPOP+JWT", "at+jwt", None])
def test_typ(typ):
    assert code(forged({"typ": typ})) == "jws.typ"


def test_key_in_the_header():
    assert code(forged({"jwk": ...})) == "key.jwk"
    assert code(forged({"jwk": KEY.public.jwk | {"d": "x"}})) == "key.private_member"
    assert code(forged({"jwk": {"kty": "oct", "k": "AAAA"}})) == "key.private_member"
    assert code(forged({"jwk": generate().public.jwk})) == "jws.signature"
    assert code(forged({"alg": "none"})) == "jws.alg"
    assert code(forged({"alg": "HS256"})) == "jws.alg"


@pytest.mark.parametrize("member", ["crit", "jku", "x5u", "b64", "zip"])
def test_other_headers(member):
    assert code(forged({member: "x"})) == "jws.header"


def test_only_the_algorithm_of_our_metadata():
    assert code(prove(signer=generate("EdDSA"))) == "dpop.alg"


def test_too_large():
    assert code(forged(filler="x" * 9000), TooLarge) == "jws.too_large"


def test_nonce_is_carried():
    assert jws.split(prove(nonce="n")).payload["nonce"] == "n"


PROOF = prove(access_token=TOKEN)


@given(st.integers(0, len(PROOF) - 1), st.integers(1, 127))
def test_any_changed_character_fails(position, flip):
    bad = PROOF[:position] + chr(ord(PROOF[position]) ^ flip) + PROOF[position + 1 :]
    with pytest.raises(HubError):
        check(bad, access_token=TOKEN)


@given(st.text(max_size=50))
def test_any_text_is_refused(text):
    with pytest.raises(HubError):
        check(text)
