"""The archive package of a case as a file: a plain ZIP with a checksummed index, readable without this software.

Pure: entries in, bytes out, and back. `index.json` (JCS, RFC 8785) names every file with size and SHA-256;
`SHA256SUMS` says the same for `sha256sum -c`. The two files below `ledger/` are added on the way out (`with_proof`):
they prove that the index stands in the ledger, so they cannot stand in it themselves.
"""

import hashlib
import io
import re
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from hub.clock import SHANGHAI
from hub.errors import HubError, Malformed, TooLarge
from hub.formats import jws
from hub.formats.jcs import canonical

INDEX, SUMS, README = "index.json", "SHA256SUMS", "README.txt"
EVENT, PROOF = "ledger/archived.json", "ledger/archived.tlog-proof"
OUTSIDE = frozenset({INDEX, SUMS, EVENT, PROOF})
"""What the index does not name: itself, its copy, and what proves it."""
MAX_FILES = 4_000
MAX_UNPACKED = 1024 * 2**20
MAX_INDEX = 2 * 2**20
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,120}(/[A-Za-z0-9][A-Za-z0-9._-]{0,120}){0,2}", re.ASCII)
_TEXT = """\
一门 办件归档包 / Yimen archive package of one case

不需要本平台即可阅读。 It can be read without the hub.

summary.pdf          概要 summary
case.json            办件 the case
disclosures/         各部门签名的证照披露（SD-JWT VC） issuer-signed disclosures
verdicts/            核验结论及每一项检查 verdicts with every check
decisions/           各部门的决定 the departments' decisions
materials/           上传的材料 what was uploaded
promises/            告知承诺及核查 promises and their checks
events/              透明日志中每条记录的内容和盐 the body and salt of every ledger leaf
proofs/              每条记录的存在证明（C2SP tlog-proof） inclusion proof of every leaf
trust-bundle.jwt     部门密钥和权限，各附证明 keys and rights of the issuers, each with its proof
status-lists/        核验当时的状态列表 status lists of that day
index.json           本包每个文件的大小和 SHA-256 size and SHA-256 of every file
ledger/              index.json 已登入透明日志的证明 proof that index.json stands in the ledger

核对 To check:
  sha256sum -c SHA256SUMS
  yimen archive verify PACKAGE.zip --log-key KEY      （全部离线 all offline）
没有本软件时 Without this software:
  记录 leaf = {"commit":"<hex>","v":1}，commit = SHA-256(salt || body)；leaf hash = SHA-256(0x00 || leaf)，RFC 6962。
  披露按 RFC 9901 用 trust-bundle.jwt 中的公钥核对。 Disclosures: RFC 9901, with the keys of trust-bundle.jwt.
"""


@dataclass(frozen=True, slots=True)
class Opened:
    """A package as read: its index, and every file by path. Nothing is believed yet."""

    index: Mapping[str, Any]
    files: Mapping[str, bytes]


def index_of(files: Mapping[str, bytes], facts: Mapping[str, Any]) -> bytes:
    """The index over these files (JCS), with what it is about."""
    listed = [
        {"path": path, "size": len(data), "sha256": hashlib.sha256(data).hexdigest()}
        for path, data in sorted(files.items())
    ]
    return canonical({"v": 1, "kind": "yimen-archive", **facts, "files": listed})


def write(files: Mapping[str, bytes], facts: Mapping[str, Any], *, at: datetime) -> bytes:
    """The package: equal files, facts and moment give equal bytes. Raises TooLarge `archive.too_large`."""
    whole = {**files, README: _TEXT.encode()}
    if len(whole) > MAX_FILES or sum(map(len, whole.values())) > MAX_UNPACKED:
        raise _too_large()
    index = index_of(whole, facts)
    named = {**whole, INDEX: index}
    sums = "".join(f"{hashlib.sha256(data).hexdigest()}  {path}\n" for path, data in sorted(named.items()))
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        for path, data in sorted({**named, SUMS: sums.encode()}.items()):
            archive.writestr(_info(path, at), data)
    return out.getvalue()


def with_proof(package: bytes, *, event: bytes, proof: bytes, at: datetime) -> bytes:
    """The same package with the proof that its index is in the ledger."""
    out = io.BytesIO(package)
    with zipfile.ZipFile(out, "a") as archive:
        for path, data in ((EVENT, event), (PROOF, proof)):
            archive.writestr(_info(path, at), data)
    return out.getvalue()


def read(data: bytes) -> Opened:
    """Take a package apart, within limits, and read its index. Raises Malformed `archive.form`, TooLarge."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            members = archive.infolist()
            if len(members) > MAX_FILES or sum(one.file_size for one in members) > MAX_UNPACKED:
                raise _too_large()
            names = [one.filename for one in members]
            if len(set(names)) != len(names) or not all(_NAME.fullmatch(name) for name in names):
                raise _bad("两个文件同名，或文件名不合规则", "two files share a name, or a name breaks the rules")
            files = {one.filename: archive.read(one) for one in members}
    except (zipfile.BadZipFile, EOFError, OSError, ValueError, NotImplementedError, RuntimeError) as fault:
        raise _bad("不是完整的 ZIP", "not a whole ZIP") from fault
    try:
        index = jws.loads(files.get(INDEX, b""), max_bytes=MAX_INDEX)
    except HubError as fault:
        raise _bad("缺少目录 index.json", "index.json is missing or no JSON") from fault
    if index.get("kind") != "yimen-archive" or index.get("v") != 1 or not isinstance(index.get("files"), list):
        raise _bad("目录不是归档包的", "the index is not of an archive package")
    return Opened(index, files)


def _info(path: str, at: datetime) -> zipfile.ZipInfo:
    local = at.astimezone(SHANGHAI)
    info = zipfile.ZipInfo(path, (max(local.year, 1980), *local.timetuple()[1:6]))
    info.compress_type = zipfile.ZIP_DEFLATED
    info.external_attr = 0o600 << 16
    return info


def _bad(zh: str, en: str) -> Malformed:
    return Malformed("archive.form", f"这不是归档包：{zh}。", f"This is no archive package: {en}.")


def _too_large() -> TooLarge:
    return TooLarge("archive.too_large", "归档包过大。", "The archive package is too large.")
