"""What is signed says the row and nothing more; what the type forbids is found before it is signed."""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from adapters import certtypes
from adapters.mapping import Mapped
from adapters.sign import issuer_url, ref_of, sign_certificate
from hub.clock import day_end, seconds
from hub.errors import Malformed
from hub.formats import jws, sdjwt
from keys.signer import generate

NOW = datetime(2026, 11, 23, 1, 30, tzinfo=UTC)
TYPES = Path(certtypes.__file__).parent.parent / "hub" / "registry" / "types"


def kind(code: str) -> certtypes.CertificateType:
    return certtypes.from_document(json.loads((TYPES / f"{code}.json").read_text(encoding="utf-8")))


def owner(role="owner") -> dict[str, str]:
    return {"role": role, "name": "张三", "id_type": "111", "id_no": "441900199403150023"}


def degree(**claims) -> Mapped:
    said = {
        "number": "1",
        "education_level": "bachelor",
        "school": "东莞理工学院",
        "conferred_on": "2016-07-05",
    }
    return Mapped((owner(),), {**said, **claims}, None, None, None)


def signed(mapped: Mapped, code="degree", signer=None):
    signer = signer or generate()
    token = sign_certificate(
        mapped, kind(code), issuer=issuer_url("https://hub.example", "dg-degree"), generation=3,
        status=("https://hub.example/v1/status-lists/a", 77), now=NOW, signer=signer,
    )  # fmt: skip
    return token, sdjwt.verify(token, key=signer.public, now=seconds(NOW))


def test_every_claim_and_holder_member_can_be_left_out():
    token, found = signed(degree())
    assert found.payload["school"] == "东莞理工学院"
    bare = jws.split(token.split("~")[0]).payload
    assert not {"number", "school", "conferred_on"} & set(bare)
    [holder] = bare["holders"]
    assert set(holder) == {"_sd"}
    assert {("holders", 0, name) for name in ("name", "id_type", "id_no", "role")} <= set(found.disclosed)
    assert "张三" not in token
    assert (bare["iss"], bare["version"]) == ("https://hub.example/dept/dg-degree", 3)
    assert bare["status"] == {"status_list": {"idx": 77, "uri": "https://hub.example/v1/status-lists/a"}}
    assert "sub" not in bare
    assert "cnf" not in bare


def test_times_are_whole_shanghai_days():
    mapped = Mapped((owner(),), degree().claims, "2016-07-05", "2030-01-31", None)
    _, found = signed(mapped)
    iat, nbf, exp = (found.payload[name] for name in ("iat", "nbf", "exp"))
    assert iat == seconds(datetime(2026, 11, 22, 16, tzinfo=UTC))
    assert nbf == seconds(datetime(2016, 7, 4, 16, tzinfo=UTC))
    assert exp == seconds(datetime(2030, 1, 31, 16, tzinfo=UTC))
    assert exp == seconds(day_end(datetime(2030, 1, 31).date()))


def test_two_signings_share_nothing_that_links_them():
    first, second = (signed(degree())[0] for _ in range(2))
    assert jws.split(first.split("~")[0]).payload["jti"] != jws.split(second.split("~")[0]).payload["jti"]
    assert not set(first.split("~")[1:-1]) & set(second.split("~")[1:-1])


def test_absent_optional_claims_do_not_show():
    sizes = {
        len(jws.split(signed(mapped)[0].split("~")[0]).payload["_sd"])
        for mapped in (degree(), degree(major="软件工程"), degree(major="软件工程", degree_level="bachelor"))
    }
    assert len(sizes) == 1


def test_a_living_type_says_its_day():
    permits = [{"kind": "residence", "valid_from": "2020-01-01", "valid_until": "2027-01-01"}]
    claims = {"number": "1", "permits": permits, "town": "南城街道"}
    mapped = Mapped((owner(),), claims, None, None, "2026-11-23")
    found = signed(mapped, "residence_permit")[1]
    assert found.payload["as_of"] == "2026-11-23"
    assert found.payload["permits"] == claims["permits"]


@pytest.mark.parametrize(
    ("claims", "where", "rule"),
    [({"education_level": "phd"}, "education_level", "enum"), ({"conferred_on": "2016"}, "conferred_on", "pattern"),
     ({"extra": "1"}, "claims", "additionalProperties"), ({"school": ""}, "school", "minLength")],
)  # fmt: skip
def test_what_the_type_forbids_is_named_without_the_value(claims, where, rule):
    findings = kind("degree").check(degree(**claims))
    assert (where, rule) in {(finding.where, finding.detail) for finding in findings}
    assert "phd" not in repr(findings)


def test_missing_claims_and_wrong_holders_are_named():
    bare = Mapped((owner("spouse"),), {"number": "1"}, None, None, None)
    findings = kind("degree").check(bare)
    assert {finding.where for finding in findings if finding.code == "schema"} >= {"education_level"}
    assert {finding.where for finding in findings if finding.code == "holders"} == {
        "holders.owner",
        "holders",
    }
    living = kind("residence_permit").check(Mapped((owner(),), {}, None, None, None))
    assert "as_of" in {finding.where for finding in living}


@pytest.mark.parametrize("file", sorted(TYPES.glob("*.json")), ids=lambda file: file.stem)
def test_every_shipped_type_is_read(file):
    found = certtypes.from_document(json.loads(file.read_text(encoding="utf-8")))
    assert found.code == file.stem
    assert found.properties


@pytest.mark.parametrize("change", [{"schema": {"type": 1}}, {"nature": "x"}, {"holders": {}}, {"vct": ""}])
def test_broken_type_documents_are_refused(change):
    document = json.loads((TYPES / "degree.json").read_text(encoding="utf-8"))
    with pytest.raises(Malformed):
        certtypes.from_document({**document, **change})


def test_a_reference_in_a_schema_fetches_nothing():
    document = json.loads((TYPES / "degree.json").read_text(encoding="utf-8"))
    document["schema"]["properties"]["major"] = {"$ref": "http://127.0.0.1:9/x"}
    findings = certtypes.from_document(document).check(degree(major="x"))
    assert [finding.detail for finding in findings] == ["$ref"]


@given(
    st.lists(st.text(min_size=1), min_size=1, max_size=3),
    st.lists(st.text(min_size=1), min_size=1, max_size=3),
)
def test_refs_are_opaque_and_one_to_one(first, second):
    def safe(key):
        return tuple(part.encode("utf-8", "replace").decode() for part in key)

    one, other = ref_of(b"s" * 32, "d", safe(first)), ref_of(b"s" * 32, "d", safe(second))
    assert (one == other) == (safe(first) == safe(second))
    assert one != ref_of(b"t" * 32, "d", safe(first))
    assert one != ref_of(b"s" * 32, "e", safe(first))
    assert len(one) == 43
