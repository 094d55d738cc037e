"""What must hold for any certificate: round trips, tampering, and selection that shows exactly what was asked."""

import re
from datetime import date

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from hub.errors import HubError, Malformed, Unprocessable
from hub.formats import jws, sdjwt
from hub.formats.disclosures import NEVER_SELECTIVE
from hub.formats.sdjwt import SD, Path
from keys.signer import generate

KEY = generate()
NOW = 1_790_000_000
BASE = {"iss": "https://hub.example/dept/dg-edu", "vct": "urn:yimen:certificate:x:1", "exp": NOW + 1000}
OWN = frozenset(BASE)

names = st.text(
    st.characters(exclude_categories=("Cs",), exclude_characters="\0"), min_size=1, max_size=6
).filter(
    lambda n: n not in ("_sd", "...", "_sd_alg") and n not in NEVER_SELECTIVE and n not in ("iat", "jti")
)


scalars = (
    st.none()
    | st.booleans()
    | st.integers(-jws.MAX_SAFE_INT, jws.MAX_SAFE_INT)
    | st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0"), max_size=6)
)


def sometimes(value):
    return value | value.map(SD)


values = st.recursive(
    scalars,
    lambda inner: (
        st.lists(sometimes(inner), max_size=3) | st.dictionaries(names, sometimes(inner), max_size=3)
    ),
    max_leaves=10,
)
claim_sets = st.dictionaries(names, sometimes(values), max_size=4)


def plain(value):
    """The claims without any marks."""
    if isinstance(value, SD):
        return plain(value.value)
    if isinstance(value, dict):
        return {k: plain(v) for k, v in value.items()}
    if isinstance(value, list):
        return [plain(v) for v in value]
    return value


def marks(value, path: Path = ()) -> list[Path]:
    """The paths of everything that is marked, in the fully disclosed payload."""
    if isinstance(value, SD):
        return [path, *marks(value.value, path)]
    if isinstance(value, dict):
        return [p for k, v in value.items() for p in marks(v, (*path, k))]
    if isinstance(value, list):
        return [p for i, v in enumerate(value) for p in marks(v, (*path, i))]
    return []


def shown(value, keep: set[Path], path: Path = ()):
    """An independent statement of what a selection must leave: marked things only when kept."""
    if isinstance(value, SD):
        return shown(value.value, keep, path)
    if isinstance(value, dict):
        kept = {k: v for k, v in value.items() if not isinstance(v, SD) or (*path, k) in keep}
        return {k: shown(v, keep, (*path, k)) for k, v in kept.items()}
    if isinstance(value, list):
        kept_items = [(i, v) for i, v in enumerate(value) if not isinstance(v, SD) or (*path, i) in keep]
        return [shown(v, keep, (*path, i)) for i, v in kept_items]
    return value


def verify(token: str) -> sdjwt.Processed:
    return sdjwt.verify(token, key=KEY.public, now=NOW)


@given(claim_sets, st.integers(0, 3))
def test_issue_then_verify_gives_the_claims(claims, decoys):
    token = sdjwt.issue(BASE | claims, signer=KEY, decoys=decoys)
    found = verify(token)
    assert found.payload == BASE | plain(claims)
    assert set(found.disclosed) == set(marks(claims))
    assert sorted(sdjwt.paths(token), key=repr) == sorted(marks(claims), key=repr)
    assert sdjwt.claims(token) == found.payload


@given(claim_sets)
def test_parse_and_format_are_inverse(claims):
    token = sdjwt.issue(BASE | claims, signer=KEY)
    assert str(sdjwt.parse(token)) == token
    assert sdjwt.parse(token).bound_part == token


@given(st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=40))
def test_parse_and_format_are_inverse_for_any_text(text):
    try:
        parts = sdjwt.parse(text)
    except Malformed:
        return
    assert str(parts) == text


@given(claim_sets, st.data())
def test_select_shows_exactly_what_was_asked(claims, data):
    token = sdjwt.issue(BASE | claims, signer=KEY, decoys=1)
    marked = marks(claims)
    asked = data.draw(st.lists(st.sampled_from(marked), unique=True)) if marked else []
    part = sdjwt.select(token, asked)
    keep = {p for p in marked if any(a[: len(p)] == p for a in asked)}  # each claim, and the claims around it
    found = verify(part)
    assert found.payload == BASE | shown(claims, keep)
    assert len(found.disclosed) == len(keep)
    assert found.signing_input_hash == verify(token).signing_input_hash == sdjwt.signing_input_hash(part)
    assert part.partition("~")[0] == token.partition("~")[0]
    whole = sdjwt.parse(token)
    revealed = sdjwt.reveal(jws.split(whole.issuer_jwt).payload, whole.disclosures, asked)
    assert revealed == (found.payload, list(sdjwt.parse(part).disclosures))


@given(claim_sets)
def test_select_nothing_and_everything(claims):
    token = sdjwt.issue(BASE | claims, signer=KEY)
    assert verify(sdjwt.select(token, [])).payload == BASE | shown(claims, set())
    assert sdjwt.select(token, sdjwt.paths(token)) == token
    assert sdjwt.select(token, [("no such claim",), (), ("no such claim", None, "b")]) == sdjwt.select(token, [])


@given(claim_sets)
def test_selecting_twice_is_selecting_once(claims):
    token = sdjwt.issue(BASE | claims, signer=KEY)
    tops = [p for p in sdjwt.paths(token) if len(p) == 1]
    once = sdjwt.select(token, tops)
    assert sdjwt.select(once, tops) == once
    assert set(sdjwt.paths(once)) == set(tops)


RICH = sdjwt.issue(
    BASE
    | {
        "holders": [
            {"name": SD("张三"), "id_no": SD("440101199001010017")},
            {"name": SD("李四"), "id_no": SD("x")},
        ],
        "level": SD("bachelor"),
        "nested": SD({"inner": SD([SD(1), SD(2)])}),
    },
    signer=KEY,
)


@given(st.integers(0, len(RICH) - 1), st.integers(1, 127))
@settings(max_examples=300)
def test_any_changed_character_fails(position, flip):
    bad = RICH[:position] + chr(ord(RICH[position]) ^ flip) + RICH[position + 1 :]
    with pytest.raises(HubError):
        sdjwt.verify(bad, key=lambda kid: {KEY.kid: KEY.public}[kid], now=NOW)


@given(st.integers(0, len(RICH) - 1), st.integers(1, 8))
def test_any_cut_or_repeated_piece_fails(position, length):
    for bad in (RICH[:position] + RICH[position + length :], RICH[: position + length] + RICH[position:]):
        with pytest.raises(HubError):
            verify(bad)


@given(st.sets(st.integers(0, 8)))
def test_taking_disclosures_out_only_hides_and_never_changes(gone):
    jwt, *disclosures, _ = RICH.split("~")
    left = [text for i, text in enumerate(disclosures) if i not in gone]
    full = verify(RICH)
    try:
        found = verify("~".join([jwt, *left, ""]))
    except Malformed as fault:
        if fault.code != "sdjwt.disclosure_unreferenced":  # a parent is gone, its children are not
            raise
        return
    assert sorted(found.disclosed.values()) == sorted(left)
    assert found.payload.get("level", "bachelor") == full.payload["level"]
    for was, now in zip(full.payload["holders"], found.payload["holders"], strict=True):
        assert now.items() <= was.items()


@given(st.permutations(range(9)))
def test_the_order_of_disclosures_does_not_matter(order):
    jwt, *disclosures, _ = RICH.split("~")
    shuffled = "~".join([jwt, *(disclosures[i] for i in order), ""])
    assert len(disclosures) == 9
    assert verify(shuffled).payload == verify(RICH).payload


# ---------------------------------------------------------------- claim paths, spelled out


def selected(*paths: Path) -> dict:
    payload = verify(sdjwt.select(RICH, paths)).payload
    return {k: v for k, v in payload.items() if k not in OWN}


def test_paths_into_holders():
    assert selected() == {"holders": [{}, {}]}
    assert selected(("holders", 0, "name")) == {"holders": [{"name": "张三"}, {}]}
    assert selected(("holders", None, "name")) == {"holders": [{"name": "张三"}, {"name": "李四"}]}
    assert selected(("holders",)) == {"holders": [{}, {}]}
    assert selected(("holders", None)) == {"holders": [{}, {}]}


def test_a_path_brings_its_parents_and_not_its_children():
    assert selected(("nested",)) == {"holders": [{}, {}], "nested": {}}
    assert selected(("nested", "inner")) == {"holders": [{}, {}], "nested": {"inner": []}}
    assert selected(("nested", "inner", 1)) == {"holders": [{}, {}], "nested": {"inner": [2]}}
    assert selected(("nested", "inner", None)) == {"holders": [{}, {}], "nested": {"inner": [1, 2]}}


def test_a_path_below_a_plain_value_brings_the_claim():
    """("level", "x") leads through level; whoever asks for a member of a whole claim gets the whole claim."""
    assert selected(("level", "x")) == {"holders": [{}, {}], "level": "bachelor"}


def test_names_and_indices_do_not_mix():
    token = sdjwt.issue(BASE | {"a": {"0": SD("name")}, "b": [SD("index")]}, signer=KEY)
    assert sdjwt.paths(sdjwt.select(token, [("a", 0), ("b", "0"), ("a", None)])) == []
    assert sdjwt.paths(sdjwt.select(token, [("b", True)])) == []


def test_select_drops_a_key_binding():
    assert sdjwt.select(RICH + "a.b.c", [("level",)]).endswith("~")


# ---------------------------------------------------------------- issuing


def test_disclose_by_paths_is_the_same_as_marking():
    claims = BASE | {
        "holders": [{"name": "张三", "role": "owner"}, {"name": "李四", "role": "spouse"}],
        "level": "bachelor",
        "list": [1, 2],
    }
    paths: list[Path] = [("holders", None, "name"), ("level",), ("list", 1), ("list",), ("missing", "x")]
    token = sdjwt.issue(claims, signer=KEY, disclose=paths)
    assert set(sdjwt.paths(token)) == {
        ("holders", 0, "name"),
        ("holders", 1, "name"),
        ("level",),
        ("list",),
        ("list", 1),
    }
    assert verify(token).payload == claims
    assert claims["level"] == "bachelor"  # the caller's own is untouched


def cannot(claims: dict, **options) -> None:
    with pytest.raises(Unprocessable) as fault:
        sdjwt.issue(claims, signer=KEY, **options)
    assert fault.value.code == "sdjwt.cannot_issue"


@pytest.mark.parametrize("name", sorted(NEVER_SELECTIVE))
def test_never_selective_claims_cannot_be_hidden(name):
    value = BASE.get(name, {"status_list": {"idx": 1, "uri": "u"}})
    cannot(BASE | {name: SD(value)})
    cannot(BASE | {name: value}, disclose=[(name,)])
    cannot(BASE | {"status": {"status_list": {"idx": SD(1), "uri": "u"}}})


@pytest.mark.parametrize(
    "claims",
    [
        {"_sd": ["x"]},
        {"a": {"...": "x"}},
        {"a": {"_sd_alg": "sha-256"}},
        {"_sd": SD(1)},
        {"a": SD({"_sd": 1})},
        {5: "x"},
        {5: SD("x")},
        {"a": {None: SD("x")}},
        {"a": float("nan")},
        {"a": SD(float("inf"))},
        {"a": 2**53},
        {"a": SD([-(2**53)])},
        {"a": b"bytes"},
        {"a": SD({1, 2})},
        {"a": object()},
        {"a": "\ud800"},
        {"a": SD("\ud800")},
        {"\udc00": SD(1)},
        {"a": "NUL\0"},
        {"a": SD(SD(1))},
    ],
    ids=lambda case: re.sub(r" at 0x[0-9a-f]+", "", repr(case)),
)
def test_what_nobody_could_verify_is_not_issued(claims):
    cannot(BASE | claims)


def test_dates_are_not_written_by_accident():
    cannot(BASE | {"a": date(2026, 1, 1)})


@pytest.mark.parametrize("gone", ["iss", "vct", "exp"])
def test_the_profile_is_checked_before_signing(gone):
    cannot({k: v for k, v in BASE.items() if k != gone})


def test_an_empty_path_marks_nothing():
    cannot(BASE, disclose=[()])


def test_names_that_must_be_visible_at_the_top_may_be_hidden_below():
    claims = BASE | {"employer": {"status": SD("active"), "exp": SD("2030-01-01")}}
    assert verify(sdjwt.issue(claims, signer=KEY)).payload["employer"] == {
        "status": "active",
        "exp": "2030-01-01",
    }


@pytest.mark.parametrize("token", ["", "~", "abc", "abc~", "é.b.c~"])
def test_signing_input_hash_of_no_token(token):
    with pytest.raises(Malformed, match=r"sdjwt\.form"):
        sdjwt.signing_input_hash(token)


def test_too_many_disclosures_are_not_issued():
    cannot(BASE | {f"c{i}": SD(i) for i in range(257)})
    assert len(sdjwt.paths(sdjwt.issue(BASE | {f"c{i}": SD(i) for i in range(256)}, signer=KEY))) == 256


def test_no_sd_members_when_nothing_is_hidden():
    token = sdjwt.issue(BASE, signer=KEY)
    assert jws.split(token.rstrip("~")).payload == BASE


def test_salts_are_fresh_and_long():
    tokens = [sdjwt.issue(BASE | {"a": SD(1), "b": SD(1)}, signer=KEY) for _ in range(3)]
    salts = [
        jws.loads(jws.b64u_decode(d), max_bytes=100)[0] for t in tokens for d in sdjwt.parse(t).disclosures
    ]
    assert len(set(salts)) == 6
    assert all(len(jws.b64u_decode(s)) == 16 for s in salts)


def test_digests_are_sorted_so_their_order_tells_nothing():
    for _ in range(5):
        token = sdjwt.issue(BASE | {f"c{i}": SD(i) for i in range(6)}, signer=KEY, decoys=4)
        digests = jws.split(token.partition("~")[0]).payload["_sd"]
        assert digests == sorted(digests)
        assert len(digests) == 10


def test_decoys_also_where_nothing_is_hidden():
    token = sdjwt.issue(BASE, signer=KEY, decoys=3)
    payload = jws.split(token.partition("~")[0]).payload
    assert len(payload["_sd"]) == 3
    assert payload["_sd_alg"] == "sha-256"
    assert verify(token).payload == BASE


def test_header_members_cannot_take_over():
    token = sdjwt.issue(BASE, signer=KEY, header={"x5c": ["leaf"], "alg": "none", "typ": "x", "kid": "y"})
    assert verify(token).header == {"x5c": ["leaf"], "alg": "ES256", "typ": "dc+sd-jwt", "kid": KEY.kid}


def test_other_types_have_no_certificate_profile():
    token = sdjwt.issue({"a": SD(1)}, signer=KEY, typ="example+sd-jwt")
    assert sdjwt.paths(token) == [("a",)]
    with pytest.raises(Malformed):
        sdjwt.verify(token, key=KEY.public, now=NOW)
