"""`yimen verify FILE`: check a certificate without any hub, against a trust bundle and a pinned ledger key."""

import asyncio
import time
from pathlib import Path
from typing import Annotated

import typer

from hub.cli.output import FAILED, PARTLY, Json, tell
from hub.errors import HubError, Unprocessable
from hub.formats import jws
from hub.formats.note import parse_vkey
from hub.formats.webauthn import MAX_BYTES, Approval, check_approval
from hub.paper.handed import MAX_PDF, inspect_in_child
from hub.verification.offline import Offline, check

_MARKS = {True: "✓", False: "✗", None: "?"}


def add_to(app: typer.Typer) -> None:
    """Add the command of this module."""
    app.command(help="离线核验一份证照文件。 Check a certificate file offline.")(verify)


def verify(
    file: Annotated[
        Path, typer.Argument(help="证照文件：PDF 证面或 SD-JWT 文本。 A PDF face or the SD-JWT text.")
    ],
    bundle: Annotated[
        Path | None, typer.Option(help="信任包（/v1/trust-bundle 的下载）。 A downloaded trust bundle.")
    ] = None,
    log_key: Annotated[
        str, typer.Option(help="您保存的日志公钥。 The ledger key that you pinned, from an auditor.")
    ] = "",
    status_list: Annotated[
        list[Path] | None, typer.Option(help="状态列表文件，可多次。 Downloaded status lists, repeatable.")
    ] = None,
    json_out: Json = False,
) -> None:
    """Exit code 0: every check holds. 1: one does not. 3: something could not be checked, which is not a yes.

    A JSON file is the evidence of an approval by passkey; it needs no bundle.
    """
    if file.read_bytes()[:1] == b"{":
        _approval(file, as_json=json_out)
        return
    if bundle is None:
        raise ValueError("--bundle: 核验证照需要信任包。 A certificate is checked against a trust bundle.")
    found = check(
        _token(file),
        bundle=bundle.read_text(encoding="ascii"),
        log_key=parse_vkey(log_key.strip()) if log_key else None,
        status_lists=[path.read_text(encoding="ascii").strip() for path in status_list or []],
        now=int(time.time()),
    )
    told = {
        "ok": found.ok,
        "department": found.department,
        "checks": [{"name": f.name, "holds": f.holds, "zh": f.zh, "en": f.en} for f in found.findings],
        "claims": found.claims,
    }
    lines = [f"{_MARKS[one.holds]} {one.zh} / {one.en}" for one in found.findings]
    tell(told, [*lines, _summary(found)], as_json=json_out)
    if any(one.holds is False for one in found.findings):
        raise typer.Exit(FAILED)
    if not found.ok:
        raise typer.Exit(PARTLY)


def _approval(file: Path, *, as_json: bool) -> None:
    """Check the evidence that a passkey approved a request; whose key it is stands in the ledger."""
    try:
        raw = jws.loads(file.read_bytes()[:MAX_BYTES], max_bytes=MAX_BYTES)
        said = check_approval(Approval.from_json(raw))
    except HubError as fault:
        tell({"ok": False, "code": fault.code}, [f"✗ {fault.zh} / {fault.en}"], as_json=as_json)
        raise typer.Exit(FAILED) from fault
    details = said["authorization_details"]
    office = said["department"]
    lines = [f"✓ 通行密钥签署了对 {office} 的同意。 A passkey signed this approval for {office}."]
    lines += [f"  {one['item_code']} · {', '.join(one['datatypes'])} · {one['max_uses']}×" for one in details]
    told = {"ok": True, "request": said["request"], "department": office, "details": details}
    tell(told, lines, as_json=as_json)


def _summary(found: Offline) -> str:
    if found.ok:
        return f"核验通过，签发部门 {found.department}。 Genuine, issued by {found.department}."
    if any(one.holds is False for one in found.findings):
        return "核验不通过。 It does not hold."
    return "部分项目无法核对，不能视为通过。 Something could not be checked; this is not a yes."


def _token(file: Path) -> str:
    data = file.read_bytes()[: MAX_PDF + 1]
    if data.startswith(b"%PDF"):
        inside = asyncio.run(inspect_in_child(data)).sd_jwt
        if inside is None:
            raise Unprocessable(
                "face.no_certificate",
                "PDF 中没有附带证照。",
                "No certificate is attached to this PDF.",
                next_zh="请使用原始 PDF 文件，而不是扫描件或打印件。",
                next_en="Use the original file, not a scan.",
            )
        return inside
    return data.decode("ascii", "replace").strip()
