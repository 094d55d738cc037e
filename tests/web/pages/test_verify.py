"""The public page: every answer of its closed list has words, and a changed byte is told as what it is."""

import json
import tempfile
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from parts import spoilt
from registry.makers import AUDIENCE
from web.pages.family import Browser, Family, Page

from hub.actor import SYSTEM
from hub.certificates import find
from hub.certificates.face import keep_face
from hub.certificates.find import by_public_id
from hub.certificates.model import StatusEvent, certificates
from hub.formats.jws import b64u_encode
from hub.paper import qr
from hub.paper.read import inspect
from hub.paper.render import Face, face_sync
from hub.store.seal import seal
from hub.verification import handed_in
from hub.verification.handed_in import Answer
from keys.signer import generate


async def pasted(family: Family, token: str) -> Page:
    browser = family.browser()
    return await browser.send(await browser.get("/verify"), "/verify", {"text": token})


async def dropped(browser: Browser, data: bytes, name: str = "file.pdf") -> Page:
    return await browser.send(await browser.get("/verify"), "/verify", files={"file": (name, data)})


async def with_face(family: Family) -> bytes:
    """The degree's PDF, made as an agent makes it and taken in by the hub."""
    pdf = face_sync(
        Face(
            title_zh="学历学位证书",
            title_en="Degree",
            issuer_zh="学位授予单位",
            issuer_en="Institution",
            rows=(("姓名", "Name", "陈安"),),
            number="1181942007001234",
            issued_on=date(2026, 11, 23),
            valid_until=None,
            verify_url=f"{AUDIENCE}/v/{family.degree}",
            short_code=family.degree[:8],
            sd_jwt=await family.token(),
        )
    )
    async with family.hub.tx(family.world.acting(await family.world.department("dg-degree"))) as tx:
        certificate = await by_public_id(tx, family.degree)
        await keep_face(tx, certificate=certificate, pdf=pdf, inspection=inspect(pdf), blobs=family.hub.blobs)
    return pdf


def test_every_answer_has_words_in_both_languages() -> None:
    for answer in Answer:
        zh, en, next_zh, next_en = handed_in.words(answer)
        assert zh
        assert en
        assert bool(next_zh) == bool(next_en)
        assert next_zh or answer is Answer.VALID


async def test_a_genuine_certificate_is_valid_and_says_what_was_not_checked(family: Family) -> None:
    await family.sequence()
    page = await pasted(family, await family.token())
    assert "真实有效" in page.text
    assert "1181942007001234" in page.text
    assert "不证明拿着证照的人就是证照上的人" in page.text
    assert len(page.root.xpath("//ol[@class='checks']/li")) == 8


async def test_a_changed_character_is_told(family: Family) -> None:
    token = await family.token()
    for place in (token.index(".") + 20, token.index("~") - 5, len(token) - 6):
        other = "A" if token[place] != "A" else "B"
        page = await pasted(family, token[:place] + other + token[place + 1 :])
        assert "不可采信" in page.text, place
        assert "文件在签发后被改动过" in page.text or "不是本平台" in page.text or "未在本平台登记" in page.text


async def test_a_forged_certificate_is_told(family: Family) -> None:
    forged = await family.world.sign(
        "degree", [family.parent.as_holder("owner")], by="dg-degree", signer=generate(), number="1"
    )
    page = await pasted(family, forged)
    assert "不可采信" in page.text
    assert "真实" not in page.one("//div[@role='status']").text_content()


async def test_a_signed_but_unregistered_certificate_is_undecided(family: Family) -> None:
    token = await family.world.sign("degree", [family.parent.as_holder("owner")])
    page = await pasted(family, token)
    assert "暂无法核验" in page.text
    assert "没有登记过" in page.text


@pytest.mark.parametrize(
    ("event", "words"), [(StatusEvent.REVOKE, "吊销"), (StatusEvent.SUSPEND, "暂停")]
)
async def test_revoked_and_suspended_are_told(family: Family, event: StatusEvent, words: str) -> None:
    token = await family.token()
    await family.world.change(family.degree, event, by="dg-degree")
    page = await pasted(family, token)
    assert "不可采信" in page.text
    assert words in page.one("//div[@role='status']").text_content()


async def test_a_stale_status_list_says_nothing_against_the_certificate(family: Family) -> None:
    family.world.clock.advance(days=8)
    page = await pasted(family, await family.token())
    assert "暂无法核验" in page.text


async def test_the_registered_pdf_is_valid_and_a_changed_byte_is_not(family: Family) -> None:
    pdf = await with_face(family)
    browser = family.browser()
    assert "真实有效" in (await dropped(browser, pdf)).text
    place = pdf.index(b"/Title") + 20
    for changed in (
        spoilt(pdf, place),
        pdf + b"\n% more",
        pdf.replace(b"%%EOF", b"%%EOF\n%x"),
    ):
        page = await dropped(browser, changed)
        assert "不可采信" in page.text
        assert "改动" in page.one("//div[@role='status']").text_content()


async def test_the_owner_downloads_the_same_face_and_nobody_else_does(family: Family) -> None:
    pdf = await with_face(family)
    answer = (await (await family.as_parent()).client.get(f"/wallet/{family.degree}/face.pdf")).content
    assert answer == pdf
    stranger = family.browser()
    await stranger.sign_in(subject=await family.world.subject(family.other))
    assert (await stranger.get(f"/wallet/{family.degree}/face.pdf")).status == 404
    await family.world.change(family.degree, StatusEvent.REVOKE, by="dg-degree")
    assert (await (await family.as_parent()).get(f"/wallet/{family.degree}/face.pdf")).status == 409


async def test_a_code_alone_tells_nothing_about_the_holder(family: Family) -> None:
    page = await family.browser().get(f"/v/{family.degree}")
    assert "二维码对应的证照登记在册" in page.text
    assert "不证明纸面内容没有改动" in page.text
    for secret in ("陈", family.parent.id_no, "1181942007001234"):
        assert secret not in page.text


async def test_strange_members_of_an_unsigned_token(family: Family) -> None:
    strange = ("\x00", "", "x" * 9000, -1, 2**53, None, [], {"a": 1})
    said = {"iss": f"{AUDIENCE}/dept/dg-degree", "vct": "urn:yimen:certificate:degree:1", "jti": "x", "iat": 1}
    cases = [({**said, member: value}, "k" * 43) for member in said for value in strange] + [(said, "\x00")]
    async with family.hub.view(SYSTEM) as view:
        for payload, kid in cases:
            header = {"alg": "ES256", "typ": "dc+sd-jwt", "kid": kid}
            parts = [b64u_encode(json.dumps(part).encode()) for part in (header, payload)]
            found = await handed_in.check_token(
                view,
                token=".".join([*parts, b64u_encode(b"s" * 64)]) + "~",
                face=None,
                types=family.hub.types,
                base_url=AUDIENCE,
                blobs=family.hub.blobs,
            )
            assert found.answer in (Answer.ALTERED, Answer.ISSUER_UNKNOWN, Answer.FUTURE_DATED), payload


async def test_a_foreign_code_is_not_ours(family: Family) -> None:
    async with family.hub.view(SYSTEM) as view:
        for text in ("https://evil.example/v/x", f"{AUDIENCE}.evil.example/v/{family.degree}", "hello"):
            found = await handed_in._check_codes(view, (text,), family.hub.types, AUDIENCE)
            assert found.answer is Answer.NOT_OURS
    assert qr.svg(f"{AUDIENCE}/v/{family.degree}")


async def test_an_unknown_code_is_not_found(family: Family) -> None:
    page = await family.browser().get("/v/AAAAAAAAAAAAAAAAAAAAAA")
    assert page.status == 404
    assert "没有对应的证照" in page.text


async def test_too_large_is_told_before_it_is_read(family: Family) -> None:
    page = await dropped(family.browser(), b"%PDF-1.7\n" + b"0" * (21 * 2**20))
    assert "文件过大" in page.text


async def test_what_is_dropped_never_touches_a_disk(
    family: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))  # any attempt to spool fails
    page = await dropped(family.browser(), b"0" * (3 * 2**20))
    assert page.status == 200
    assert "不是本平台的电子证照" in page.text


async def test_nothing_chosen_is_an_error_at_the_field(family: Family) -> None:
    browser = family.browser()
    page = await browser.send(await browser.get("/verify"), "/verify", {"text": " "})
    assert page.status == 422
    assert page.one("//div[@role='alert']//a").get("href") == "#file"


@settings(max_examples=25)
@given(data=st.one_of(st.binary(max_size=300), st.text(max_size=200).map(str.encode)))
async def test_whatever_is_dropped_gets_an_answer_of_the_list(family: Family, data: bytes) -> None:
    browser = family.browser()
    page = await dropped(browser, data or b" ")
    assert page.status in (200, 422)
    assert "系统出了差错" not in page.text


async def test_a_code_does_not_vouch_for_a_body_that_was_changed_in_storage(family: Family) -> None:
    """Somebody with the database and the hub's keys puts another body in the row: the code says so."""
    subject = await family.world.subject(family.parent)
    token = await family.token()
    at = token.index("~") + 20
    forged = token[:at] + ("A" if token[at] != "A" else "B") + token[at + 1 :]
    async with family.hub.tx(SYSTEM) as tx:
        (held,) = await find.of_holder(tx, subject_id=subject, type_code="degree")
        body = seal(await find.open_key(tx, held), forged.encode(), bound_to=held.certificate.ref.id.bytes)
        await tx.run(
            certificates.update().where(certificates.c.id == held.certificate.ref.id).values(sealed_body=body)
        )
    page = await family.browser().get(f"/v/{family.degree}")
    assert "改动" in page.text
