"""What the hub answers, as values: lists, registrations, work orders; and problem documents as errors of ours."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from hub.errors import (
    Conflict,
    Forbidden,
    Gone,
    HubError,
    Internal,
    Malformed,
    NotFound,
    TooLarge,
    TooMany,
    Unauthenticated,
    Unavailable,
    Unprocessable,
)

MAX_ANSWER = 64 * 1024 * 1024
_KINDS: Mapping[int, type[HubError]] = {
    400: Malformed, 401: Unauthenticated, 403: Forbidden, 404: NotFound, 409: Conflict, 410: Gone, 413: TooLarge,
    422: Unprocessable, 429: TooMany, 502: Unavailable, 503: Unavailable, 504: Unavailable,
}  # fmt: skip
_BY_NAME = {kind.kind: kind for kind in _KINDS.values()} | {Internal.kind: Internal}


@dataclass(frozen=True, slots=True)
class ListHead:
    """One status list of ours as the hub holds it; seq 0 means that nobody signed it yet."""

    uri: str
    size: int
    bits: int
    seq: int
    sha256: str | None
    token: str | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """Random (uri, index) pairs, and the lists that they are in."""

    indices: tuple[tuple[str, int], ...]
    lists: tuple[ListHead, ...]


@dataclass(frozen=True, slots=True)
class Registration:
    """One certificate to register: the signed token, its source row, and what it supersedes."""

    sd_jwt: str
    dataset: str
    ref: str
    generation: int
    claims_hash: str
    old_id: str | None = None
    list_token: str | None = None

    def body(self) -> dict[str, Any]:
        """As `POST /v1/certificates` takes it."""
        return {
            "sd_jwt": self.sd_jwt,
            "source": {
                "dataset": self.dataset, "ref": self.ref, "generation": self.generation,
                "claims_hash": self.claims_hash,
            },
            "supersedes": None
            if self.old_id is None
            else {"certificate_id": self.old_id, "status_list": self.list_token},
        }  # fmt: skip


@dataclass(frozen=True, slots=True)
class Ending:
    """One certificate that ends: superseded by `new`, or else revoked for `reason`."""

    certificate_id: str
    reason: str
    new: Registration | None = None

    def body(self) -> dict[str, Any]:
        """As `POST /v1/certificates/changes` takes it."""
        if self.new is None:
            return {"certificate_id": self.certificate_id, "event": "revoke", "reason": self.reason}
        said = self.new.body()
        new = {"sd_jwt": said["sd_jwt"], "source": said["source"]}
        return {"certificate_id": self.certificate_id, "event": "supersede", **new}


@dataclass(frozen=True, slots=True)
class Registered:
    """The hub's answer. `receipt` is its signed promise that the leaf will be in the ledger.

    `entry` is (list uri, index) of a certificate that was registered before (`replayed`).
    """

    certificate_id: str
    state: str
    receipt: str
    replayed: bool
    entry: tuple[str, int] | None = None


@dataclass(frozen=True, slots=True)
class WorkOrder:
    """A file that one officer handed in and another confirmed, waiting to be signed here."""

    id: str
    type: str
    rows: int
    made_by: str
    confirmed_by: str


def problem(status: int, body: object) -> HubError:
    """The HubError that an application/problem+json (or OAuth error) answer stands for."""
    said: Mapping[str, Any] = body if isinstance(body, Mapping) else {}
    following = said.get("next")
    advice: Mapping[str, Any] = following if isinstance(following, Mapping) else {}
    code = str(said.get("code") or said.get("error") or f"http.{status}")
    kind = _KINDS.get(status, Internal if status >= 500 else Malformed)
    zh = str(said.get("title") or f"枢纽拒绝了请求（{status}）。")
    en = str(said.get("detail") or said.get("error_description") or f"The hub answered {status}.")
    known = {"type", "title", "status", "detail", "code", "next", "error", "error_description", "zh", "en"}
    facts = {name: value for name, value in said.items() if isinstance(name, str) and name.isidentifier()}
    return kind(
        code, str(said.get("zh") or zh), str(said.get("en") or en),
        next_zh=str(advice.get("zh", "")), next_en=str(advice.get("en", "")),
        **{name: value for name, value in facts.items() if name not in known | {"next_zh", "next_en"}},
    )  # fmt: skip


def registered(found: Mapping[str, Any]) -> Registered:
    """One registration's answer; Unavailable `hub.odd_answer` for anything else."""
    certificate_id = found.get("certificate_id")
    said = found.get("status_list")
    if not isinstance(certificate_id, str) or not certificate_id:
        raise odd_answer()
    try:
        entry = (str(said["uri"]), int(said["idx"])) if isinstance(said, dict) else None
    except (KeyError, TypeError, ValueError) as fault:
        raise odd_answer() from fault
    return Registered(
        certificate_id,
        str(found.get("state", "")),
        str(found.get("receipt", "")),
        bool(found.get("replayed")),
        entry,
    )


def successors(found: object, endings: Sequence[Ending]) -> list[Registered | None]:
    """What took the place of each certificate that was to end; Unavailable `hub.odd_answer` for anything else."""
    results = found.get("results") if isinstance(found, dict) else None
    if not isinstance(results, list) or len(results) != len(endings):
        raise odd_answer()
    made: list[Registered | None] = []
    for one, result in zip(endings, results, strict=True):
        new = result.get("new") if isinstance(result, dict) else None
        if result.get("certificate_id") != one.certificate_id or isinstance(new, dict) != (one.new is not None):
            raise odd_answer()
        made.append(registered(new) if isinstance(new, dict) else None)
    return made


def refusals(fault: HubError, count: int) -> list[tuple[int, HubError]]:
    """Which of `count` changes a `changes.refused` names, by place from 0, and why each cannot be.

    Raises Unavailable `hub.odd_answer` when it names none, or others.
    """
    named: list[tuple[int, HubError]] = []
    try:
        for said in fault.facts["refused"]:
            place, kind = int(said["change"]) - 1, _BY_NAME[said["kind"]]
            if not 0 <= place < count:
                raise odd_answer()
            named.append((place, kind(str(said["code"]), str(said.get("zh", "")), str(said.get("en", "")))))
    except (KeyError, TypeError, ValueError, AttributeError) as odd:
        raise odd_answer() from odd
    if not named:
        raise odd_answer()
    return named


def list_head(entry: Mapping[str, Any]) -> ListHead:
    """One list of an answer; KeyError, TypeError or ValueError when it is none."""
    sha256, token = entry.get("sha256"), entry.get("token")
    return ListHead(
        str(entry["uri"]), int(entry["size"]), int(entry["bits"]), int(entry["seq"]),
        str(sha256) if sha256 else None, str(token) if token else None,
    )  # fmt: skip


def unreachable(reason: str) -> Unavailable:
    """The hub did not answer in time; `reason` is the class of the failure."""
    return Unavailable(
        "hub.unreachable",
        "连不上枢纽，稍后会从断点继续。",
        f"The hub cannot be reached ({reason}); the next run goes on from here.",
        next_zh="请检查网络和配置里的 hub 地址。",
        next_en="Check the network and the hub address in the configuration.",
    )


def too_old() -> Unavailable:
    """The hub does not know a door that this agent needs; everything waits until it does."""
    return Unavailable(
        "hub.too_old",
        "枢纽的版本比代理旧，还不能成批换发和撤销；要发的都留着。",
        "The hub is older than this agent and cannot end certificates in steps yet; what was to be sent is kept.",
        next_zh="请先升级枢纽，再运行同步。",
        next_en="Upgrade the hub first, then sync again.",
    )


def odd_answer() -> Unavailable:
    """The hub answered, but not as the contract says."""
    return Unavailable(
        "hub.odd_answer",
        "枢纽的应答不符合约定。",
        "The hub's answer is not what the contract says.",
        next_zh="请确认代理与枢纽版本一致。",
        next_en="Check that agent and hub are of the same version.",
    )
