"""Check an archive package with no hub at all: `yimen archive verify FILE`. Pure: bytes in, findings out.

 1. index       every file is named once with its size and SHA-256, and nothing else is there; SHA256SUMS says the same
 2. log_key     the ledger's key is the one that you pinned (else undecided: it is the package's own word)
 3. leaves      every leaf commits to the body beside it, and is proved to be in the ledger under that key
 4. issuers     every disclosure is signed by the department's key of the day it was looked at (`yimen verify`)
 5. agreement   verdicts, decisions, materials and the final state say what the proven leaves say, none is left out
 6. archived    the index itself stands in the ledger (undecided for a package that was taken before that)
"""

import hashlib
import json
from collections.abc import Iterator, Mapping
from typing import Any

from hub.access.model import commit_named
from hub.cases.archivefile import EVENT, INDEX, OUTSIDE, PROOF, SUMS, Opened, read
from hub.errors import HubError
from hub.formats import jws, tlogproof
from hub.formats.jcs import canonical
from hub.formats.merkle import leaf_hash
from hub.formats.note import Vkey, parse_vkey
from hub.formats.tiles import MAX_ENTRY
from hub.verification.offline import Finding, Offline, check

MAX_JSON = 4 * 2**20
WORDS: dict[str, tuple[str, str]] = {
    "index": ("目录与文件一致", "The index fits the files"),
    "log_key": ("日志公钥与您保存的一致", "The ledger key is the pinned one"),
    "leaves": ("每条记录都在透明日志中", "Every leaf is in the ledger"),
    "issuers": ("每份披露都由发证部门签名", "Every disclosure is signed by its issuer"),
    "agreement": ("结论、决定和材料与记录一致", "Verdicts, decisions and materials agree with the leaves"),
    "archived": ("目录已登入透明日志", "The index is in the ledger"),
}


class _No(Exception):
    def __init__(self, zh: str, en: str) -> None:
        super().__init__(en)
        self.zh, self.en = zh, en


def check_package(data: bytes, *, log_key: Vkey | None) -> tuple[Mapping[str, Any], tuple[Finding, ...]]:
    """The index and one finding for each check, in the order of the module's docstring.

    Raises Malformed `archive.form`, TooLarge `archive.too_large` for what is no package at all.
    """
    opened = read(data)
    found: list[Finding] = []
    events: dict[str, Mapping[str, Any]] = {}
    key: Vkey | None = None
    try:
        _index(opened)  # 1
        found.append(_yes("index"))
        key = log_key or parse_vkey(_text(opened, "log-key.txt").strip())
        found.append(_pinned(opened, log_key))  # 2
        events = _leaves(opened, key)  # 3
        found.append(_yes("leaves"))
        _issuers(opened, key, log_key)  # 4
        found.append(_yes("issuers"))
        _agreement(opened, events)  # 5
        found.append(_yes("agreement"))
        found.append(_archived(opened, key))  # 6
    except _No as no:
        found.append(_finding(len(found), no.zh, no.en))
    except HubError as fault:
        found.append(_finding(len(found), fault.zh, fault.en))
    return opened.index, tuple(found)


def _index(opened: Opened) -> None:
    listed: dict[str, Mapping[str, Any]] = {}
    for one in opened.index["files"]:
        if not isinstance(one, dict) or one.get("path") in listed or not isinstance(one.get("path"), str):
            raise _No("目录中有重复或无效的条目", "the index has a double or invalid entry")
        listed[one["path"]] = one
    there = set(opened.files) - OUTSIDE
    if there != set(listed):
        odd = sorted(there ^ set(listed))[0]
        raise _No(f"多出或缺少文件：{odd}", f"a file is missing or was added: {odd}")
    for path, one in listed.items():
        data = opened.files[path]
        if one.get("size") != len(data) or one.get("sha256") != hashlib.sha256(data).hexdigest():
            raise _No(f"文件已改动：{path}", f"a file was changed: {path}")
    if canonical(opened.index) != opened.files[INDEX]:
        raise _No("目录的写法不规范", "the index is not in its canonical form")
    named = sorted([*listed, INDEX])
    sums = "".join(f"{hashlib.sha256(opened.files[path]).hexdigest()}  {path}\n" for path in named)
    if opened.files.get(SUMS) != sums.encode():
        raise _No("SHA256SUMS 与文件不一致", "SHA256SUMS does not fit the files")


def _pinned(opened: Opened, pinned: Vkey | None) -> Finding:
    if pinned is None:
        return Finding("log_key", None, "日志公钥未固定，只能首次信任", "the ledger key is not pinned by you")
    if str(pinned) != _text(opened, "log-key.txt").strip():
        raise _No("归档包属于另一个透明日志", "the package is of another ledger than pinned")
    return _yes("log_key")


def _leaves(opened: Opened, key: Vkey) -> dict[str, Mapping[str, Any]]:
    """The proven events by leaf hash in hex."""
    found: dict[str, Mapping[str, Any]] = {}
    for path in _below(opened, "events/"):
        told = _json(opened, path)
        number, event = _committed(told, path)
        _proved(opened.files.get(f"proofs/{number}.tlog-proof"), number, key, path)
        found[number] = event
    proofs = {path.removeprefix("proofs/").removesuffix(".tlog-proof") for path in _below(opened, "proofs/")}
    if proofs != set(found):
        raise _No("证明与记录不成对", "proofs and leaves do not pair")
    return found


def _committed(told: Mapping[str, Any], path: str) -> tuple[str, Mapping[str, Any]]:
    """The leaf hash that salt and body really give, and the event in the body."""
    try:
        salt, body = bytes.fromhex(str(told["salt"])), str(told["body"]).encode()
        commit = hashlib.sha256(salt + body).hexdigest()
        number = leaf_hash(canonical({"commit": commit, "v": 1})).hex()
        event = jws.loads(body, max_bytes=MAX_ENTRY * 16)
    except (KeyError, ValueError, HubError):
        raise _No(f"记录无法读取：{path}", f"an unreadable leaf: {path}") from None
    if len(salt) != 32 or number != told.get("leaf_hash") or not isinstance(event, dict):
        raise _No(f"记录的内容与承诺不符：{path}", f"a leaf does not commit to its body: {path}")
    return number, event


def _proved(data: bytes | None, number: str, key: Vkey, path: str) -> None:
    try:
        tlogproof.check(tlogproof.read(data or b""), bytes.fromhex(number), key)
    except HubError:
        raise _No(f"记录不在透明日志中：{path}", f"a leaf is not proved: {path}") from None


def _issuers(opened: Opened, key: Vkey, pinned: Vkey | None) -> None:
    bundle = _text(opened, "trust-bundle.jwt")
    for path in _below(opened, "disclosures/"):
        code = path.removeprefix("disclosures/").removesuffix(".sd-jwt")
        verdict = _json(opened, f"verdicts/{code}.json")
        lists = [opened.files[f"status-lists/{code}.jwt"].decode("ascii", "replace")] if (
            f"status-lists/{code}.jwt" in opened.files
        ) else []  # fmt: skip
        result: Offline = check(
            _text(opened, path), bundle=bundle, log_key=pinned or key, status_lists=lists,
            now=int(verdict["gathered_at"]),
        )  # fmt: skip
        for one in result.findings:
            if one.holds is False:
                raise _No(f"{code}：{one.zh}", f"{code}: {one.en}")
        if result.department != verdict["issuer"]:
            raise _No(f"{code}：发证部门不符", f"{code}: of another issuer than the verdict says")


def _agreement(opened: Opened, events: Mapping[str, Mapping[str, Any]]) -> None:
    case = _json(opened, "case.json")
    number = case["case"]
    if number != opened.index.get("case") or case["outcome"] != opened.index.get("outcome"):
        raise _No("办件与目录不符", "the case is not the one of the index")
    for path, event, expected in _claims(opened, events):
        if any(event.get(name) != value for name, value in expected.items()):
            raise _No(f"与透明日志的记录不符：{path}", f"it does not say what its leaf says: {path}")
    by_kind: dict[str, list[Mapping[str, Any]]] = {}
    for event in events.values():
        by_kind.setdefault(str(event.get("event")), []).append(event)
    ends = by_kind.get("case.decided", [])
    if [one.get("outcome") for one in ends] != [case["outcome"]] or ends[0].get("case") != number:
        raise _No("最终结果没有唯一的记录", "the final state has not exactly one leaf")
    decided = sorted(str(event.get("step")) for event in by_kind.get("step.decided", []))
    told = [_json(opened, path) for path in _below(opened, "decisions/")]
    if decided != sorted(str(one["step"]) for one in told if one["state"] == "decided"):
        raise _No("决定有缺漏", "a decision is missing or double")
    for path in _below(opened, "materials/"):
        if path.endswith(".json"):
            one, stem = _json(opened, path), path.removesuffix(".json")
            data = opened.files.get(f"{stem}.pdf", opened.files.get(f"{stem}.bin", b""))
            if hashlib.sha256(data).hexdigest() != one["sha256"]:
                raise _No(f"材料与登记的摘要不符：{stem}", f"a material is not the one recorded: {stem}")


def _leaf_named(public_id: str) -> str | None:
    """The leaf hash, in hex, of the look that this id names. Older looks say their id in their body instead."""
    commit = commit_named(public_id)
    return None if commit is None else leaf_hash(canonical({"commit": commit.hex(), "v": 1})).hex()


def _claims(
    opened: Opened, events: Mapping[str, Mapping[str, Any]]
) -> Iterator[tuple[str, Mapping[str, Any], Mapping[str, Any]]]:
    """What each file claims of its leaf: (path, the leaf's event, what must stand in it)."""
    for path in _below(opened, "verdicts/"):
        one = _json(opened, path)
        event = _event(events, one, path)
        if "access" not in event and _leaf_named(str(one["access"])) != one["leaf_hash"]:
            raise _No(f"查看编号与记录不符：{path}", f"the id of this look is not its commitment's: {path}")
        said = {name: one[name] for name in ("outcome", "type", "certificate")}
        yield path, event, {"event": "access", **said, **({"access": one["access"]} if "access" in event else {})}
    for path in _below(opened, "decisions/"):
        one = _json(opened, path)
        if one["state"] == "decided":
            yield path, _event(events, one, path), {
                "event": "step.decided", "step": one["step"], "passed": one["passed"], "reason": one["reason"],
                "officer": one["officer"], "department": one["department"], "evidence": one["evidence"],
            }  # fmt: skip
    for path in _below(opened, "materials/"):
        if path.endswith(".json"):
            one = _json(opened, path)
            yield path, _event(events, one, path), {
                "event": "material.uploaded", "material": one["material"], "sha256": one["sha256"],
            }  # fmt: skip
    for path in _below(opened, "promises/"):
        one = _json(opened, path)
        text = hashlib.sha256(str(one["text"]).encode()).hexdigest()
        yield path, _event(events, one, path), {
            "event": "promise.made", "promise": one["promise"], "material": one["material"], "text_sha256": text,
        }  # fmt: skip
    if "score.json" in opened.files:
        one = dict(_json(opened, "score.json"))
        event = _event(events, one, "score.json")
        del one["leaf_hash"]
        yield "score.json", event, {"event": "case.scored", "score": one}


def _archived(opened: Opened, key: Vkey) -> Finding:
    if EVENT not in opened.files:
        return Finding(
            "archived", None, "包内没有目录的存在证明，请重新下载", "no proof of the index is in it: download again"
        )
    number, event = _committed(_json(opened, EVENT), EVENT)
    _proved(opened.files.get(PROOF), number, key, EVENT)
    index = hashlib.sha256(opened.files[INDEX]).hexdigest()
    if event.get("event") != "case.archived" or event.get("index_sha256") != index:
        raise _No("透明日志中的目录是另一个", "the ledger names another index")
    return _yes("archived")


def _event(events: Mapping[str, Mapping[str, Any]], one: Mapping[str, Any], path: str) -> Mapping[str, Any]:
    if one.get("leaf_hash") not in events:
        raise _No(f"没有对应的记录：{path}", f"no leaf speaks of it: {path}")
    return events[str(one["leaf_hash"])]


def _below(opened: Opened, folder: str) -> list[str]:
    return sorted(path for path in opened.files if path.startswith(folder))


def _text(opened: Opened, path: str) -> str:
    if path not in opened.files:
        raise _No(f"缺少文件：{path}", f"a file is missing: {path}")
    return opened.files[path].decode("utf-8", "replace")


def _json(opened: Opened, path: str) -> Mapping[str, Any]:
    try:
        told = json.loads(_text(opened, path)[:MAX_JSON])
    except ValueError:
        told = None
    if not isinstance(told, dict):
        raise _No(f"文件无法读取：{path}", f"an unreadable file: {path}")
    return told


def _yes(name: str) -> Finding:
    zh, en = WORDS[name]
    return Finding(name, True, zh, en)


def _finding(place: int, zh: str, en: str) -> Finding:
    return Finding(list(WORDS)[place], False, zh, en)
