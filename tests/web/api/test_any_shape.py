"""Whatever shape an authenticated department sends, it gets an answer that is not our fault."""

import json

from hypothesis import given, settings
from hypothesis import strategies as st
from world import example

from hub.clock import seconds
from hub.formats import jws, sdjwt

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**53) + 1, 2**53 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=20),
    st.sampled_from(
        ["", "0", "111", "2026-11-23", "9999-12-31", "441900199003070013", "\u0000", "𠮷", "' or 1=1 --"]
    ),
)
values = st.recursive(
    scalars,
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.text(max_size=12), inner, max_size=4)
    ),
    max_leaves=8,
)
DOORS = [
    ("POST", "/v1/certificates", ["sd_jwt", "source", "supersedes", "line"]),
    ("POST", "/v1/status-lists/reserve", ["count"]),
    ("PUT", "/v1/status-lists", ["token"]),
    ("POST", "/v1/keys", ["purpose", "jwk", "proof", "previous_proof"]),
    ("POST", "/v1/certificates/none/status", ["event", "reason", "status_list"]),
    ("POST", "/v1/cases", ["item_code", "applicant", "beneficiary"]),
    ("POST", "/v1/cases/none/score", ["scheme", "disclosures", "grade_1"]),
    ("POST", "/v1/verifications", ["asks"]),
    ("POST", "/v1/departments/dg-edu/enrol", ["code", "keys"]),
]


def fine(answer):
    assert 400 <= answer.status_code < 500 or answer.status_code in (200, 201), answer.text
    if answer.status_code >= 400:
        told = answer.json()
        assert told["code"] or told["error"]


@st.composite
def calls(draw):
    """A door and a JSON body, mostly one with the right members and wrong values."""
    method, path, members = draw(st.sampled_from(DOORS))
    known = st.fixed_dictionaries({}, optional=dict.fromkeys(members, values))
    return method, path, draw(st.one_of(known, known, values))


@settings(max_examples=40)
@given(call=calls())
async def test_any_json_at_any_department_door(world, edu, call):
    method, path, body = call
    fine(await world.call(edu, method, path, content=json.dumps(body).encode()))


@settings(max_examples=40)
@given(content=st.binary(max_size=300))
async def test_any_bytes_at_a_batch_door(world, edu, content):
    for path in ("/v1/certificates/batch", "/v1/verifications/batch"):
        answer = await world.call(edu, "POST", path, content=content, media_type="application/x-ndjson")
        assert answer.status_code == 200, answer.text
        for line in answer.text.splitlines():
            assert 400 <= json.loads(line)["status"] < 500


odd_text = st.one_of(
    st.text(max_size=140), st.sampled_from(["1" * 200, "x" * 65, "001", "111", "birth", "owner"])
)
odd_holder = st.fixed_dictionaries(dict.fromkeys(["name", "id_type", "id_no", "role"], odd_text))
odd_number = st.one_of(
    st.integers(-(2**53), 2**53), st.sampled_from([2**31, 2**53 - 1, 253402300799, 250_000_000_000, -1, 1795397400])
)
odd_status = st.fixed_dictionaries(
    {"status_list": st.fixed_dictionaries({"uri": odd_text, "idx": odd_number})}
)
nearly = st.one_of(values, odd_text, odd_number, odd_status, st.lists(odd_holder, max_size=3))

ENVELOPE = [
    "iss",
    "vct",
    "jti",
    "iat",
    "nbf",
    "exp",
    "status",
    "version",
    "holders",
    "as_of",
    "number",
    "_sd_alg",
    "cnf",
]


@settings(max_examples=60)
@given(change=st.dictionaries(st.sampled_from(ENVELOPE), nearly, min_size=1, max_size=3))
async def test_a_department_that_signs_nonsense_is_told_so(world, degree, change):
    payload = {
        "iss": "https://hub.example/dept/dg-degree",
        "vct": world.types["degree"].vct,
        "jti": "x" * 22,
        "iat": seconds(world.clock()),
        "exp": seconds(world.clock()) + 86_400,
        "version": 1,
        "holders": [world.person("王").as_holder("owner")],
        **example(world.types["degree"]),
        **change,
    }
    token = jws.sign(payload, degree.certificate, typ=sdjwt.TYP) + "~"
    fine(await world.call(degree, "POST", "/v1/certificates", {"sd_jwt": token}))


@settings(max_examples=40)
@given(
    fields=st.dictionaries(
        st.sampled_from(
            ["grant_type", "scope", "auth_req_id", "login_hint", "authorization_details", "token", "x"]
        ),
        st.text(st.characters(blacklist_categories=["Cs"]), max_size=40),
    ),
    path=st.sampled_from(["/oauth/token", "/oauth/bc-authorize", "/oauth/introspect", "/oauth/revoke"]),
)
async def test_any_form_at_any_oauth_door(world, edu, fields, path):
    answer = await world.form(edu, path, with_proof=True, **fields)
    assert answer.status_code < 500, answer.text


@settings(max_examples=60)
@given(
    assertion=st.one_of(
        st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60), values.map(repr)
    ),
    proof=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=60),
)
async def test_any_credentials_at_all_are_refused_quietly(world, edu, assertion, proof):
    answer = await world.form(
        edu,
        "/oauth/token",
        headers={"dpop": proof},
        client_assertion=assertion or "x",
        grant_type="client_credentials",
    )
    assert answer.status_code in (400, 401), answer.text
    answer = await world.http.get("/v1/cases", headers={"authorization": f"DPoP {proof}", "dpop": proof})
    assert answer.status_code in (400, 401), answer.text
