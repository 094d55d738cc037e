"""Client assertions, access tokens and consent tokens."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError, Malformed, Unprocessable
from hub.formats import authorization, jws
from hub.formats.authorization import Detail
from keys.signer import generate

CLIENT, HUB = generate(), generate()
NOW = 1_790_000_000
ISSUER = "https://hub.example"
JKT = CLIENT.kid


def code(call, kind: type[HubError] = Malformed) -> str:
    with pytest.raises(kind) as fault:
        call()
    assert fault.value.zh
    return fault.value.code


# ---------------------------------------------------------------- client assertions


def assertion(**changes) -> str:
    options = {"client_id": "dg-edu", "audience": ISSUER, "now": NOW} | changes
    return authorization.make_client_assertion(CLIENT, **options)


def check_assertion(text: str, **changes) -> authorization.Assertion:
    options = {"client_id": "dg-edu", "audience": ISSUER, "key": CLIENT.public, "now": NOW} | changes
    return authorization.check_client_assertion(text, **options)


def reassert(*, typ: str | None = "JWT", **changes) -> str:
    import orjson

    payload = {k: v for k, v in (jws.split(assertion()).payload | changes).items() if v is not ...}
    header = {"alg": "ES256", "kid": CLIENT.kid} | ({} if typ is None else {"typ": typ})
    return jws.sign_bytes(orjson.dumps(payload), CLIENT, header)


def test_assertion_round_trip():
    text = assertion()
    assert authorization.peek_client(text) == ("dg-edu", CLIENT.kid)
    found = check_assertion(text)
    assert (found.client_id, found.kid, found.iat, found.exp) == ("dg-edu", CLIENT.kid, NOW, NOW + 60)
    assert found.expires == NOW + 90
    assert found.jti != check_assertion(assertion()).jti


@pytest.mark.parametrize(
    "aud",
    [
        [ISSUER],
        [ISSUER, "https://other"],
        ISSUER + "/",
        ISSUER + "/oauth/token",
        ISSUER + "/oauth/par",
        ISSUER.upper(),
        "",
        None,
        ...,
    ],
)
def test_audience_is_our_issuer_as_one_string(aud):
    assert code(lambda: check_assertion(reassert(aud=aud))) == "client_assertion.aud"


@pytest.mark.parametrize(
    "changes", [{"iss": "dg-tax"}, {"sub": "dg-tax"}, {"iss": ...}, {"sub": ...}, {"sub": ["dg-edu"]}]
)
def test_subject_is_the_client(changes):
    assert code(lambda: check_assertion(reassert(**changes))) == "client_assertion.iss"


@pytest.mark.parametrize(
    "changes", [{"exp": NOW + 301}, {"exp": ...}, {"iat": ...}, {"exp": NOW}, {"exp": NOW - 5}]
)
def test_life(changes):
    assert code(lambda: check_assertion(reassert(**changes))) == "client_assertion.life"


def test_times():
    assert check_assertion(reassert(iat=NOW + 10, exp=NOW + 60))
    assert code(lambda: check_assertion(assertion(), now=NOW + 90), Unprocessable) == "jwt.expired"
    assert code(lambda: check_assertion(assertion(now=NOW + 61)), Unprocessable) == "jwt.issued_in_future"
    assert code(lambda: check_assertion(reassert(nbf=NOW + 61)), Unprocessable) == "jwt.not_yet"
    assert code(lambda: check_assertion(reassert(iat=True))) == "jwt.time"


@pytest.mark.parametrize("jti", [..., None, "", 5, "x" * 256, "a b", 'a"b', "编号"])
def test_assertion_jti(jti):
    assert code(lambda: check_assertion(reassert(jti=jti))) == "client_assertion.jti"


def test_assertion_typ():
    assert check_assertion(reassert(typ=None))
    for typ in ("at+jwt", "dpop+jwt", "jwt", ""):
        assert code(lambda typ=typ: check_assertion(reassert(typ=typ))) == "jws.typ"


def test_assertion_key():
    assert code(lambda: check_assertion(assertion(), key=generate().public)) == "jws.kid_other"
    assert code(lambda: check_assertion(assertion(), key=lambda kid: HUB.public)) == "jws.signature"
    assert code(lambda: check_assertion(assertion(), key={}.__getitem__), Unprocessable) == "key.unknown"


@pytest.mark.parametrize("text", ["", "a.b.c", "x", assertion()[:-2].rpartition(".")[0]])
def test_peek_refuses_what_is_no_token(text):
    with pytest.raises(HubError):
        authorization.peek_client(text)


def test_peek_refuses_words_that_no_client_or_key_has():
    for payload, header in (
        ({"iss": "a b"}, {"kid": "k"}),
        ({"iss": "a"}, {"kid": "k\n"}),
        ({"iss": ""}, {"kid": "k"}),
    ):
        text = jws.sign_bytes(json.dumps(payload).encode(), CLIENT, header)
        assert code(lambda text=text: authorization.peek_client(text)).startswith("client_assertion.")


def test_peek_refuses_what_names_no_client():
    for payload, header in (
        ({}, {"kid": "k"}),
        ({"iss": 5}, {"kid": "k"}),
        ({"iss": "a"}, {}),
        ({"iss": "a"}, {"kid": 5}),
    ):
        import orjson

        text = jws.sign_bytes(orjson.dumps(payload), CLIENT, header)
        assert code(lambda text=text: authorization.peek_client(text)).startswith("client_assertion.")


# ---------------------------------------------------------------- access tokens


DETAIL = Detail(
    item_code="441900-edu-points-enrolment",
    case_id="-case_id",
    purpose="points-enrolment",
    basis="holder",
    datatypes=("degree",),
    fields={"degree": (("degree_level",), ("holders", None, "name"))},
    valid_until=NOW + 86_400,
    max_uses=2,
)


def token(**changes) -> str:
    options = {
        "issuer": ISSUER, "audience": ISSUER, "subject": "pairwise", "client_id": "dg-edu", "jkt": JKT, "jti": "j",
        "now": NOW, "expires": NOW + 300, "scope": "verify",
        "authorization_details": [DETAIL], "grants": ["grant-1"],
    } | changes  # fmt: skip
    return authorization.make_access_token(HUB, **options)


def check(text: str, **changes) -> authorization.AccessToken:
    options = {"issuer": ISSUER, "audience": ISSUER, "key": HUB.public, "now": NOW} | changes
    return authorization.check_access_token(text, **options)


def retoken(*, typ: str = "at+jwt", **changes) -> str:
    payload = {k: v for k, v in (jws.split(token()).payload | changes).items() if v is not ...}
    return jws.sign(payload, HUB, typ=typ)


def test_consent_token_round_trip():
    found = check(token(), jkt=JKT)
    assert found.authorization_details == (DETAIL,)
    assert found.grants == ("grant-1",)
    assert found.scope == frozenset({"verify"})
    assert (found.issuer, found.subject, found.audience, found.client_id) == (
        ISSUER,
        "pairwise",
        ISSUER,
        "dg-edu",
    )
    assert (found.jkt, found.jti, found.iat, found.exp) == (JKT, "j", NOW, NOW + 300)


def test_claims_as_rfc_9068_and_9449_name_them():
    payload = jws.split(token()).payload
    assert jws.split(token()).header == {"typ": "at+jwt", "alg": "ES256", "kid": HUB.kid}
    assert payload.keys() == {
        "iss", "sub", "aud", "exp", "iat", "jti", "client_id", "scope", "cnf", "authorization_details", "grants",
    }  # fmt: skip
    assert payload["cnf"] == {"jkt": JKT}
    assert payload["authorization_details"] == [DETAIL.to_json()]


def test_details_may_come_as_json():
    assert check(token(authorization_details=[DETAIL.to_json()])).authorization_details == (DETAIL,)


def test_department_token():
    """Client credentials: the department itself, nobody's consent."""
    text = token(authorization_details=(), grants=(), subject="dg-edu", scope="issue verify")
    found = check(text, jkt=JKT)
    assert found.authorization_details == ()
    assert found.grants == ()
    assert found.scope == frozenset({"issue", "verify"})
    assert "authorization_details" not in jws.split(text).payload
    assert check(token(authorization_details=(), grants=(), scope="")).scope == frozenset()


def test_several_grants_run_parallel():
    second = DETAIL.from_json(DETAIL.to_json() | {"basis": "guardian"})
    found = check(token(authorization_details=[DETAIL, second], grants=["a", "b"]))
    assert dict(zip(found.grants, found.authorization_details, strict=True)) == {"a": DETAIL, "b": second}


@pytest.mark.parametrize(
    "changes",
    [
        {"grants": []},
        {"grants": ["a", "b"]},
        {"grants": ...},
        {"grants": "a"},
        {"grants": [5]},
        {"grants": [""]},
        {"grants": ["a b"]},
    ],
    ids=str,
)
def test_grants_that_do_not_match(changes):
    assert code(lambda: check(retoken(**changes))) == "access_token.grants"


@pytest.mark.parametrize(
    "details", [..., [], {}, None, [DETAIL.to_json()] * 9, [DETAIL.to_json() | {"extra": 1}]]
)
def test_details_that_do_not_follow_the_schema(details):
    assert code(lambda: check(retoken(authorization_details=details))) == "authorization_details.invalid"


@pytest.mark.parametrize(
    "cnf", [..., None, {}, "x", {"jkt": 5}, {"jkt": "short"}, {"jkt": JKT + "x"}, {"jwk": {}}]
)
def test_unbound_tokens(cnf):
    assert code(lambda: check(retoken(cnf=cnf))) == "access_token.cnf"


def test_bound_to_another_key():
    assert code(lambda: check(token(), jkt=HUB.kid)) == "access_token.jkt"


@pytest.mark.parametrize("typ", ["JWT", "at+JWT", "application/at+jwt", "dpop+jwt", "yimen-receipt+jwt"])
def test_token_typ(typ):
    assert code(lambda: check(retoken(typ=typ))) == "jws.typ"


def test_an_assertion_is_no_token_and_a_token_is_no_assertion():
    assert code(lambda: check(assertion(), key=CLIENT.public)) == "jws.typ"
    assert code(lambda: check_assertion(token(), key=HUB.public)) == "jws.typ"


@pytest.mark.parametrize("iss", [..., "https://evil.example", ISSUER + "/", [ISSUER], None])
def test_token_of_another_issuer(iss):
    assert code(lambda: check(retoken(iss=iss))) == "access_token.iss"


@pytest.mark.parametrize("aud", [..., "https://evil.example", [ISSUER], None])
def test_token_for_another_audience(aud):
    assert code(lambda: check(retoken(aud=aud))) == "access_token.aud"


def test_token_by_another_key():
    assert code(lambda: check(token(), key=CLIENT.public)) == "jws.kid_other"
    assert code(lambda: check(token(), key=lambda kid: CLIENT.public)) == "jws.signature"


def test_token_times():
    assert check(token(), now=NOW + 329)
    assert code(lambda: check(token(), now=NOW + 330), Unprocessable) == "jwt.expired"
    assert code(lambda: check(token(), now=NOW - 31), Unprocessable) == "jwt.issued_in_future"


@pytest.mark.parametrize("changes", [{"exp": NOW + 301}, {"exp": NOW}, {"exp": ...}, {"iat": ...}])
def test_token_life(changes):
    assert code(lambda: check(retoken(**changes))) == "access_token.life"


@pytest.mark.parametrize("name", ["sub", "client_id", "jti"])
@pytest.mark.parametrize("value", [..., None, "", 5, "a b", "张三", ["x"], "x" * 256])
def test_token_words(name, value):
    assert code(lambda: check(retoken(**{name: value}))) == f"access_token.{name}"


@pytest.mark.parametrize("scope", [5, None, ["verify"], " verify", "verify  issue", 'a"b', "范围"])
def test_scope(scope):
    assert code(lambda: check(retoken(scope=scope))) == "access_token.scope"


@pytest.mark.parametrize(
    "changes",
    [
        {"expires": NOW + 301},
        {"expires": NOW},
        {"jkt": "x"},
        {"subject": ""},
        {"grants": []},
        {"scope": "a\nb"},
    ],
    ids=str,
)
def test_what_nobody_could_check_is_not_signed(changes):
    with pytest.raises(Malformed):
        token(**changes)


TOKEN = token()


@given(st.integers(0, len(TOKEN) - 1), st.integers(1, 127))
def test_any_changed_character_fails(position, flip):
    bad = TOKEN[:position] + chr(ord(TOKEN[position]) ^ flip) + TOKEN[position + 1 :]
    with pytest.raises(HubError):
        check(bad, key=lambda kid: {HUB.kid: HUB.public}[kid])


def test_many_tokens_are_checked_as_each_alone():
    """A refusal stands in its place, and is the one that the same token would get by itself."""
    other = token(issuer="https://other.example", audience="https://other.example")
    head, payload, _ = token().split(".")
    texts = [token(), "nonsense", other, token(), f"{head}.{payload}.AAAA", token(now=NOW - 3600, expires=NOW - 3500)]
    found = authorization.check_access_tokens(texts, issuer=ISSUER, audience=ISSUER, key=HUB.public, now=NOW)
    for text, one in zip(texts, found, strict=True):
        if isinstance(one, HubError):
            assert code(lambda text=text: check(text), type(one)) == one.code
        else:
            assert one == check(text)
    assert [isinstance(one, HubError) for one in found] == [False, True, True, False, True, True]
    assert authorization.in_force(found[0], NOW) is found[0]
    assert code(lambda: authorization.in_force(found[0], NOW + 3600), Unprocessable).startswith("jwt.")
