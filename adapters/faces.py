"""Printed faces: after a sync, each new certificate is rendered beside its key and the PDF is handed to the hub.

A signed token waits in the state file from the hub's ack until its face was taken; then the file holds it no longer.
The hub checks that a face carries exactly the registered certificate; it renders and seals nothing in our name.
"""

import asyncio
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from adapters.desk import Desk
from adapters.model import Config
from hub.clock import civil_day, from_seconds
from hub.errors import Conflict, Forbidden, NotFound, Unprocessable
from hub.formats import jws, sdjwt
from hub.formats.masking import mask_by, mask_id_no
from hub.paper.model import Face
from hub.paper.render import face_in_child

MAX_TRUST = 8 * 1024 * 1024
SHORT = 8
_FOR_GOOD = (Unprocessable, NotFound, Conflict, Forbidden)
"""Answers about one face that another try would not change."""


@dataclass(frozen=True, slots=True)
class FaceReport:
    """How many faces were taken, which were refused (certificate id, code), and how many still wait."""

    made: int
    refused: tuple[tuple[str, str], ...]
    left: int


def make_faces(
    desk: Desk, config: Config, *, certificates: Sequence[str] | None = None, limit: int | None = None
) -> FaceReport:
    """Render and hand in the faces that wait, all or those of `certificates`, at most `limit`.

    A face that cannot be (a character that nobody can print, a page that overflows) is reported and not tried again;
    the hub being away raises its HubError and everything stays.
    """
    made, refused = 0, []
    names: tuple[str, str] | None = None
    for certificate_id, dataset_id, token in list(_waiting(desk, certificates))[:limit]:
        names = names or issuer_names(desk)
        dataset = config.dataset(dataset_id)
        try:
            if dataset is None:
                raise NotFound(
                    "agent.no_dataset", "配置里没有这个数据集。", "The configuration has no such dataset."
                )
            document = _document(desk, dataset.type)
            face = face_of(token, document, certificate_id=certificate_id, hub=desk.me.hub, issuer=names)
            desk.client.put_face(certificate_id, asyncio.run(face_in_child(face)))
            made += 1
        except _FOR_GOOD as fault:
            refused.append((certificate_id, fault.code))
        desk.state.execute("delete from unprinted where certificate_id = ?", (certificate_id,))
    left = desk.state.execute("select count(*) from unprinted")[0][0]
    return FaceReport(made, tuple(refused), int(left))


def face_of(
    token: str, document: Mapping[str, Any], *, certificate_id: str, hub: str, issuer: tuple[str, str]
) -> Face:
    """What the page of one certificate says: everything in it, resident numbers masked. `issuer` is (zh, en).

    Raises Unprocessable `paper.face_*`.
    """
    claims = sdjwt.claims(token)
    until = claims.get("exp")
    return Face(
        title_zh=_named(document["display"], "zh-CN"),
        title_en=_named(document["display"], "en"),
        issuer_zh=issuer[0],
        issuer_en=issuer[1],
        rows=tuple(_rows(document, claims)),
        number=str(claims.get("number") or certificate_id),
        issued_on=civil_day(from_seconds(int(claims["iat"]))),
        valid_until=_last_day(int(until)) if until is not None else None,
        verify_url=f"{hub}/v/{certificate_id}",
        short_code=certificate_id[:SHORT],
        sd_jwt=token,
    )


def issuer_names(desk: Desk) -> tuple[str, str]:
    """Our own name in Chinese and English, as the hub's trust bundle publishes it; our slug if it does not."""
    answer = desk.client.public("/v1/trust-bundle")
    told = jws.split(answer.decode().strip(), max_bytes=MAX_TRUST).payload.get("departments", [])
    for one in told:
        if one.get("slug") == desk.me.department:
            return str(one["name_zh"]), str(one["name_en"])
    return desk.me.department, desk.me.department


def _waiting(desk: Desk, certificates: Sequence[str] | None) -> Iterator[tuple[str, str, str]]:
    rows = desk.state.execute("select certificate_id, dataset, sd_jwt from unprinted order by certificate_id")
    for certificate_id, dataset, token in rows:
        if certificates is None or certificate_id in certificates:
            yield str(certificate_id), str(dataset), str(token)


def _document(desk: Desk, code: str) -> Mapping[str, Any]:
    desk.certificate_type(code, fresh=False)  # keeps the document
    kept = desk.state.type_document(code)
    if kept is None:
        raise NotFound("type.unknown", "没有这个证照类型。", "There is no such certificate type.")
    found: dict[str, Any] = json.loads(kept[0])
    return found


def _rows(document: Mapping[str, Any], claims: Mapping[str, Any]) -> Iterator[tuple[str, str, str]]:
    roles = {role["role"]: role["display"] for role in document["holders"]["roles"]}
    for holder in claims.get("holders", []):
        display = roles.get(holder.get("role"), ())
        zh, en = _named(display, "zh-CN") or "持证人", _named(display, "en") or "Holder"
        shown = mask_id_no(str(holder["id_no"])) if holder.get("id_type") == "111" else str(holder["id_no"])
        yield zh, en, f"{holder['name']}  {shown}"
    described = [claim for claim in document["claims"] if len(claim["path"]) == 1]
    for claim in described:
        name = claim["path"][0]
        if name in claims and name != "number":
            value = _text(document, (name,), claims[name])
            yield _named(claim["display"], "zh-CN"), _named(claim["display"], "en"), value


def _text(document: Mapping[str, Any], path: tuple[str | None, ...], value: Any) -> str:
    """A value in Chinese words: codes by name, yes and no, lists joined; masked only where a person is named."""
    if isinstance(value, list):
        return "；".join(_text(document, (*path, None), item) for item in value)
    if isinstance(value, Mapping):
        return " ".join(_text(document, (*path, name), item) for name, item in value.items())
    claim = _claim(document, path)
    if claim and str(value) in claim.get("values", {}):
        return _named(claim["values"][str(value)], "zh-CN")
    if isinstance(value, bool):
        return "是" if value else "否"
    if claim and claim.get("mask") == "id_no":
        return mask_by("id_no", str(value))
    return str(value)


def _claim(document: Mapping[str, Any], path: tuple[str | None, ...]) -> Mapping[str, Any] | None:
    return next((claim for claim in document["claims"] if tuple(claim["path"]) == path), None)


def _named(display: Sequence[Mapping[str, str]], locale: str) -> str:
    return next((one["name"] for one in display if one["locale"] == locale), "")


def _last_day(until: int) -> date:
    """The civil day that the validity still includes: it ends at the midnight after."""
    return civil_day(from_seconds(until - 1))
