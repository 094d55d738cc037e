"""The table of kinds, the page that documents them, and the two renderings hold together."""

import json
import re

import orjson
from hypothesis import given
from hypothesis import strategies as st
from web.api import problemcodes

from hub import errors
from hub.errors import HubError
from hub.web.problems import STATUS, TITLES, document, oauth_error, oauth_word, problem

CLASSES = [kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, HubError)]


def test_every_kind_has_one_status_and_title_everywhere():
    kinds = {kind.kind: kind.__name__ for kind in CLASSES}
    assert set(STATUS) == set(TITLES) == set(kinds)
    assert {kinds[kind]: status for kind, status in STATUS.items()} == problemcodes.KINDS


def test_every_code_in_the_source_is_on_the_page_with_its_kind_and_no_other():
    """When this fails: python tests/web/api/problemcodes.py"""
    known = {(one.code, one.kind) for one in problemcodes.found()}
    assert known - problemcodes.written() == set(), "docs/problems.md does not tell of these"
    assert problemcodes.written() - known == set(), "docs/problems.md tells of codes that are gone"


def test_codes_are_stable_words_and_texts_are_in_both_languages():
    wrong = []
    for one in problemcodes.found():
        if not re.fullmatch(r"[a-z0-9_]+(\.[a-z0-9_*]+)*", one.code):
            wrong.append(one.code)
        if one.zh and one.zh != "*" and not re.search(r"[\u4e00-\u9fff]", one.zh):
            wrong.append((one.code, one.zh))
        if re.search(r"[\u4e00-\u9fff]", one.en):
            wrong.append((one.code, one.en))
    assert wrong == []


words = st.text(max_size=40)
codes = st.one_of(
    st.from_regex(r"[a-z_]{1,12}\.[a-z_]{1,12}", fullmatch=True),
    st.sampled_from([one.code for one in problemcodes.found()]),
)


@given(kind=st.sampled_from(CLASSES), code=codes, zh=words, en=words)
def test_any_error_can_be_told_in_both_ways(kind, code, zh, en):
    error = kind(code, zh, en, next_zh=zh, seq=3, secret=b"bytes", status="mine")
    told = orjson.loads(problem(error, request_id="r").body)
    assert (told["status"], told["code"], told["seq"]) == (STATUS[error.kind], code, 3)
    assert "secret" not in told
    answer = oauth_error(error)
    said = json.loads(answer.body)
    assert set(said) == {"error", "error_description"}
    assert re.fullmatch(r"[\x20-\x21\x23-\x5b\x5d-\x7e]*", said["error_description"])
    assert re.fullmatch(r"[a-z_0-9*.]+", said["error"])
    assert answer.status_code in (400, 401, 403, 413, 500, 503)


def test_a_request_cannot_choose_the_members_that_are_ours():
    error = errors.Conflict("a.b", "甲", "A", title="x", detail="x", request_id="x", sha256=None)
    told = document(error, status=409, request_id="mine")
    assert (told["detail"], told["request_id"], told["sha256"]) == ("A", "mine", None)


def test_the_words_of_oauth_are_the_standards_own():
    expected = {
        ("Unauthenticated", "client.unknown"): "invalid_client",
        ("Malformed", "dpop.htm"): "invalid_dpop_proof",
        ("Unauthenticated", "dpop.replayed"): "invalid_dpop_proof",
        ("Malformed", "authorization_details.invalid"): "invalid_authorization_details",
        ("Unprocessable", "consent.over_caps"): "invalid_authorization_details",
        ("NotFound", "consent.request_unknown"): "invalid_grant",
        ("Malformed", "oauth.slow_down"): "slow_down",
        ("Malformed", "json.duplicate_key"): "invalid_request",
        ("Unavailable", "store.unavailable"): "temporarily_unavailable",
        ("Internal", "http.internal"): "server_error",
        ("Forbidden", "department.suspended"): "unauthorized_client",
    }
    for (kind, code), word in expected.items():
        assert oauth_word(getattr(errors, kind)(code, "甲", "A")) == word, code
