"""What people of the story do on pages: sign in, apply, agree, withdraw, look who looked. Plain forms, no script."""

import re
import time
from collections.abc import Callable
from urllib.parse import parse_qs, urlsplit

from adapters.demo.browser import Box, Browser, Page
from adapters.demo.families import Family
from adapters.demo.telling import expect, surprise

PATIENCE = 60.0


def person_key(family: Family) -> str:
    """The key of the parent who applies, as `world.write_people` named it for the sign-in page."""
    return f"{family.label or family.key}-{'father' if family.father else 'mother'}"


def sign_in(browser: Browser, who: str, following: str) -> Page:
    """Off to the demo's identity provider: choose the prepared identity, press the one button, come back."""
    page = browser.open(f"/login?as={who}&next={following}")
    arrived = browser.send(page.form("/demo-login/authorize"))
    expect(
        arrived.status == 200 and arrived.path == following,
        f"登录后没有到 {following}，而是 {arrived.path}（{arrived.status}）",
        f"sign-in led to {arrived.path} ({arrived.status}) instead of {following}",
    )
    return arrived


def officer_identity(browser: Browser, office: str, role: str) -> str:
    """The identity of an officer on the sign-in page, found by what its button says; gives the part for `as=`."""
    for form in browser.open("/login/demo").forms:
        words = form.buttons[0][2] if form.buttons else ""
        who = dict(form.fields).get("who", "")
        if who.startswith("officer:") and office in words and role in words:
            return who.partition(":")[2]
    return surprise(f"登录页没有 {office} 的{role}", f"the sign-in page offers no {role} of {office}")


def apply_for_child(browser: Browser, item: str, child: str = "") -> str:
    """Open a case for a child; gives the case id from the address one is led to."""
    page = browser.open("/apply")
    form = next((one for one in page.forms if dict(one.fields).get("item") == item), None)
    if form is None:
        return surprise("办事页没有这个事项", "the page offers no such matter")
    made = browser.send(form, fill={"child": child} if child else None)
    expect(
        made.status == 200 and made.path.startswith("/cases/"),
        f"没有开出办件（{made.status}）",
        f"no case was opened ({made.status})",
    )
    return made.path.rpartition("/")[2]


def agree(browser: Browser, code: str, tick: Callable[[Box], bool]) -> Page:
    """Read what waits, compare the code, tick, agree."""
    waiting = browser.open("/requests").links_to("/requests/")
    for link in waiting:
        page = browser.open(link)
        if not page.says(code):
            continue
        done = browser.send(page.form("/requests/"), button="agree", tick=tick)
        expect(
            done.status == 200 and done.says("您已同意"),
            f"同意没有成功（{done.status}）",
            f"agreeing failed ({done.status})",
        )
        return page
    return surprise(
        f"没有对照码为 {code} 的请求（共 {len(waiting)} 个）", f"no request shows the code {code}"
    )


def withdraw(browser: Browser, grants: tuple[str, ...]) -> int:
    """Press "withdraw" at each of these grants on the page; gives how many were withdrawn."""
    done = 0
    for grant in grants:
        page = browser.open("/accesses")
        forms = [one for one in page.forms if urlsplit(one.action).path == f"/grants/{grant}/withdraw"]
        if not forms:
            page = browser.open("/accesses?of=1")
            forms = [one for one in page.forms if urlsplit(one.action).path == f"/grants/{grant}/withdraw"]
        expect(bool(forms), "页面上没有这次同意", "the page does not show this consent")
        after = browser.send(forms[0])
        expect("done" in parse_qs(urlsplit(after.url).query), "收回没有成功", "withdrawing failed")
        done += 1
    return done


def add_phone(browser: Browser, number: str) -> None:
    """Give a phone number, read the code in the demo's outbox as one would on the phone, and confirm it."""
    page = browser.send(browser.open("/inbox/settings").form("/inbox/contacts"), fill={"address": number})
    code = re.search(r"验证码 ([0-9]{6})", message(browser, "验证码"))
    form = next((one for one in page.forms if one.action.endswith("/code")), None)
    if form is None or code is None:
        surprise("没有收到验证码", "no code arrived")
    done = browser.send(form, fill={"code": code[1]})
    expect(done.says("已确认"), "手机没有确认", "the phone was not confirmed")


def message(browser: Browser, *words: str) -> str:
    """Wait until the demo's outbox shows a message with these words; gives the page's text."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        page = browser.open("/outbox")
        if page.says(*words):
            return page.text
        time.sleep(0.2)
    return surprise(f"发件箱里没有“{words[0]}”", f"the outbox never showed {words[0]}")


def cards(browser: Browser) -> list[str]:
    """The ids of the certificates in one's own wallet."""
    links = browser.open("/wallet").links_to("/wallet/")
    return [link.rpartition("/")[2] for link in links if not link.endswith("/face.pdf")]


def looks(browser: Browser, address: str) -> tuple[list[bytes], Page]:
    """Leaf hashes of all looks on "who looked", older pages included, newest first; and the first page."""
    first = page = browser.open(address)
    found: list[bytes] = []
    while True:
        expect("记录不连续" not in page.text, "记录不连续", "the records are not continuous")
        found += [bytes.fromhex(link.rpartition("/")[2]) for link in page.links_to("/v1/proofs/")]
        older = [link for link in page.links_to("/accesses") if "before=" in link]
        if not older:
            return found, first
        page = browser.open(older[0])
