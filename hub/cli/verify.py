"""`yimen verify FILE`: check a certificate without any hub, against a trust bundle and a pinned ledger key."""

import asyncio
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from hub.cli.output import FAILED, PARTLY, Json, tell
from hub.errors import HubError, Unprocessable
from hub.formats import jws, sdjwt, tlogproof
from hub.formats.note import parse_vkey
from hub.paper.handed import MAX_PDF, inspect_in_child
from hub.verification.offline import Offline, check

if TYPE_CHECKING:
    from hub.formats.webauthn import Approval

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
    owner: Annotated[
        Path | None,
        typer.Option(help="通行密钥是谁的：`passkey` 成员的 JSON。 JSON of the member `passkey`."),
    ] = None,
    proof: Annotated[
        Path | None, typer.Option(help="该密钥登记的日志证明（/v1/proofs/…）。 Ledger proof of that leaf.")
    ] = None,
    holder: Annotated[
        Path | None,
        typer.Option(help="此人的证照（SD-JWT），用来比对号码。 The person's certificate, for the number."),
    ] = None,
    json_out: Json = False,
) -> None:
    """Exit code 0: every check holds. 1: one does not. 3: something could not be checked, which is not a yes.

    A JSON file is the evidence of an approval by passkey; it needs no bundle. With `--owner`, `--proof`, `--holder` and
    `--log-key` it is also checked whose passkey it was.
    """
    if file.read_bytes()[:1] == b"{":
        whose = _Whose(owner, proof, holder, log_key) if owner and proof and holder and log_key else None
        _approval(file, whose, as_json=json_out)
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


@dataclass(frozen=True, slots=True)
class _Whose:
    """The files that say whose passkey it was."""

    owner: Path
    proof: Path
    holder: Path
    log_key: str

    def check(self, approval: "Approval") -> None:
        """Raises unless the passkey is that of a holder whom the certificate discloses by number."""
        from hub.formats.passkeyowner import OwnerProof, check_owner
        from hub.formats.webauthn import MAX_BYTES

        raw = jws.loads(self.owner.read_bytes()[:MAX_BYTES], max_bytes=MAX_BYTES)
        raw.pop("leaf_hash", None)
        found, inclusion = (
            OwnerProof.from_json(raw),
            tlogproof.read(self.proof.read_bytes()[: tlogproof.MAX_BYTES]),
        )
        people = [one for one in sdjwt.claims(_token(self.holder)).get("holders", ()) if "id_no" in one]
        log_key, refused = parse_vkey(self.log_key.strip()), None
        for one in people:
            try:
                check_owner(
                    found, approval, id_type=str(one.get("id_type", "")), id_no=str(one["id_no"]),
                    inclusion=inclusion, log_key=log_key,
                )  # fmt: skip
            except HubError as fault:
                refused = fault
            else:
                return
        raise refused or Unprocessable(
            "owner.no_number", "证照中没有披露证件号码。", "The certificate discloses no identity number."
        )


def _approval(file: Path, whose: _Whose | None, *, as_json: bool) -> None:
    """Check the evidence that a passkey approved a request, and where the files for it are given, whose key it was."""
    try:
        from hub.formats.webauthn import (  # here: no other command waits for it
            MAX_BYTES,
            Approval,
            check_approval,
        )

        raw = jws.loads(file.read_bytes()[:MAX_BYTES], max_bytes=MAX_BYTES)
        approval = Approval.from_json(raw)
        said = check_approval(approval)
        if whose is not None:
            whose.check(approval)
    except HubError as fault:
        tell({"ok": False, "code": fault.code}, [f"✗ {fault.zh} / {fault.en}"], as_json=as_json)
        raise typer.Exit(FAILED) from fault
    details = said["authorization_details"]
    office = said["department"]
    lines = [f"✓ 通行密钥签署了对 {office} 的同意。 A passkey signed this approval for {office}."]
    lines += [f"  {one['item_code']} · {', '.join(one['datatypes'])} · {one['max_uses']}×" for one in details]
    if whose is not None:
        lines.append(
            "✓ 通行密钥是证照持有人的，登记在日志中。 The passkey is the holder's, as the ledger shows."
        )
    else:
        lines.append("? 没有核对密钥是谁的。 Whose passkey it is was not checked.")
    told = {"ok": True, "request": said["request"], "department": office, "details": details}
    told["owner_checked"] = whose is not None
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
