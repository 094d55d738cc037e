"""Check a certificate with no hub at all: `yimen verify FILE` against a trust bundle and a pinned ledger key.

Pure: bytes in, findings out. The hub's word counts for nothing here (promise 1):

 1. bundle     a trust bundle of the ledger whose key is pinned
 2. issuer_key the key of the certificate stands in a public leaf that is proved under a signed checkpoint
 3. right      so does the department's right to issue this type, and no later leaf ends it
 4. signature  by that key over exactly these bytes, disclosures included
 5. validity   between the certificate's own dates
 6. status     a status list signed by the same department's status key, current, says valid
"""

import base64
import binascii
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import HubError
from hub.formats import jws, merkle, sdjwt, statuslist, tlogproof
from hub.formats.note import Vkey, parse_vkey, verify_checkpoint
from keys.errors import KeyFault
from keys.public import PublicKey

MAX_BUNDLE = 8 * 1024 * 1024

WORDS: dict[str, tuple[str, str]] = {
    "bundle": ("信任包", "Trust bundle"),
    "issuer_key": ("发证部门密钥已登入透明日志", "Issuer's key is in the ledger"),
    "right": ("部门有权签发此类证照", "The department may issue this type"),
    "signature": ("签名与内容一致", "Signature fits the content"),
    "validity": ("在有效期内", "Within its validity"),
    "status": ("未撤销", "Not revoked"),
}


@dataclass(frozen=True, slots=True)
class Finding:
    """One check: True it holds, False it does not, None it could not be made (which is not a yes)."""

    name: str
    holds: bool | None
    zh: str
    en: str


@dataclass(frozen=True, slots=True)
class Offline:
    """The result: `ok` only when every check held; `claims` are what the token itself discloses."""

    ok: bool
    findings: tuple[Finding, ...]
    department: str | None = None
    claims: Mapping[str, Any] | None = None


class _No(Exception):
    def __init__(self, finding: Finding) -> None:
        super().__init__(finding.en)
        self.finding = finding


def check(
    token: str, *, bundle: str, log_key: Vkey | None, status_lists: Sequence[str] = (), now: int
) -> Offline:
    """Check one SD-JWT at `now` (seconds). Never raises on what the inputs contain.

    `log_key` None accepts the bundle's own ledger key and says that it was not pinned.
    """
    done: list[Finding] = []
    department: str | None = None
    try:
        trust, key = _bundle(bundle, log_key, done)  # 1
        parts = sdjwt.parse(token.strip())
        unverified = jws.split(parts.issuer_jwt)
        department = str(unverified.payload.get("iss", "")).rpartition("/dept/")[2]
        issuer = _key(trust, key, department, "certificate", str(unverified.header.get("kid", "")))  # 2
        done.append(_yes("issuer_key"))
        _right(trust, key, department, str(unverified.payload.get("vct", "")))  # 3
        done.append(_yes("right"))
        claims = _signed(parts, issuer)  # 4
        done.append(_yes("signature"))
        _times(claims, now)  # 5
        done.append(_yes("validity"))
        done.append(_status(trust, key, department, claims, status_lists, now))  # 6
    except _No as refused:
        return Offline(False, (*done, refused.finding), department)
    except HubError as error:
        return Offline(False, (*done, Finding("signature", False, error.zh, error.en)), department)
    return Offline(all(one.holds for one in done), tuple(done), department, claims)


def _bundle(bundle: str, pinned: Vkey | None, done: list[Finding]) -> tuple[Mapping[str, Any], Vkey]:
    """The bundle's own signature is not asked: every statement in it brings a proof of its own."""
    try:
        trust = jws.split(bundle.strip(), max_bytes=MAX_BUNDLE).payload
        key = parse_vkey(str(trust.get("log_key", "")))
    except HubError as error:
        raise _No(
            Finding("bundle", False, f"信任包无法读取：{error.zh}", f"unreadable: {error.en}")
        ) from None
    if pinned is None:
        done.append(
            Finding("bundle", None, "日志公钥未固定，只能首次信任", "the ledger key is not pinned by you")
        )
    elif str(pinned) != str(key):
        raise _No(
            Finding(
                "bundle", False, "信任包属于另一个透明日志", "the bundle is of another ledger than pinned"
            )
        )
    else:
        done.append(_yes("bundle"))
    return trust, key


def _key(trust: Mapping[str, Any], log: Vkey, department: str, purpose: str, kid: str) -> PublicKey:
    """The key, read out of its proved leaf and from nowhere else."""
    for told in trust.get("keys", []):
        if not isinstance(told, dict) or told.get("kid") != kid or told.get("department") != department:
            continue
        event = _proved(told, log, "issuer_key")
        if event.get("event") != "key.admitted" or event.get("department") != department:
            continue
        for offered in event.get("keys", []):
            if offered.get("kid") == kid and offered.get("purpose") == purpose:
                if told.get("distrusted_from") is not None:
                    raise _No(
                        Finding(
                            "issuer_key", False, "该密钥已被宣布不可信", "the key was declared compromised"
                        )
                    )
                try:
                    return PublicKey.from_jwk(offered["jwk"])
                except KeyFault as fault:
                    raise _No(Finding("issuer_key", False, fault.zh, fault.en)) from None
    raise _No(
        Finding(
            "issuer_key",
            False,
            "签名密钥不在信任包中：不是登记部门签发的，或信任包过旧",
            "the signing key is not in the bundle: not a registered issuer, or the bundle is too old",
        )
    )


def _right(trust: Mapping[str, Any], log: Vkey, department: str, vct: str) -> None:
    code = next((t.get("code") for t in trust.get("types", []) if t.get("vct") == vct), None)
    standing = False
    for told in trust.get("rights", []):
        if told.get("type") == code and told.get("department") == department:
            event = _proved(told, log, "right")
            if event.get("type") == code and event.get("department") == department:
                standing = event.get("event") == "type.issuer_added"
    if not standing:
        raise _No(Finding("right", False, "该部门无权签发此类证照", "the department may not issue this type"))


def _proved(told: Mapping[str, Any], log: Vkey, name: str) -> Mapping[str, Any]:
    """The event in a leaf, once the leaf is proved to be in the ledger under a checkpoint of this key."""
    try:
        data = base64.b64decode(str(told.get("leaf", "")), validate=True)
        proof = tlogproof.read(str(told.get("proof", "")))
        checkpoint = verify_checkpoint(proof.checkpoint, log).checkpoint
        event = json.loads(data)
    except (HubError, binascii.Error, ValueError):
        raise _No(Finding(name, False, "日志证明无法读取", "the ledger proof is unreadable")) from None
    leaf = merkle.leaf_hash(data)
    if not merkle.verify_inclusion(proof.index, checkpoint.size, leaf, proof.path, checkpoint.root):
        raise _No(Finding(name, False, "日志证明不成立", "the ledger proof does not hold"))
    return event if isinstance(event, dict) else {}


def _signed(parts: sdjwt.SdJwt, issuer: PublicKey) -> Mapping[str, Any]:
    try:
        signed = jws.verify(parts.issuer_jwt, typ=sdjwt.TYP, key=issuer)
        return sdjwt.process(signed.payload, parts.disclosures)[0]
    except HubError as error:
        raise _No(
            Finding("signature", False, f"签名与内容不符：{error.zh}", f"signature: {error.en}")
        ) from None


def _times(claims: Mapping[str, Any], now: int) -> None:
    try:
        jws.check_times(claims, now=now)
    except HubError as error:
        raise _No(Finding("validity", False, error.zh, error.en)) from None


def _status(
    trust: Mapping[str, Any],
    log: Vkey,
    department: str,
    claims: Mapping[str, Any],
    lists: Sequence[str],
    now: int,
) -> Finding:
    reference = sdjwt.status_reference(claims)
    if reference is None:
        return Finding("status", True, "无状态位，以有效期为准", "no status index; its own end decides")
    uri, index = reference
    for token in lists:
        header = jws.split(token, max_bytes=MAX_BUNDLE).header
        key = _key(trust, log, department, "status", str(header.get("kid", "")))
        try:
            found = statuslist.verify_token(token, key=key, expected_sub=uri, now=now)
            value = found.lst.get(index)
        except (HubError, IndexError):
            continue
        words = {
            statuslist.VALID: (True, "有效", "valid"),
            statuslist.SUSPENDED: (False, "已暂停", "suspended"),
        }
        holds, zh, en = words.get(value, (False, "已撤销", "revoked"))
        return Finding("status", holds, zh, en)
    return Finding(
        "status",
        None,
        "没有提供有效的状态列表，未核对是否撤销",
        "no current status list was given: revocation was not checked",
    )


def _yes(name: str) -> Finding:
    zh, en = WORDS[name]
    return Finding(name, True, zh, en)
