"""What the signed claims of a certificate must say to be registered. Pure: claims in, a named refusal or facts out."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

from hub.clock import civil_day, from_seconds
from hub.errors import Forbidden, Malformed, Unprocessable
from hub.formats import identifiers
from hub.registry.types import CertificateType

BACKLOG_DAYS = 31
"""How many Shanghai days `iat` may lie before the day of registration (a department working off a backlog)."""


_HOLDER = frozenset({"name", "id_type", "id_no", "role"})
_JTI = re.compile(r"[A-Za-z0-9._:~-]{8,64}")
_ID_TYPE = re.compile(r"[A-Za-z0-9_-]{1,16}")
_INT32 = 1 << 31
_LAST_SECOND = 250_000_000_000


@dataclass(frozen=True, slots=True)
class Times:
    """The moments that a certificate names: signed, valid from and until, and the day its data is of."""

    iat: datetime
    valid_from: datetime | None
    valid_until: datetime | None
    as_of: date | None


def type_of(
    payload: Mapping[str, Any], department: str, types: Mapping[str, CertificateType], base_url: str
) -> CertificateType:
    """The certificate's type, once `iss` is this department and it may issue that type."""
    if payload.get("iss") != f"{base_url}/dept/{department}":
        raise Forbidden(
            "certificate.issuer_mismatch",
            "证照中的签发者不是本部门。",
            "The issuer named in the certificate is not the department that registers it.",
            next_zh="请检查适配器配置中的部门代码和平台地址。",
            next_en="Check the department and the hub address in the agent's configuration.",
        )
    kind = next((kind for kind in types.values() if kind.vct == payload.get("vct")), None)
    if kind is None or department not in kind.issuers:
        raise foreign_type()
    return kind


def foreign_type() -> Forbidden:
    """The refusal for a type that this department may not issue."""
    return Forbidden(
        "certificate.type_not_yours",
        "本部门无权签发这一类型的证照。",
        "This department may not issue certificates of this type.",
        next_zh="请核对证照类型代码；如确需签发，请向平台管理员申请。",
        next_en="Check the type; if it should be yours, ask the administrator to allow it.",
    )


def envelope_of(payload: Mapping[str, Any]) -> tuple[str, int]:
    """(jti, version): 8 to 64 plain characters, and a whole number from 1 (which it is when left out)."""
    jti, version = payload.get("jti"), payload.get("version", 1)
    if not isinstance(jti, str) or not _JTI.fullmatch(jti) or type(version) is not int or not 1 <= version < _INT32:
        raise Malformed(
            "certificate.envelope_invalid",
            "证照编号 jti 须为 8 到 64 个字母、数字或 . _ : ~ -，版本 version 须为不小于 1 的整数。",
            "jti must be 8 to 64 letters, digits or . _ : ~ -, and version a whole number from 1.",
            next_zh="请升级适配器后重新签发。",
            next_en="Sign again with a current agent.",
        )
    return jti, version


def holders_of_claims(payload: Mapping[str, Any]) -> list[dict[str, str]]:
    """The holders as signed: 1 to 32, each with exactly name, id_type, id_no and role."""
    holders = payload.get("holders")
    if not isinstance(holders, list) or not 1 <= len(holders) <= 32:
        raise _badholders_of_claims()
    for holder in holders:
        if not isinstance(holder, dict) or holder.keys() != _HOLDER:
            raise _badholders_of_claims()
        if not all(isinstance(value, str) and 0 < len(value) <= 128 for value in holder.values()):
            raise _badholders_of_claims()
        if not _ID_TYPE.fullmatch(holder["id_type"]):
            raise _badholders_of_claims()
    return holders


def _badholders_of_claims() -> Malformed:
    return Malformed(
        "certificate.holders_invalid",
        "持证主体必须为 1 到 32 个，且每个都有姓名、证件类型、证件号码和角色。",
        "A certificate names 1 to 32 holders, each with name, id_type, id_no and role.",
        next_zh="请检查适配器配置中的 holders 映射。",
        next_en="Check the holders mapping in the agent's configuration.",
    )


def check_identifiers(payload: Mapping[str, Any]) -> None:
    """A GB/T 36904 identifier, where there is one, must be well formed with the right check character."""
    identifier = payload.get("certificate_identifier")
    if identifier is not None:
        identifiers.certificate_identifier(str(identifier))


def times_of(payload: Mapping[str, Any], now: datetime, kind: CertificateType) -> Times:
    """The times, once `iat` lies on this Shanghai day or in the backlog and a living type says its `as_of`."""
    iat = payload.get("iat")
    nbf, exp = payload.get("nbf"), payload.get("exp")
    for name, value in (("iat", iat), ("nbf", nbf), ("exp", exp)):
        if (value is None and name == "iat") or (value is not None and not _is_moment(value)):
            raise _bad_time(name)
    assert isinstance(iat, int)  # noqa: S101 - the loop has seen to it
    signed_on, today = civil_day(from_seconds(iat)), civil_day(now)
    if not today - timedelta(days=BACKLOG_DAYS) <= signed_on <= today:
        raise Unprocessable(
            "certificate.iat_out_of_range",
            f"签发日期必须是今天或此前 {BACKLOG_DAYS} 天之内。",
            f"The day of signing must be today or within the last {BACKLOG_DAYS} days.",
            next_zh="请检查部门服务器的时钟，并重新签发。",
            next_en="Check the clock of the department's server and sign again.",
        )
    as_of: date | None = None
    if kind.living:
        try:
            as_of = datetime.strptime(str(payload.get("as_of")), "%Y-%m-%d").date()  # a civil day, no zone
        except ValueError:
            raise _bad_time("as_of") from None
        if as_of > today:
            raise _bad_time("as_of")
    return Times(
        from_seconds(iat),
        from_seconds(nbf) if nbf is not None else None,
        from_seconds(exp) if exp is not None else None,
        as_of,
    )


def _is_moment(value: Any) -> bool:
    """Whole seconds of a year that a calendar can hold in any time zone."""
    return type(value) is int and 0 <= value < _LAST_SECOND


def _bad_time(name: str) -> Unprocessable:
    return Unprocessable(
        "certificate.time_invalid",
        f"证照中的时间 {name} 缺失或不合规定。",
        f"The time {name} in the certificate is missing or not allowed.",
        next_zh="动态类证照必须写明数据截至日期 as_of，且不得晚于今天。",
        next_en="A living certificate must say its as_of day, not later than today.",
    )


def status_of(payload: Mapping[str, Any], valid_until: datetime | None) -> tuple[str | None, int | None]:
    """(uri, index) of the status entry, or (None, None) for a certificate that lives by its end alone."""
    said = payload.get("status")
    if said is None and valid_until is not None:
        return None, None
    entry = said.get("status_list") if isinstance(said, dict) else None
    uri, idx = (entry.get("uri"), entry.get("idx")) if isinstance(entry, dict) else (None, None)
    if not isinstance(uri, str) or not isinstance(idx, int) or isinstance(idx, bool) or not 0 <= idx < _INT32:
        raise Malformed(
            "certificate.status_missing",
            "证照必须写明状态列表位置，或者写明有效期截止时间。",
            "A certificate must name its status index, or its end.",
            next_zh="请先预留状态位后签发。",
            next_en="Reserve a status index and sign with it.",
        )
    return uri, idx
