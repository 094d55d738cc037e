"""The nouns of paper: a Face to print, an Inspection of what somebody handed in, and the closed list of outcomes."""

import json
import unicodedata
from dataclasses import asdict, dataclass
from datetime import date
from enum import StrEnum
from typing import Any, Literal

from hub.errors import Unprocessable

ATTACHMENT = "credential.sd-jwt"
"""Name of the one attachment of a face: the SD-JWT VC itself."""

MAX_VALUE = 1_000  # characters of one value; a page holds about 1,500
MAX_ROWS = 40
MAX_URL = 120  # two printed lines, and a code whose modules stay above 0.7 mm
MAX_SD_JWT = 512 * 1024

# Invisible: such characters make a page read differently from the claims (bidi overrides, zero-width joins).
# Private-use and unassigned ones are left to the fonts, which name what they cannot draw.
_HIDDEN = frozenset({"Cc", "Cf", "Cs", "Zl", "Zp"})


@dataclass(frozen=True)
class Face:
    """What one A4 page says about a certificate. Strings are printed exactly as given: mask them before.

    `rows` are (label_zh, label_en, value). `valid_until` None prints as long-term. `issued_on` is a civil day in
    Asia/Shanghai and also becomes the document's date, so that the same face gives the same bytes.
    `purpose_line` marks a copy handed out for one case (国办函〔2016〕108号).
    """

    title_zh: str
    title_en: str
    issuer_zh: str
    issuer_en: str
    rows: tuple[tuple[str, str, str], ...]
    number: str
    issued_on: date
    valid_until: date | None
    verify_url: str
    short_code: str
    sd_jwt: str
    purpose_line: str | None = None

    def __post_init__(self) -> None:
        """Refuse what cannot be printed honestly (Unprocessable `paper.face_*`)."""
        object.__setattr__(self, "rows", tuple((str(a), str(b), str(c)) for a, b, c in self.rows))
        for text in self.texts():
            if any(unicodedata.category(c) in _HIDDEN for c in text) or len(text) > MAX_VALUE:
                raise _unfit(
                    "text", "含有不可见字符或过长的文字", "text with invisible characters, or too long"
                )
        if not self.title_zh or not self.issuer_zh or not self.number or len(self.rows) > MAX_ROWS:
            raise _unfit(
                "incomplete",
                "缺少标题、发证部门或编号，或栏目过多",
                "title, issuer or number missing, or too many rows",
            )
        url = self.verify_url
        if (
            not url.startswith(("https://", "http://"))
            or not url.isascii()
            or " " in url
            or len(url) > MAX_URL
        ):
            raise _unfit("address", "核验地址不正确", "the verification address is not usable")
        if not self.sd_jwt.isascii() or not 0 < len(self.sd_jwt) <= MAX_SD_JWT:
            raise _unfit("sd_jwt", "证照签名文件为空或过大", "the SD-JWT is empty or too large")

    def texts(self) -> list[str]:
        """Every string of the caller's that will be drawn, in no particular order."""
        parts = [self.title_zh, self.title_en, self.issuer_zh, self.issuer_en, self.number]
        parts += [self.verify_url, self.short_code, self.purpose_line or ""]
        return parts + [text for row in self.rows for text in row]

    def to_json(self) -> bytes:
        """The face as one JSON object; `from_json` is its inverse."""
        return json.dumps(asdict(self), ensure_ascii=False, default=date.isoformat, sort_keys=True).encode()

    @classmethod
    def from_json(cls, data: bytes) -> "Face":
        """A face written by `to_json` (our own parent process: the JSON itself is trusted)."""
        fields: dict[str, Any] = json.loads(data)
        until = fields["valid_until"]
        fields["issued_on"] = date.fromisoformat(fields["issued_on"])
        fields["valid_until"] = None if until is None else date.fromisoformat(until)
        fields["rows"] = tuple(tuple(row) for row in fields["rows"])
        return cls(**fields)


def _unfit(what: str, zh: str, en: str) -> Unprocessable:
    return Unprocessable(
        f"paper.face_{what}",
        f"证面无法生成：{zh}。",
        f"The face cannot be made: {en}.",
        next_zh="请在数据源中改正该字段后重新生成。",
        next_en="Correct the field in the source and make the face again.",
    )


class Outcome(StrEnum):
    """Everything that can be said about a file somebody handed in. Closed: there is no generic error.

    Reading gives the first group; verification, which knows issuers and status lists, adds the second.
    """

    FOUND = "found"
    NOT_OURS = "not_our_document"
    ALTERED = "altered_after_sealing"
    TOO_LARGE = "too_large"
    TOO_COMPLEX = "too_complex"
    UNREADABLE_PHOTO = "unreadable_photo"
    PASSWORD = "password_protected"

    ISSUER_UNKNOWN = "issuer_unknown"
    KEY_NOT_VALID = "key_not_valid_at_signing"
    REVOKED = "revoked"
    SUSPENDED = "suspended"
    SUPERSEDED = "superseded"
    EXPIRED = "expired"
    NOT_REGISTERED = "not_registered"
    VALID = "valid"
    STATUS_STALE = "status_stale"
    FUTURE_DATED = "future_dated"


@dataclass(frozen=True)
class Words:
    """What a person is told about an outcome, and what to do now."""

    zh: str
    en: str
    next_zh: str
    next_en: str


_ASK_AGAIN = (
    "请从发证部门或“我的证照”重新下载原件。",
    "Download the original again from the issuer or from My certificates.",
)
_ASK_ISSUER = ("请联系发证部门。", "Contact the issuing department.")

WORDS: dict[Outcome, Words] = {
    Outcome.FOUND: Words("已读出证照，可以核验。", "A certificate was read and can be checked.", "", ""),
    Outcome.NOT_OURS: Words(
        "这不是本平台的电子证照。",
        "This is not a certificate of this platform.",
        "请上传下载得到的 PDF 原件，或拍摄证面上的二维码。",
        "Upload the PDF as it was downloaded, or photograph the QR code on the page.",
    ),
    Outcome.ALTERED: Words(
        "文件在签发后被改动过。", "The file was changed after it was sealed.", *_ASK_AGAIN
    ),
    Outcome.TOO_LARGE: Words(
        "文件过大。",
        "The file is too large.",
        "PDF 不超过 20 MB，照片不超过 10 MB。",
        "At most 20 MB for a PDF, 10 MB for a photo.",
    ),
    Outcome.TOO_COMPLEX: Words("文件过于复杂，无法检查。", "The file is too complex to check.", *_ASK_AGAIN),
    Outcome.UNREADABLE_PHOTO: Words(
        "照片中没有可以识别的二维码。",
        "No readable QR code in the picture.",
        "请在光线充足处对准二维码重拍，使用 JPG 或 PNG 格式；也可以手工输入核验码。",
        "Take it again in good light, close to the code, as JPG or PNG; or type the short code instead.",
    ),
    Outcome.PASSWORD: Words(
        "文件设有密码。",
        "The file is password-protected.",
        "请上传没有密码的原件。",
        "Upload the original, without a password.",
    ),
    Outcome.ISSUER_UNKNOWN: Words(
        "签发部门未在本平台登记，或无权签发此类证照。",
        "The issuer is not registered here, or not for this type of certificate.",
        *_ASK_ISSUER,
    ),
    Outcome.KEY_NOT_VALID: Words(
        "签发时所用密钥不在有效期内。", "The key was not valid when this was signed.", *_ASK_ISSUER
    ),
    Outcome.REVOKED: Words("证照已被吊销。", "The certificate has been revoked.", *_ASK_ISSUER),
    Outcome.SUSPENDED: Words("证照已被暂停使用。", "The certificate is suspended.", *_ASK_ISSUER),
    Outcome.EXPIRED: Words("证照已过有效期。", "The certificate has expired.", *_ASK_ISSUER),
    Outcome.NOT_REGISTERED: Words(
        "签名有效，但证照未在本平台登记。",
        "The signature holds, but the certificate is not registered here.",
        *_ASK_ISSUER,
    ),
    Outcome.VALID: Words(
        "证照有效。",
        "The certificate is valid.",
        "这不证明持有人就是您面前的人，请另行核对身份。",
        "This does not prove that the holder is the person before you: check that separately.",
    ),
    Outcome.SUPERSEDED: Words(
        "证照已有新版本。", "There is a newer version of this certificate.", *_ASK_AGAIN
    ),
    Outcome.STATUS_STALE: Words(
        "暂时无法确认证照状态。",
        "The status of the certificate cannot be confirmed right now.",
        "请稍后再试；这不表示证照无效。",
        "Try again later; this does not mean that the certificate is invalid.",
    ),
    Outcome.FUTURE_DATED: Words("证照尚未生效。", "The certificate is not valid yet.", *_ASK_ISSUER),
}


Kind = Literal["pdf", "image", "sd_jwt", "unknown"]


@dataclass(frozen=True)
class Inspection:
    """What was found in a file, before anybody has checked a signature: all of it is untrusted.

    `kind` is what the file is; `sd_jwt` and `qr` are what it carries (a photo or a scan gives only `qr`).
    `reason` is a stable finer word for `outcome` ("trailing_bytes", "javascript"), "" when found.
    `sealed` says that the PDF has a filled signature field, nothing about its worth. `text` is the page text.
    """

    kind: Kind
    outcome: Outcome
    reason: str = ""
    sd_jwt: str | None = None
    qr: tuple[str, ...] = ()
    text: str = ""
    pages: int = 0
    sealed: bool = False

    @property
    def words(self) -> Words:
        """The sentence for `outcome` in both languages."""
        return WORDS[self.outcome]

    def to_json(self) -> dict[str, Any]:
        """Plain JSON; `from_json` is its inverse."""
        return asdict(self)

    @classmethod
    def from_json(cls, value: Any) -> "Inspection":
        """An inspection from the child process, whose word is not trusted: ValueError on any other shape."""
        if not isinstance(value, dict) or set(value) != set(cls.__dataclass_fields__):
            raise ValueError("not an inspection")
        token, qr = value["sd_jwt"], value["qr"]
        strings = [value["kind"], value["reason"], value["text"], *([] if token is None else [token])]
        if not isinstance(qr, list) or not all(isinstance(s, str) for s in [*strings, *qr]):
            raise ValueError("not an inspection")
        if not isinstance(value["pages"], int) or not isinstance(value["sealed"], bool):
            raise ValueError("not an inspection")
        if value["kind"] not in ("pdf", "image", "sd_jwt", "unknown"):
            raise ValueError("not an inspection")
        return cls(**{**value, "outcome": Outcome(value["outcome"]), "qr": tuple(qr)})
