"""A certificate rests in half its bytes and comes back letter by letter; what cannot is kept as it came."""

import hashlib
import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.errors import HubError, Internal
from hub.formats import jws, packed, sdjwt
from keys import base64url
from keys.signer import generate

SIGNER = generate()
NAMES = st.text(st.characters(min_codepoint=97, max_codepoint=122), min_size=1, max_size=8)
VALUES = st.recursive(
    st.text(max_size=20).filter(lambda text: "\0" not in text) | st.integers(-(2**53) + 1, 2**53 - 1) | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)


def issued(claims, disclose):
    whole = {"iss": "https://hub.example/dept/dg-x", "vct": "urn:x", "iat": 1, "exp": 9, **claims}
    return sdjwt.issue(whole, signer=SIGNER, disclose=disclose)


def a_deed():
    """Three holders who each can be left out, and within each every claim: digests inside disclosures."""
    people = [{"name": f"王{n}", "id_type": "111", "id_no": f"44190019850601{n:04}", "role": "owner"} for n in range(3)]
    inner = [("holders", n, name) for n in range(3) for name in ("name", "id_type", "id_no", "role")]
    return issued({"holders": people, "area": "88.5"}, [*inner, *(("holders", n) for n in range(3)), ("area",)])


def test_a_deed_rests_in_less_than_a_third_of_its_bytes():
    token = a_deed()
    rested = packed.pack(token)
    assert packed.unpack(rested) == token
    assert len(rested) < len(token) / 3


CLAIMS = st.dictionaries(NAMES.filter(lambda name: name not in ("iss", "vct", "iat", "exp")), VALUES, max_size=6)


@given(CLAIMS, st.data())
def test_every_certificate_comes_back_letter_by_letter(claims, data):
    hidden = data.draw(st.sets(st.sampled_from(sorted(claims)))) if claims else set()
    try:
        token = issued(claims, [(name,) for name in hidden])
    except HubError:  # a name that a certificate may not hide
        return
    rested = packed.pack(token)
    assert packed.unpack(rested) == token
    assert len(rested) < len(token)


@given(CLAIMS, st.data())
def test_it_rests_alike_when_it_was_checked_already(claims, data):
    hidden = data.draw(st.sets(st.sampled_from(sorted(claims)))) if claims else set()
    try:
        token = issued(claims, [(name,) for name in hidden])
    except HubError:
        return
    checked = sdjwt.verify(token, key=SIGNER.public, now=5)
    assert packed.pack(token, checked) == packed.pack(token)


def test_what_is_known_of_another_certificate_changes_nothing():
    token, other = a_deed(), a_deed()
    checked = sdjwt.verify(other, key=SIGNER.public, now=5)
    assert packed.pack(token, checked) == packed.pack(token)
    own = sdjwt.verify(token, key=SIGNER.public, now=5)
    for wrong in ({"known": own.known[:-1]}, {"signature": checked.signature, "raw": checked.raw}):
        assert packed.pack(token, replace(own, **wrong)) == packed.pack(token)


def a_chain(length):
    """A certificate each of whose disclosures names the one before: deeper than any that is accepted."""
    disclosures, digest = [], ""
    for number in range(length):
        inner = {"_sd": [digest]} if digest else {}
        disclosures.append(disclosed(["salt-of-sixteen-bytesA", f"n{number}", inner]))
        digest = base64url.encode(hashlib.sha256(disclosures[-1].encode()).digest())
    return "~".join((jws.sign({"_sd": [digest]}, SIGNER, typ=sdjwt.TYP), *disclosures, ""))


def disclosed(content):
    return base64url.encode(json.dumps(content, separators=(",", ":")).encode())


@pytest.mark.parametrize("length", [2, 30, 255])
def test_disclosures_one_within_the_other_come_back_however_deep(length):
    token = a_chain(length)
    assert packed.unpack(packed.pack(token)) == token


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), min_size=1, max_size=300))
def test_any_other_text_is_kept_as_it_is(text):
    assert packed.unpack(packed.pack(text)) == text


def test_two_disclosures_that_are_alike_and_one_that_nothing_names_come_back_too():
    token = a_deed()
    again = token.split("~")[1]
    for odd in (f"{token}{again}~", f"{token}WyJ4Il0~", token.replace("~", "~~", 1), token + "a.b.c"):
        assert packed.unpack(packed.pack(odd)) == odd


def test_what_was_stored_before_is_read_as_it_is():
    token = a_deed()
    assert packed.unpack(token.encode()) == token


@pytest.mark.parametrize("cut", [1, 2, 40, 66, 67, 100])
def test_bytes_that_never_came_from_here_are_refused(cut):
    with pytest.raises(Internal, match=r"seal\.broken"):
        packed.unpack(packed.pack(a_deed())[:cut])


def test_a_salt_that_is_missing_is_refused():
    rested = packed.pack(a_deed())
    salts = 2 + rested[1]
    fewer = rested[:salts] + bytes([rested[salts] - 1]) + rested[salts + 1 + packed.SALT :]
    with pytest.raises(Internal, match=r"seal\.broken"):
        packed.unpack(fewer)
