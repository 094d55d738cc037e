"""Strict JSON and JWS: one spelling, one algorithm for each key, nothing obeyed from a header."""

import contextlib
import json

import pytest
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature
from hypothesis import given
from hypothesis import strategies as st
from jwt import api_jws

from hub.errors import HubError, Malformed, TooLarge, Unprocessable
from hub.formats import jws
from keys.signer import generate

EC = generate("ES256")
ED = generate("EdDSA")
NOW = 1_790_000_000

texts = st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=12)
values = st.recursive(
    st.none() | st.booleans() | st.integers(-jws.MAX_SAFE_INT, jws.MAX_SAFE_INT) | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)
objects = st.dictionaries(texts, values, max_size=4)


def code(call, kind: type[HubError] = Malformed) -> str:
    with pytest.raises(kind) as fault:
        call()
    assert fault.value.zh
    return fault.value.code


def b64(value: object) -> str:
    return jws.b64u_encode(value if isinstance(value, bytes) else json.dumps(value).encode())


def signed(header: object, payload: object, signer=EC) -> str:
    head = f"{b64(header)}.{b64(payload)}"
    return f"{head}.{b64(signer.sign(head.encode()))}"


HEADER = {"alg": "ES256", "typ": "t", "kid": EC.kid}


# ---------------------------------------------------------------- JSON


@given(values)
def test_json_round_trip(value):
    for text in (json.dumps(value), json.dumps(value, ensure_ascii=False), json.dumps(value, indent=1)):
        assert jws.loads(text, max_bytes=100_000) == value
        assert jws.loads(text.encode(), max_bytes=100_000) == value


NUMBERS = "0 -0 -0.0 1.0 1e5 1E5 0.1 1e400 123456789012345 9007199254740991 9007199254740992 01"
SCRAPS = '{"a": "a" "a": [ ] { } , : true null "\u2028" 字 "字"'
scraps = st.sampled_from([" ", "\n", "\t", '"a b"', *NUMBERS.split(), *SCRAPS.split(" ")])


@given(st.lists(scraps, max_size=9).map("".join))
def test_the_quick_reader_never_says_anything_but_what_the_careful_one_says(text):
    quick = jws._as_written(text)
    if quick is not jws._NOT_QUICK:
        careful = jws._decode(text)  # refuses what is not one JSON value, and a key that comes twice
        assert repr(quick) == repr(careful)  # 1 is not 1.0, and -0.0 is not 0.0


def test_the_quick_reader_reads_what_a_writer_writes():
    assert jws._as_written('{"a":[1,"字",{"b":null}]}') == {"a": [1, "字", {"b": None}]}
    assert jws._as_written(' {"a b": [1,\n\t9007199254740991],\r"id": "440301199001011234"} ') == {
        "a b": [1, 9007199254740991], "id": "440301199001011234",
    }  # fmt: skip
    for text in ('{"a":1,"a":1}', '{"a": 1, "a" : 1}', "9007199254740992", "9007199254740993.0", "1 2", "1e400", "NaN"):
        assert jws._as_written(text) is jws._NOT_QUICK
    for text in ('["\ud800"]', ""):
        assert jws._as_written(text) is jws._NOT_QUICK


@given(st.binary(max_size=60) | st.text(max_size=60))
def test_json_of_anything_is_a_value_or_a_hub_error(data):
    with contextlib.suppress(Malformed, TooLarge):
        jws.loads(data, max_bytes=1000)


BAD_JSON = {
    "duplicate key": ('{"a":1,"a":2}', "json.duplicate_key"),
    "duplicate key by escape": ('{"a":1,"\\u0061":2}', "json.duplicate_key"),
    "duplicate key deep": ('{"x":[{"y":{"a":1,"b":2,"a":3}}]}', "json.duplicate_key"),
    "NaN": ("[NaN]", "json.not_finite"),
    "Infinity": ("[Infinity]", "json.not_finite"),
    "-Infinity": ("[-Infinity]", "json.not_finite"),
    "float overflow": ("[1e999]", "json.not_finite"),
    "big integer": ("[9007199254740992]", "json.big_integer"),
    "big negative integer": ("[-9007199254740992]", "json.big_integer"),
    "huge integer": ("[" + "9" * 5000 + "]", "json.big_integer"),
    "lone high surrogate": ('["\\ud800"]', "json.bad_character"),
    "lone low surrogate": ('["\\udC00x"]', "json.bad_character"),
    "lone surrogate in key": ('{"\\uD83D":1}', "json.bad_character"),
    "NUL": ('["a\\u0000"]', "json.bad_character"),
    "raw control character": ('["a\nb"]', "json.syntax"),
    "byte order mark": ("\ufeff[]", "json.syntax"),
    "trailing rubbish": ("[] x", "json.syntax"),
    "two values": ("[][]", "json.syntax"),
    "trailing comma": ("[1,]", "json.syntax"),
    "empty": ("", "json.syntax"),
    "single quotes": ("{'a':1}", "json.syntax"),
    "leading zero": ("[01]", "json.syntax"),
}


@pytest.mark.parametrize(("text", "wanted"), BAD_JSON.values(), ids=BAD_JSON.keys())
def test_json_refuses(text, wanted):
    assert code(lambda: jws.loads(text, max_bytes=10_000)) == wanted
    assert code(lambda: jws.loads(text.encode(), max_bytes=10_000)) == wanted


def test_json_refuses_what_is_not_utf8():
    for data in (b'["\xff"]', b'["\xed\xa0\x80"]', "[]".encode("utf-16"), '["\ud800"]'):
        assert code(lambda data=data: jws.loads(data, max_bytes=100)) in ("json.not_utf8", "json.syntax")


def test_json_keeps_escaped_pairs_and_escaped_backslashes():
    assert jws.loads('["\\ud83d\\ude00", "\\\\ud800", "\\\\u0000"]', max_bytes=100) == [
        "😀",
        "\\ud800",
        "\\u0000",
    ]


def test_json_size_is_in_bytes():
    assert jws.loads('["字"]', max_bytes=7) == ["字"]
    for data in ('["字"]', '["字"]'.encode()):
        assert code(lambda data=data: jws.loads(data, max_bytes=6), TooLarge) == "json.too_large"


@pytest.mark.parametrize("brackets", ["[]", "{}"])
def test_json_depth(brackets):
    def nested(depth: int) -> str:
        if brackets == "[]":
            return "[" * depth + "]" * depth
        return '{"a":' * (depth - 1) + "{}" + "}" * (depth - 1)

    jws.loads(nested(32), max_bytes=10**7)
    assert code(lambda: jws.loads(nested(33), max_bytes=10**7)) == "json.too_deep"
    assert code(lambda: jws.loads(nested(100_000), max_bytes=10**7)) == "json.too_deep"


def test_json_depth_is_not_width_and_not_text():
    jws.loads("[" + ",".join(["[]"] * 1000) + "]", max_bytes=10_000)
    jws.loads(json.dumps(["[[[{{{" * 100, '\\"[[', "\\"]), max_bytes=10_000)


@pytest.mark.parametrize("filler", ['"\\', '\\"', '"', "\\", '["', '[\\"', "[", '{"a"'])
def test_json_depth_count_is_linear(filler):
    """An unclosed string, over and over, must not make the scan quadratic: half a MiB in well under a second."""
    with pytest.raises(Malformed):
        jws.loads("[" * 20 + filler * (500_000 // len(filler)), max_bytes=10**6, max_depth=16)


# ---------------------------------------------------------------- JWS


@given(objects)
def test_sign_verify_round_trip(payload):
    for signer in (EC, ED):
        token = jws.sign(payload, signer, typ="t", header={"x5c": ["a"]})
        found = jws.verify(token, typ="t", key=signer.public)
        assert found.payload == payload
        assert found.header == {"alg": signer.alg, "typ": "t", "kid": signer.kid, "x5c": ["a"]}
        assert found.kid == signer.kid
        assert token.startswith(found.signing_input.decode() + ".")


def test_pyjwt_verifies_ours_and_we_verify_theirs():
    token = jws.sign({"a": "字"}, EC, typ="t")
    assert json.loads(api_jws.decode(token, EC._key.public_key(), algorithms=["ES256"])) == {"a": "字"}
    theirs = api_jws.encode(b'{"a": 1}', EC._key, algorithm="ES256", headers={"typ": "t", "kid": EC.kid})
    assert jws.verify(theirs, typ="t", key=EC.public).payload == {"a": 1}


TOKEN = jws.sign({"iss": "https://hub.example", "n": 5}, EC, typ="t")


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 127))
def test_any_changed_character_fails(position, flip):
    bad = TOKEN[:position] + chr(ord(TOKEN[position]) ^ flip) + TOKEN[position + 1 :]
    with pytest.raises((Malformed, Unprocessable)):
        jws.verify(bad, typ="t", key=lambda kid: {EC.kid: EC.public}[kid])


@given(
    st.text(max_size=40) | st.from_regex(r"[A-Za-z0-9_-]{0,20}(\.[A-Za-z0-9_-]{0,20}){0,3}", fullmatch=True)
)
def test_anything_else_is_a_hub_error(text):
    with pytest.raises(HubError):
        jws.verify(text, typ="t", key=EC.public)


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"jku": "https://evil.example"},
        {"x5u": "https://evil.example"},
        {"b64": False},
        {"jwk": EC.public.jwk},
        {"zip": "DEF"},
    ],
    ids=lambda h: next(iter(h)),
)
def test_headers_that_would_have_to_be_obeyed(header):
    assert code(lambda: jws.verify(signed(HEADER | header, {}), typ="t", key=EC.public)) == "jws.header"


@pytest.mark.parametrize("typ", ["T", "t ", "", "application/t", None, 5, ["t"], {"t": 1}])
def test_typ_is_exact(typ):
    assert code(lambda: jws.verify(signed(HEADER | {"typ": typ}, {}), typ="t", key=EC.public)) == "jws.typ"
    without = {k: v for k, v in HEADER.items() if k != "typ"}
    assert code(lambda: jws.verify(signed(without, {}), typ="t", key=EC.public)) == "jws.typ"
    jws.verify(signed(without, {}), typ=(None, "JWT"), key=EC.public)


@pytest.mark.parametrize(
    "alg", ["none", "None", "HS256", "RS256", "ES384", "EdDSA", "es256", "", None, 5, ["ES256"]]
)
def test_alg_is_that_of_the_key(alg):
    assert code(lambda: jws.verify(signed(HEADER | {"alg": alg}, {}), typ="t", key=EC.public)) == "jws.alg"


def test_hmac_with_the_public_key_as_secret_is_refused():
    """The classic confusion: HS256 over our own public key."""
    import hashlib
    import hmac

    head = f"{b64(HEADER | {'alg': 'HS256'})}.{b64({})}"
    mac = hmac.new(json.dumps(EC.public.jwk).encode(), head.encode(), hashlib.sha256).digest()
    assert code(lambda: jws.verify(f"{head}.{b64(mac)}", typ="t", key=EC.public)) == "jws.alg"


def test_signature_shapes():
    head, _, tail = TOKEN.rpartition(".")
    raw = jws.b64u_decode(tail)
    der = encode_dss_signature(int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big"))
    for other in (der, raw[:63], raw + b"\0", bytes(64)):
        assert (
            code(lambda other=other: jws.verify(f"{head}.{b64(other)}", typ="t", key=EC.public))
            == "jws.signature"
        )
    assert code(lambda: jws.verify(f"{head}.", typ="t", key=EC.public)) == "jws.parts"


@pytest.mark.parametrize(
    "spoil", [lambda t: t + "=", lambda t: t + "\n", lambda t: " " + t, lambda t: t + "é"]
)
def test_padding_and_space_are_refused(spoil):
    with pytest.raises(Malformed):
        jws.verify(spoil(TOKEN), typ="t", key=EC.public)


@pytest.mark.parametrize("token", [None, 5, TOKEN.encode(), TOKEN + "é", TOKEN.replace(".", "．")])
def test_a_token_is_ascii_text(token):
    assert code(lambda: jws.split(token)) == "jws.not_ascii"


def test_unused_bits_are_refused():
    """64 bytes end in a letter with four unused bits: of 16 spellings only one is the signature."""
    last = TOKEN[-1]
    accepted = []
    for letter in "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_":
        try:
            jws.verify(TOKEN[:-1] + letter, typ="t", key=EC.public)
            accepted.append(letter)
        except Malformed:
            pass
    assert accepted == [last]


@pytest.mark.parametrize("count", [0, 1, 3, 4])
def test_three_parts(count):
    assert code(lambda: jws.split(".".join(["AAAA"] * (count + (count == 3))))) == "jws.parts"


@pytest.mark.parametrize("part", [[], "x", 5, None])
def test_header_and_payload_are_objects(part):
    assert code(lambda: jws.split(signed(part, {}))) == "jws.not_object"
    assert code(lambda: jws.split(signed({}, part))) == "jws.not_object"


def test_duplicate_keys_in_header_and_payload():
    for header, payload in ((b'{"alg":"ES256","alg":"none"}', b"{}"), (b"{}", b'{"a":1,"a":2}')):
        assert (
            code(lambda header=header, payload=payload: jws.split(signed(header, payload)))
            == "json.duplicate_key"
        )


@pytest.mark.parametrize("kid", [None, 5, "", "a b", "../x", "a" * 129, "a'--", "ключ", ["x"]])
def test_kid_for_a_lookup_is_a_word(kid):
    def never(_kid: str):
        raise AssertionError("looked up")

    assert code(lambda: jws.verify(signed(HEADER | {"kid": kid}, {}), typ="t", key=never)) == "jws.kid"


def test_kid_finds_the_key_or_nothing():
    keys = {EC.kid: EC.public}
    assert jws.verify(TOKEN, typ="t", key=keys.__getitem__).kid == EC.kid
    assert code(lambda: jws.verify(TOKEN, typ="t", key={}.__getitem__), Unprocessable) == "key.unknown"
    other = signed(HEADER | {"kid": "other"}, {})
    assert code(lambda: jws.verify(other, typ="t", key=EC.public)) == "jws.kid_other"


def test_foreign_kid_names_are_fine_for_a_lookup():
    token = signed(HEADER | {"kid": "doc-signer:2022.1"}, {})
    assert jws.verify(token, typ="t", key=lambda _kid: EC.public).payload == {}


def test_size_limit():
    big = jws.sign({"a": "x" * jws.MAX_JWS_BYTES}, EC, typ="t")
    assert code(lambda: jws.verify(big, typ="t", key=EC.public), TooLarge) == "jws.too_large"
    assert jws.verify(big, typ="t", key=EC.public, max_bytes=200_000).payload


def test_a_caller_cannot_spoil_the_header_of_the_next_token():
    jws.split(TOKEN).header["alg"] = "none"
    assert jws.split(TOKEN).header["alg"] == "ES256"


# ---------------------------------------------------------------- times


@pytest.mark.parametrize("name", ["iat", "nbf", "exp"])
@pytest.mark.parametrize("value", [True, False, 1.5, "1790000000", None, -1, 2**53, [], {}])
def test_times_are_whole_seconds(name, value):
    assert code(lambda: jws.check_times({name: value}, now=NOW)) == "jwt.time"


def test_times_hold_at_their_edges():
    jws.check_times({}, now=NOW)
    jws.check_times({"exp": NOW - 29, "nbf": NOW + 30, "iat": NOW + 30}, now=NOW)
    assert code(lambda: jws.check_times({"exp": NOW - 30}, now=NOW), Unprocessable) == "jwt.expired"
    assert code(lambda: jws.check_times({"exp": NOW}, now=NOW, skew=0), Unprocessable) == "jwt.expired"
    assert code(lambda: jws.check_times({"nbf": NOW + 31}, now=NOW), Unprocessable) == "jwt.not_yet"
    assert code(lambda: jws.check_times({"iat": NOW + 31}, now=NOW), Unprocessable) == "jwt.issued_in_future"


def test_key_from_jwk_speaks_hub_errors():
    assert jws.key_from_jwk(EC.public.jwk) == EC.public
    for bad in (None, 5, [], {}, EC.public.jwk | {"d": "x"}):
        assert code(lambda bad=bad: jws.key_from_jwk(bad)).startswith("key.")
