"""Every rule of RFC 9901 section 7 and of our profile, broken one at a time, each with its own code."""

import hashlib
import json

import pytest

from hub.errors import HubError, Malformed, TooLarge, Unprocessable, each
from hub.formats import jws, sdjwt
from hub.formats.disclosures import NEVER_SELECTIVE
from keys.signer import generate

KEY = generate()
NOW = 1_790_000_000
BASE = {
    "iss": "https://hub.example/dept/dg-edu",
    "vct": "urn:yimen:certificate:degree:1",
    "iat": NOW - 1000,
    "exp": NOW + 1000,
}


def disclosure(*content: object) -> str:
    return jws.b64u_encode(json.dumps(list(content)).encode())


def digest(text: str) -> str:
    return jws.b64u_encode(hashlib.sha256(text.encode()).digest())


def forge(
    payload: dict, *disclosures: str, typ: str = "dc+sd-jwt", kb: str = "", header: dict | None = None
) -> str:
    """What an issuer with a valid key could sign, however wrong."""
    return "~".join((jws.sign(payload, KEY, typ=typ, header=header), *disclosures, kb))


def verify(token: str, **options):
    return sdjwt.verify(token, key=KEY.public, now=NOW, **options)


def code(token: str, kind: type[HubError] = Malformed, **options) -> str:
    with pytest.raises(kind) as fault:
        verify(token, **options)
    assert fault.value.zh
    assert fault.value.en
    return fault.value.code


NAME = disclosure("salt", "name", "张三")
OTHER = disclosure("salt2", "other", 5)
ELEMENT = disclosure("salt3", "value")


def test_the_unbroken_one():
    token = forge(
        BASE | {"_sd": [digest(NAME)], "list": [{"...": digest(ELEMENT)}], "_sd_alg": "sha-256"},
        NAME,
        ELEMENT,
    )
    found = verify(token)
    assert found.payload == BASE | {"name": "张三", "list": ["value"]}
    assert found.disclosed == {("name",): NAME, ("list", 0): ELEMENT}


def test_many_at_once_are_each_told_what_each_alone_is_told():
    good = forge(BASE | {"_sd": [digest(NAME)]}, NAME)
    tokens = [
        good,
        good.rstrip("~"),
        forge(BASE, kb="a.b.c"),
        good[: good.index("~") - 4] + "AAAA~",
        forge(BASE | {"_sd": [digest(OTHER)]}, NAME),
        forge(BASE, "é"),
        forge(BASE | {"exp": NOW - 1000}),
        forge(BASE | {"vct": 7}),
        good,
    ]
    alone = each(tokens, verify)
    assert [isinstance(one, HubError) for one in alone] == [False, *[True] * 7, False]
    assert [told(one) for one in sdjwt.verify_all(tokens, key=KEY.public, now=NOW)] == [told(one) for one in alone]


def told(found):
    return (type(found), found.code) if isinstance(found, HubError) else found


# -- 1: shape and size


@pytest.mark.parametrize(
    "spoil",
    [
        lambda t: t.rstrip("~"),
        lambda t: "~" + t,
        lambda t: t.replace("~", "~~", 1),
        lambda t: "",
        lambda t: "~",
        lambda t: t + "é~",
        lambda t: t.encode(),
        lambda t: None,
    ],
    ids=[
        "no final tilde",
        "leading tilde",
        "empty disclosure",
        "empty",
        "tilde",
        "not ASCII",
        "bytes",
        "None",
    ],
)
def test_form(spoil):
    assert code(spoil(forge(BASE))) == "sdjwt.form"


def test_a_lost_last_tilde_makes_the_last_disclosure_a_key_binding():
    assert code(forge(BASE | {"_sd": [digest(NAME)]}, NAME)[:-1]) == "sdjwt.kb_unexpected"


def test_too_large():
    assert code(forge(BASE, "A" * sdjwt.MAX_BYTES), TooLarge) == "sdjwt.too_large"
    assert code(forge(BASE | {"a": "x" * 70_000}), TooLarge) == "jws.too_large"


def test_too_many_disclosures():
    many = [disclosure("s", f"n{i}", i) for i in range(257)]
    payload = BASE | {"_sd": [digest(d) for d in many]}
    assert len(verify(forge(payload, *many[:256])).disclosed) == 256
    assert code(forge(payload, *many), TooLarge) == "sdjwt.too_many_disclosures"


# -- 2: key binding is a matter of policy, never of what came along


def test_key_binding_required_and_missing():
    assert code(forge(BASE), require_kb=True) == "sdjwt.kb_missing"


def test_key_binding_nobody_asked_for():
    assert code(forge(BASE, kb="a.b.c")) == "sdjwt.kb_unexpected"


@pytest.mark.parametrize("cnf", [None, {}, {"jwk": "x"}, {"jkt": "x"}, "x"])
def test_key_binding_without_a_key(cnf):
    assert code(forge(BASE | {"cnf": cnf}, kb="a.b.c"), require_kb=True) == "sdjwt.cnf"


# -- 3: header


@pytest.mark.parametrize(
    "typ", ["vc+sd-jwt", "sd-jwt", "JWT", "DC+SD-JWT", "application/dc+sd-jwt", "at+jwt", "kb+jwt"]
)
def test_typ(typ):
    assert code(forge(BASE, typ=typ)) == "jws.typ"


def test_unknown_key():
    with pytest.raises(Unprocessable) as fault:
        sdjwt.verify(forge(BASE), key={}.__getitem__, now=NOW)
    assert fault.value.code == "key.unknown"


def test_key_of_another_issuer():
    with pytest.raises(Malformed) as fault:
        sdjwt.verify(forge(BASE), key=lambda kid: generate().public, now=NOW)
    assert fault.value.code == "jws.signature"


@pytest.mark.parametrize("member", ["crit", "jku", "x5u", "jwk", "b64"])
def test_headers(member):
    assert code(forge(BASE, header={member: "x"})) == "jws.header"


# -- 4: signature and hash algorithm


def test_signature_over_other_claims():
    header, payload, signature = forge(BASE).rstrip("~").split(".")
    other = jws.b64u_encode(json.dumps(BASE | {"vct": "urn:other:1"}).encode())
    assert code(f"{header}.{other}.{signature}~") == "jws.signature"
    assert verify(f"{header}.{payload}.{signature}~")


@pytest.mark.parametrize("alg", ["sha-512", "SHA-256", "sha256", "md5", "", None, 5, ["sha-256"]])
def test_sd_alg(alg):
    assert code(forge(BASE | {"_sd_alg": alg})) == "sdjwt.sd_alg"


@pytest.mark.parametrize("name", sorted(NEVER_SELECTIVE))
def test_never_selective_claims_in_a_disclosure(name):
    hidden = disclosure("s", name, BASE.get(name, "x"))
    payload = {k: v for k, v in BASE.items() if k != name} | {"_sd": [digest(hidden)]}
    assert code(forge(payload, hidden)) == "sdjwt.never_selective"


@pytest.mark.parametrize(
    "hidden_in",
    [
        {"status": {"status_list": {"_sd": ["x"], "uri": "https://h/1", "idx": 1}}},
        {"status": {"_sd": ["x"]}},
        {"cnf": {"jwk": {"_sd": ["x"]}}},
        {"aka_vcts": [{"...": "x"}]},
        {"status": {"status_list": {"idx": 1, "uri": "u", "deep": [[{"...": "x"}]]}}},
    ],
    ids=["status_list", "status", "cnf", "aka_vcts", "deep"],
)
def test_nothing_is_hidden_inside_a_never_selective_claim(hidden_in):
    assert code(forge(BASE | hidden_in)) == "sdjwt.never_selective"


# -- 5 and 6: disclosures


def test_disclosure_is_not_base64url():
    for bad in (NAME + "=", NAME + "A", "****", NAME + "\n", "a.b"):
        assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) in ("sdjwt.disclosure_base64", "json.syntax")


@pytest.mark.parametrize(
    "text",
    [b"", b"[", b'["s","a",1', b'\xff["s",1]', b'["s","a",{"x":1,"x":2}]', b'["s","a",NaN]', b'["s","a",1]x'],
)
def test_disclosure_is_not_strict_json(text):
    bad = jws.b64u_encode(text) or "A"
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)).startswith(("json.", "sdjwt.disclosure_base64"))


@pytest.mark.parametrize("content", [[], ["s"], ["s", "a", 1, 2], ["s", "a", 1, 2, 3]], ids=len)
def test_disclosure_arity(content):
    bad = disclosure(*content)
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.disclosure_arity"


@pytest.mark.parametrize("content", [{"a": 1}, "s", 5, None])
def test_disclosure_is_not_an_array(content):
    bad = jws.b64u_encode(json.dumps(content).encode())
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.disclosure_arity"


@pytest.mark.parametrize("salt", [5, None, ["s"], {}])
def test_disclosure_salt(salt):
    bad = disclosure(salt, "a", 1)
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.disclosure_salt"


def test_element_disclosure_in_an_object():
    assert code(forge(BASE | {"_sd": [digest(ELEMENT)]}, ELEMENT)) == "sdjwt.disclosure_kind"


def test_member_disclosure_in_an_array():
    assert code(forge(BASE | {"list": [{"...": digest(NAME)}]}, NAME)) == "sdjwt.disclosure_kind"


@pytest.mark.parametrize("name", [5, None, True, ["a"], {"a": 1}])
def test_claim_name_is_a_string(name):
    bad = disclosure("s", name, 1)
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.name_form"


@pytest.mark.parametrize("name", ["_sd", "...", "_sd_alg"])
def test_claim_name_is_not_reserved(name):
    bad = disclosure("s", name, ["x"])
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.name_reserved"


def test_disclosed_claim_would_replace_a_visible_one():
    """A disclosed claim must never overwrite what the issuer shows (other libraries let it overwrite vct)."""
    bad = disclosure("s", "level", "master")
    assert code(forge(BASE | {"level": "bachelor", "_sd": [digest(bad)]}, bad)) == "sdjwt.name_taken"


def test_two_disclosures_of_one_name():
    one, two = disclosure("s", "level", 1), disclosure("t", "level", 2)
    assert code(forge(BASE | {"_sd": [digest(one), digest(two)]}, one, two)) == "sdjwt.name_taken"


def test_two_disclosures_of_one_name_in_a_nested_object():
    one, two = disclosure("s", "level", 1), disclosure("t", "level", 2)
    assert code(forge(BASE | {"a": {"_sd": [digest(one), digest(two)]}}, one, two)) == "sdjwt.name_taken"


def test_the_same_name_on_another_level_is_fine():
    one, two = disclosure("s", "level", 1), disclosure("t", "level", 2)
    assert verify(forge(BASE | {"_sd": [digest(one)], "a": {"_sd": [digest(two)]}}, one, two)).payload[
        "a"
    ] == {"level": 2}


def test_unreferenced_disclosure():
    assert code(forge(BASE, NAME)) == "sdjwt.disclosure_unreferenced"
    assert code(forge(BASE | {"_sd": [digest(NAME)]}, NAME, OTHER)) == "sdjwt.disclosure_unreferenced"


def test_disclosure_referred_to_only_by_a_disclosure_that_is_missing():
    inner = disclosure("s", "inner", 1)
    outer = disclosure("t", "outer", {"_sd": [digest(inner)]})
    assert verify(forge(BASE | {"_sd": [digest(outer)]}, outer, inner)).payload["outer"] == {"inner": 1}
    assert code(forge(BASE | {"_sd": [digest(outer)]}, inner)) == "sdjwt.disclosure_unreferenced"


def test_digest_of_other_bytes_is_not_a_reference():
    """Same JSON, other spelling: white space counts."""
    spaced = jws.b64u_encode(json.dumps(["salt", "name", "张三"], indent=1).encode())
    assert code(forge(BASE | {"_sd": [digest(NAME)]}, spaced)) == "sdjwt.disclosure_unreferenced"


def test_the_same_disclosure_twice():
    assert code(forge(BASE | {"_sd": [digest(NAME)]}, NAME, NAME)) == "sdjwt.disclosure_repeated"


@pytest.mark.parametrize("disclosed", [True, False], ids=["disclosed", "decoy"])
@pytest.mark.parametrize(
    "place",
    [
        lambda d: {"_sd": [d, d]},
        lambda d: {"_sd": [d], "a": {"_sd": [d]}},
        lambda d: {"a": {"_sd": [d]}, "b": {"_sd": [d]}},
        lambda d: {"_sd": [d], "a": [{"...": d}]},
        lambda d: {"a": [{"...": d}, {"...": d}]},
        lambda d: {"a": [[{"...": d}], {"b": {"_sd": [d]}}]},
    ],
    ids=["one array", "two levels", "two objects", "object and array", "elements", "deep"],
)
def test_digest_met_twice(place, disclosed):
    wanted = {"sdjwt.digest_repeated"} | ({"sdjwt.disclosure_kind"} if disclosed else set())
    for text in (NAME, ELEMENT):
        given = (text,) if disclosed else ()
        assert code(forge(BASE | place(digest(text)), *given)) in wanted


def test_digest_met_again_inside_a_disclosure():
    outer = disclosure("t", "outer", {"_sd": [digest(NAME)]})
    assert code(forge(BASE | {"_sd": [digest(NAME), digest(outer)]}, NAME, outer)) == "sdjwt.digest_repeated"
    assert code(forge(BASE | {"_sd": [digest(NAME), digest(outer)]}, outer)) == "sdjwt.digest_repeated"


@pytest.mark.parametrize("value", ["x", {}, None, 5, True, {"a": "b"}])
def test_sd_is_not_an_array(value):
    assert code(forge(BASE | {"_sd": value})) == "sdjwt.sd_form"
    assert code(forge(BASE | {"a": [{"_sd": value}]})) == "sdjwt.sd_form"


@pytest.mark.parametrize("value", [5, None, ["x"], {"x": 1}, True])
def test_digest_is_not_a_string(value):
    assert code(forge(BASE | {"_sd": [value]})) == "sdjwt.digest_form"
    assert code(forge(BASE | {"a": [{"...": value}]})) == "sdjwt.digest_form"


def test_element_with_another_key():
    element = {"...": digest(ELEMENT), "x": 1}
    assert code(forge(BASE | {"a": [element]}, ELEMENT)) == "sdjwt.element_form"
    assert code(forge(BASE | {"a": [{"...": "d", "_sd": []}]})) == "sdjwt.element_form"


@pytest.mark.parametrize(
    "payload",
    [{"...": "x"}, {"a": {"...": "x"}}, {"a": {"_sd_alg": "sha-256"}}, {"a": [{"b": {"...": "x"}}]}],
)
def test_reserved_names_in_wrong_places(payload):
    assert code(forge(BASE | payload)) == "sdjwt.reserved_name"


def test_reserved_names_inside_a_disclosure():
    bad = disclosure("s", "a", {"...": "x"})
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.reserved_name"
    bad = disclosure("s", "a", {"_sd": "x"})
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "sdjwt.sd_form"


def test_disclosure_nested_too_deeply():
    value: object = 1
    for _ in range(40):
        value = [value]
    bad = disclosure("s", "a", value)
    assert code(forge(BASE | {"_sd": [digest(bad)]}, bad)) == "json.too_deep"


def test_a_long_chain_of_disclosures_does_not_exhaust_the_stack():
    chain = [disclosure("s", "end", 1)]
    for i in range(255):
        chain.append(disclosure(f"s{i}", "next", {"_sd": [digest(chain[-1])]}))
    assert len(verify(forge(BASE | {"_sd": [digest(chain[31])]}, *chain[:32])).disclosed) == 32
    for length in (33, 256):
        assert code(forge(BASE | {"_sd": [digest(chain[length - 1])]}, *chain[:length])) == "sdjwt.too_deep"


def test_depth_counts_across_disclosures():
    """What comes out is never nested deeper than what we would read back."""
    value: object = {"_sd": [digest(NAME)]}
    for _ in range(29):
        value = [value]
    for extra, fine in ((value, True), ([value], False)):
        outer = disclosure("s", "a", extra)
        token = forge(BASE | {"_sd": [digest(outer)]}, outer, NAME)
        if fine:
            jws.loads(json.dumps(verify(token).payload), max_bytes=100_000)
        else:
            assert code(token) in ("sdjwt.too_deep", "json.too_deep")


def test_what_was_left_out_leaves_no_trace():
    payload = BASE | {
        "_sd": ["decoy"],
        "list": [1, {"...": "gone"}, 2],
        "a": {"_sd": ["x"]},
        "_sd_alg": "sha-256",
    }
    assert verify(forge(payload)).payload == BASE | {"list": [1, 2], "a": {}}


# -- 7: the profile, on the processed payload


@pytest.mark.parametrize("vct", [None, "", 5, ["x"]])
def test_vct(vct):
    assert code(forge(BASE | {"vct": vct})) == "sdjwt.vct"
    assert code(forge({k: v for k, v in BASE.items() if k != "vct"})) == "sdjwt.vct"


@pytest.mark.parametrize(
    "iss",
    [
        None,
        5,
        "",
        "hub.example",
        "http://hub.example/dept/x",
        "ftp://hub.example",
        "https://",
        "https://hub.example/?a=1",
        "https://hub.example/?",
        "https://hub.example/#x",
        "https://hub.example/#",
        "https://user@hub.example/",
        "https://hub.example:99999/",
        "https://hub.example/a b",
        "https://hub.example\n",
        "HTTPS://hub.example",
        "https://[::1/",
        "javascript:alert(1)",
    ],
)
def test_iss(iss):
    assert code(forge(BASE | {"iss": iss})) == "sdjwt.iss"


def test_iss_missing():
    assert code(forge({k: v for k, v in BASE.items() if k != "iss"})) == "sdjwt.iss"


@pytest.mark.parametrize(
    "iss",
    ["https://hub.example", "https://hub.example:8443/dept/a-b_c",
     "http://localhost:8000/dept/x", "http://127.0.0.1:8000/dept/x", "http://[::1]:8000/x", "http://hub:8000/dept/x",
     "http://yimen.test/dept/x"],
)  # fmt: skip
def test_iss_accepted(iss):
    assert verify(forge(BASE | {"iss": iss})).payload["iss"] == iss


def test_no_end_and_no_status():
    assert code(forge({k: v for k, v in BASE.items() if k != "exp"})) == "sdjwt.unlimited"


STATUS = {"status": {"status_list": {"idx": 0, "uri": "https://hub.example/v1/status-lists/x"}}}


def test_status_alone_is_enough():
    payload = {k: v for k, v in BASE.items() if k != "exp"} | STATUS
    assert sdjwt.status_reference(verify(forge(payload)).payload) == (
        "https://hub.example/v1/status-lists/x",
        0,
    )
    assert sdjwt.status_reference(BASE) is None


@pytest.mark.parametrize(
    "status",
    [
        None,
        "x",
        {},
        {"status_list": {}},
        {"status_list": {"idx": -1, "uri": "u"}},
        {"status_list": {"idx": True, "uri": "u"}},
        {"status_list": {"idx": "1", "uri": "u"}},
        {"status_list": {"idx": 1}},
        {"status_list": {"idx": 1, "uri": ""}},
        {"status_list": [1, "u"]},
    ],
)
def test_status_shape(status):
    assert code(forge(BASE | {"status": status})) == "sdjwt.status"


def test_times():
    assert code(forge(BASE | {"exp": NOW - 30}), Unprocessable) == "jwt.expired"
    assert code(forge(BASE | {"nbf": NOW + 31}), Unprocessable) == "jwt.not_yet"
    assert code(forge(BASE | {"iat": NOW + 31}), Unprocessable) == "jwt.issued_in_future"
    for name in ("exp", "nbf", "iat"):
        assert code(forge(BASE | STATUS | {name: True})) == "jwt.time"
        assert code(forge(BASE | STATUS | {name: None})) == "jwt.time"


def test_iat_may_be_disclosed_and_is_still_judged():
    hidden = disclosure("s", "iat", NOW + 100)
    payload = {k: v for k, v in BASE.items() if k != "iat"} | {"_sd": [digest(hidden)]}
    assert code(forge(payload, hidden), Unprocessable) == "jwt.issued_in_future"
    assert "iat" not in verify(forge(payload)).payload


def test_every_certificate_rule_names_itself():
    """No two rules share a code, so an operator can tell what is wrong from the code alone."""
    import inspect
    import re

    from hub.formats import disclosures

    codes = re.findall(r'refuse\(\s*"(\w+)"', inspect.getsource(disclosures))
    shared = {
        "disclosure_kind",
        "never_selective",
    }  # one rule, met in an object and in an array; in and around
    assert {c for c in codes if codes.count(c) > 1} <= shared
