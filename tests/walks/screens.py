"""A real browser at a real server with TLS, without scripts; and what must hold for every page it sees."""

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path

import uvicorn
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from fastapi import FastAPI
from parts import free_port
from playwright.async_api import Browser, Page, async_playwright
from playwright.async_api import Error as BrowserError

HOST = "hub.example"
BASE = f"https://{HOST}"
PHONE, DESK = (390, 844), (1280, 900)
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs" / "screenshots"
WRITE = os.environ.get("YIMEN_WRITE_SCREENSHOTS") == "1"


def x509_for(folder: Path, host: str = HOST) -> tuple[Path, Path]:
    """A key and a self-signed x509 certificate for this run."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(host)]), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "tls.key", folder / "tls.pem"
    paths[0].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    paths[1].write_bytes(made.public_bytes(serialization.Encoding.PEM))
    return paths


@asynccontextmanager
async def served(app: FastAPI, folder: Path) -> AsyncIterator[int]:
    """The application on 127.0.0.1 with TLS; gives the port."""
    key, pem = x509_for(folder)
    port = free_port()
    config = uvicorn.Config(
        app, host="127.0.0.1", port=port, ssl_keyfile=key, ssl_certfile=pem, lifespan="off", log_level="error"
    )
    server = uvicorn.Server(config)
    task = asyncio.create_task(server.serve())
    while not server.started:  # noqa: ASYNC110 - uvicorn offers no event
        await asyncio.sleep(0.02)
    try:
        yield port
    finally:
        server.should_exit = True
        await task


@asynccontextmanager
async def chromium_at(port: int, path: str) -> AsyncIterator[Browser]:
    """Chromium for which `hub.example` is our server."""
    rule = f"--host-resolver-rules=MAP {HOST}:443 127.0.0.1:{port}"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(
            executable_path=path,
            args=["--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", rule],
        )
        try:
            yield browser
        finally:
            await browser.close()


async def picture(page: Page, path: Path, *, whole: bool = False) -> None:
    """A screenshot. A busy machine's Chromium sometimes has no frame ready; then it is asked again, 5 times at most."""
    for left in range(4, -1, -1):
        try:
            await page.screenshot(path=path, full_page=whole)
            return
        except BrowserError as error:
            if not left or "Unable to capture screenshot" not in str(error):
                raise
            await asyncio.sleep(1)



@dataclass
class Eyes:
    """One visitor; every page that is looked at is checked, photographed at two widths, and must stay silent."""

    browser: Browser
    folder: Path
    complaints: list[str] = field(default_factory=list)

    @asynccontextmanager
    async def visitor(self, *, scripts: bool = False) -> AsyncIterator[Page]:
        context = await self.browser.new_context(
            ignore_https_errors=True, java_script_enabled=scripts, locale="zh-CN",
            viewport={"width": PHONE[0], "height": PHONE[1]},
        )  # fmt: skip
        page = await context.new_page()
        page.set_default_timeout(90_000)  # two cores may be shared with much else
        page.on("console", lambda message: self.complaints.append(f"console: {message.text}"))
        page.on("pageerror", lambda error: self.complaints.append(f"error: {error}"))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((BASE, "data:", "blob:"))
                else self.complaints.append(f"foreign: {request.url}")
            ),
        )
        yield page
        await context.close()

    async def look(self, page: Page, name: str, *, at: str = "") -> None:
        """Photograph the page at phone and desktop width, and check it at 320 px, standard and large text."""
        for label, (width, height) in (("phone", PHONE), ("desktop", DESK)):
            await page.set_viewport_size({"width": width, "height": height})
            if at:
                await page.goto(page.url.partition("#")[0] + at)
            await picture(page, self.folder / f"{name}-{label}.png")
            await picture(page, self.folder / f"{name}-{label}-whole.png", whole=True)
        await self.check(page, name, tap=44)
        await page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})

    async def check(self, page: Page, name: str, *, tap: int) -> None:
        """No sideways scrolling at 320 px; everything that is touched is `tap` px or more."""
        await page.set_viewport_size({"width": 320, "height": 700})
        sizes = await self._measure(page, tap)
        self.complaints += [f"{name}: {fault}" for fault in sizes]

    async def _measure(self, page: Page, tap: int) -> list[str]:
        """Measured from outside, since page scripts are off: the browser still answers for element boxes."""
        faults = []
        client = await page.context.new_cdp_session(page)
        metrics = await client.send("Page.getLayoutMetrics")
        if metrics["cssContentSize"]["width"] > 320:
            faults.append(f"{metrics['cssContentSize']['width']} px wide at 320")
        touched = page.locator(
            "button, a.btn, .tools a, .nav a, .foot nav a, select, summary, label.opt, "
            "input:not([type=hidden]):not([type=checkbox]), textarea"
        )
        for thing in await touched.all():
            box = await thing.bounding_box()
            if box and box["width"] and min(box["width"], box["height"]) < tap - 0.5:  # no width: folded away
                faults.append(f"small: {await thing.text_content()} {box['width']:.0f}x{box['height']:.0f}")
        return faults
