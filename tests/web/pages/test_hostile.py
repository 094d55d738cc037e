"""Whatever is put into an address or a form field gets an answer that explains itself, never a fault of ours."""

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from web.pages.family import Family, Page

BAD = ["%00", "..%2f..%2fetc", "'%20or%201=1", "%F0%9F%98%80", "a" * 300, "%0d%0aSet-Cookie:x"]
WITH_ID = ["/v/{}", "/wallet/{}", "/wallet/{}/face.pdf", "/requests/{}", "/enter/{}"]
WITH_QUERY = ["/accesses?before={}", "/accesses?of={}", "/login?as={}&next={}", "/?lang={}&care={}", "/wallet?show={}"]


@pytest.mark.parametrize("bad", BAD)
async def test_addresses(family: Family, bad: str) -> None:
    citizen, clerk = await family.as_parent(), await family.as_officer("clerk")
    auditor = await family.as_officer("auditor")
    for path in WITH_ID:
        assert (await citizen.get(path.format(bad))).status in (200, 404), path
    for path in WITH_QUERY:
        assert (await citizen.get(path.format(bad, bad))).status in (200, 400), path
    assert (await clerk.get(f"/counter/cases/{bad}")).status == 404
    assert (await auditor.get(f"/auditor/accesses/{bad}")).status == 404
    for name in ("department", "item", "case", "outcome", "basis", "since", "until", "page"):
        assert (await auditor.get(f"/auditor?{name}={bad}")).status in (200, 400), name


@pytest.mark.parametrize("number", ["99999999999999999999", "-1", "٣", "0001-01-01", "9999-12-31"])
async def test_numbers_and_days_out_of_range(family: Family, number: str) -> None:
    citizen, auditor = await family.as_parent(), await family.as_officer("auditor")
    assert (await citizen.get(f"/accesses?before={number}")).status == 200
    for name in ("since", "until", "page"):
        assert (await auditor.get(f"/auditor?{name}={number}")).status == 200, name


@settings(max_examples=20, suppress_health_check=list(HealthCheck))
@given(value=st.text(max_size=80))
async def test_form_fields(family: Family, value: str) -> None:
    clerk = await family.as_officer("clerk")
    page = await clerk.get("/counter")
    fields = {"item": "441900-edu-points-enrolment", "applicant": value, "child_type": "birth", "child": value}
    answer = await clerk.send(page, "/counter/cases", fields)
    assert answer.status in (200, 400, 422)


NAMELESS = b"--x\r\nContent-Disposition: form-data\r\n\r\n1\r\n--x--"


@pytest.mark.parametrize("body", [b"", b"--x", NAMELESS, b"\xff" * 9])
async def test_broken_multipart(family: Family, body: bytes) -> None:
    browser = family.browser()
    await browser.get("/verify")
    headers = {"content-type": "multipart/form-data; boundary=x"}
    assert Page(await browser.client.post("/verify", content=body, headers=headers)).status in (400, 403)
    headers = {"content-type": "multipart/form-data"}
    assert Page(await browser.client.post("/verify", content=body, headers=headers)).status in (400, 403)
    unsure = {b"content-type": b"multipart/form-data; boundary=x", b"content-length": "²".encode("latin-1")}
    assert Page(await browser.client.post("/logout", content=b"1", headers=unsure)).status in (400, 403)


async def test_a_length_that_binds_nobody_is_no_length(family: Family) -> None:
    """Beside Transfer-Encoding a Content-Length says nothing of what comes."""
    headers = {"content-length": "3", "transfer-encoding": "chunked"}
    headers["content-type"] = "application/x-www-form-urlencoded"
    answer = await family.browser().client.post("/logout", content=b"a=b", headers=headers)
    assert answer.status_code == 400
    assert "长度" in answer.text
