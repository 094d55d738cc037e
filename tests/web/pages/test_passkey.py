"""Consent that the hub cannot forge: a browser's virtual authenticator signs it, anybody checks it offline."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
import uvicorn
from parts import free_port
from playwright.async_api import Page, Request, async_playwright
from web.pages.family import ORIGIN, Family, make_family
from world import World

from hub.actor import SYSTEM
from hub.consent import approve, passkeys
from hub.consent.evidence import approval_of
from hub.errors import HubError
from hub.formats.passkeyowner import check_owner, owner_of
from hub.formats.webauthn import Approval, check_approval
from hub.ledger.head import log_key
from hub.ledger.prove import prove_inclusion
from hub.ledger.tileset import TileReader
from hub.main import app as make_app
from hub.registry import sessions


@dataclass
class Phone:
    """A citizen's phone: a signed-in browser with an authenticator in it."""

    page: Page
    base: str
    family: Family


@pytest.fixture
async def phone(world: World, tmp_path: Path, chromium: str) -> AsyncIterator[Phone]:
    world.clock.moment = datetime.now(UTC).replace(microsecond=0)
    family = await make_family(world, tmp_path)
    port = free_port()
    base = f"http://localhost:{port}"
    settings = family.hub.settings.model_copy(update={"public_url": base})
    family.hub = replace(family.hub, settings=settings)
    family.app = make_app(family.hub)
    server = uvicorn.Server(uvicorn.Config(family.app, port=port, log_level="warning", lifespan="off"))
    running = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.01)
    subject = await world.subject(family.parent)
    async with family.hub.tx(SYSTEM) as tx:
        opened = await sessions.open_session(tx, assurance="substantial", subject_id=subject)
    async with async_playwright() as playwright:
        args = ["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage"]
        browser = await playwright.chromium.launch(executable_path=chromium, args=args)
        context = await browser.new_context(locale="zh-CN")
        await context.add_cookies([{"name": "yimen-session", "value": opened.token, "url": base}])
        page = await context.new_page()
        devtools = await context.new_cdp_session(page)
        await devtools.send("WebAuthn.enable")
        options = {
            "protocol": "ctap2", "transport": "internal", "hasResidentKey": True, "hasUserVerification": True,
            "isUserVerified": True, "automaticPresenceSimulation": True,
        }  # fmt: skip
        await devtools.send("WebAuthn.addVirtualAuthenticator", {"options": options})
        yield Phone(page, base, family)
        await browser.close()
    server.should_exit = True
    await running


async def asked(family: Family, item: str | None = None) -> str:
    case = await family.world.case(family.parent, **({"item": item} if item else {}))
    purpose = "realestate-transfer" if item else "points-enrolment"
    kind = "property" if item else "degree"
    department = family.world.items[case.item_code].department
    detail = family.world.detail(case, [kind], purpose=purpose)
    return (await family.world.ask(department, case, [detail], of=family.parent)).public_id


async def bind(phone: Phone) -> None:
    await phone.page.goto(f"{phone.base}/passkeys")
    await phone.page.fill("#label", "我的手机")
    await phone.page.click("text=添加通行密钥")
    await phone.page.wait_for_url("**/passkeys?done=bound")


async def agree(phone: Phone, public_id: str) -> None:
    page = phone.page
    await page.goto(f"{phone.base}/requests/{public_id}")
    for box in await page.locator("input[name=all]").all():
        await box.check()
    await page.click("button[value=agree]")


async def evidence(phone: Phone, public_id: str) -> Approval:
    async with phone.family.hub.view(SYSTEM) as view:
        raw = await approval_of(view, request=public_id)
    assert raw is not None
    return Approval.from_json(raw)


async def verify(file: Path, *more: object) -> "subprocess.CompletedProcess[str]":
    command = [sys.executable, "-m", "hub.cli", "verify", str(file), *map(str, more)]
    return await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_passkey_signs_exactly_what_was_agreed_to(phone: Phone, tmp_path: Path) -> None:
    await bind(phone)
    public_id = await asked(phone.family)
    await agree(phone, public_id)
    await phone.page.click("text=用通行密钥同意")
    await phone.page.wait_for_selector("h2:has-text('您已同意')")
    assert "您已同意" in await phone.page.inner_text("main")
    kept = await evidence(phone, public_id)
    said = check_approval(kept)
    assert (said["request"], said["department"]) == (public_id, "dg-edu")
    assert said["authorization_details"][0]["datatypes"] == ["degree"]
    assert phone.family.parent.id_no not in json.dumps(kept.to_json())

    await _whose_it_was(phone, kept, tmp_path)

    # one byte changed afterwards, anywhere: refused offline
    for name in ("signed", "client_data", "authenticator_data", "signature", "public_key", "origin"):
        value = getattr(kept, name)
        for place in (len(value) // 3, len(value) // 2, len(value) - 3):
            other = value[:place] + ("A" if value[place] != "A" else "B") + value[place + 1 :]
            with pytest.raises(HubError, match=r"approval\."):
                check_approval(replace(kept, **{name: other}))
    wider = json.loads(kept.signed)
    wider["authorization_details"][0]["max_uses"] = 9
    with pytest.raises(HubError, match=r"approval\."):
        check_approval(replace(kept, signed=json.dumps(wider, separators=(",", ":"))))

    # and the command says the same, without a hub
    file = tmp_path / "approval.json"
    file.write_text(json.dumps(kept.to_json()), encoding="utf-8")
    assert "degree" in (await verify(file)).stdout
    file.write_text(
        json.dumps({**kept.to_json(), "signed": kept.signed.replace("degree", "degrez")}), encoding="utf-8"
    )
    assert (await verify(file)).returncode == 1


async def _whose_it_was(phone: Phone, kept: Approval, folder: Path) -> None:
    """The leaf, its proof and a certificate show whose passkey signed; anything else put in its place does not."""
    family = phone.family
    await family.sequence()
    async with family.hub.view(SYSTEM) as view:
        proof = await passkeys.owner_proof(view, credential_id=kept.credential_id, with_salt=True)
        hidden = await passkeys.owner_proof(view, credential_id=kept.credential_id, with_salt=False)
        inclusion = await prove_inclusion(view, TileReader(family.hub.blobs), leaf_hash=proof.leaf_hash)
    assert (hidden.salt, proof.id_type) == (None, "111")
    assert family.parent.id_no not in proof.leaf
    key = log_key(ORIGIN, family.hub.signer("ledger"))
    person = {"id_type": "111", "id_no": family.parent.id_no}
    at = {"inclusion": inclusion, "log_key": key}
    leaf = check_owner(proof, kept, **person, **at)
    assert leaf["owner"] in json.loads(kept.signed)["owners"]
    leaf_text = proof.leaf.replace(leaf["owner"], owner_of(b"x" * 32, id_type="111", id_no=family.other.id_no))
    for wrong, code in (
        (replace(proof, leaf=leaf_text), "owner.not_named"),
        (replace(proof, leaf=proof.leaf.replace('"v":1', '"v":2')), "tlogproof.inclusion"),
        (hidden, "owner.no_salt"),
        (replace(proof, attestation=proof.attestation[:-4] + "AAAA"), "owner.registration"),
        (replace(proof, signed=proof.signed.replace('"v":1', '"v":2')), "owner.registration"),
    ):
        with pytest.raises(HubError, match=code):
            check_owner(wrong, kept, **person, **at)
    with pytest.raises(HubError, match=r"owner\.other_person"):
        check_owner(proof, kept, id_type="111", id_no=family.other.id_no, **at)
    files = {"approval.json": json.dumps(kept.to_json()), "owner.json": json.dumps(proof.to_json())}
    files |= {"proof.txt": str(inclusion), "holder.txt": await family.token()}
    for name, text in files.items():
        (folder / name).write_text(text, encoding="utf-8")
    options = ["--owner", folder / "owner.json", "--proof", folder / "proof.txt", "--holder", folder / "holder.txt"]
    told = await verify(folder / "approval.json", *options, "--log-key", str(key))
    assert "通行密钥是证照持有人的" in told.stdout, told.stdout + told.stderr
    others = await family.world.sign("degree", [family.other.as_holder("owner")])
    (folder / "holder.txt").write_text(others, encoding="utf-8")
    assert (await verify(folder / "approval.json", *options, "--log-key", str(key))).returncode == 1


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_an_item_can_demand_it_and_a_sign_in_alone_is_marked(phone: Phone) -> None:
    lower = await asked(phone.family)
    await agree(phone, lower)  # nobody has a passkey yet: the sign-in counts, and no evidence is claimed
    await phone.page.wait_for_selector("h2:has-text('您已同意')")
    async with phone.family.hub.view(SYSTEM) as view:
        assert await approval_of(view, request=lower) is None
    await phone.family.world.certificate("property", (phone.family.parent, "owner"))
    await phone.family.world.department("dg-realestate")
    demanded = await asked(phone.family, item="441900-realestate-transfer")
    await phone.page.goto(f"{phone.base}/items/441900-realestate-transfer")
    assert "同意须用通行密钥确认" in await phone.page.inner_text("main"), "told while planning"
    await phone.page.goto(f"{phone.base}/requests/{demanded}")
    assert "只凭登录不够" in await phone.page.inner_text("main"), "told before anything is pressed"
    assert await phone.page.locator("button[value=agree]").count() == 0
    with pytest.raises(HubError, match=r"consent\.passkey_needed"):
        await phone.family.world.agree(phone.family.parent, demanded)
    await phone.page.click("text=先添加通行密钥，再同意")
    await phone.page.fill("#label", "我的手机")
    await phone.page.click("button:has-text('添加通行密钥')")
    await phone.page.click("text=回到请求")
    await agree(phone, demanded)
    assert await phone.page.locator("text=只凭登录同意").count() == 0
    assert await phone.page.locator("button[value=refuse]").count() == 1, "refusing is on this page too"
    await phone.page.click("text=用通行密钥同意")
    await phone.page.wait_for_selector("h2:has-text('您已同意')")
    assert check_approval(await evidence(phone, demanded))["request"] == demanded
    await step_up(phone)


async def step_up(phone: Phone) -> None:
    """Removing a passkey is a dangerous act: after ten minutes it asks for a fresh proof, and the passkey gives it."""
    page = phone.page
    phone.family.world.clock.advance(minutes=11)
    before = {one["name"]: one["value"] for one in await page.context.cookies()}
    await page.goto(f"{phone.base}/passkeys")
    await page.click("button:has-text('删除')")
    await page.wait_for_url("**/again/*")
    await page.click("text=用通行密钥确认")
    await page.wait_for_url("**/again/*/go")
    after = {one["name"]: one["value"] for one in await page.context.cookies()}
    assert after["yimen-session"] != before["yimen-session"]
    await page.click("text=继续办理")
    await page.wait_for_url("**/passkeys?done=removed")


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
async def test_a_signature_is_good_for_one_request_once(phone: Phone) -> None:
    await bind(phone)
    first, second = await asked(phone.family), await asked(phone.family)
    await agree(phone, first)
    body: dict[str, str] = {}

    def note(sent: Request) -> None:
        if sent.url.endswith("/sign"):
            body["x"] = sent.post_data or ""

    phone.page.on("request", note)
    await phone.page.click("text=用通行密钥同意")
    await phone.page.wait_for_selector("h2:has-text('您已同意')")
    headers = {"origin": phone.base, "content-type": "application/x-www-form-urlencoded"}
    for target in (first, second):
        answer = await phone.page.request.post(
            f"{phone.base}/requests/{target}/sign", data=body["x"], headers=headers
        )
        assert answer.status == 400
    async with phone.family.hub.view(await phone.family.world.citizen(phone.family.parent)) as view:
        waiting = await approve.pending(view, items=phone.family.hub.items, types=phone.family.hub.types)
    assert [one.public_id for one in waiting] == [second]
