"""Signed notes, checkpoints and cosignatures as C2SP writes them (signed-note, tlog-checkpoint,
tlog-cosignature).

    <text, ends in a newline>
    <empty line>
    — <name> <base64(4-byte key id || signature)>
    ...

Verifying is strict: a line of a known key that does not verify spoils the whole note, lines of unknown
keys are passed over, and a note without one valid known signature is no note.
"""

import base64
import binascii
import hashlib
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey

from hub.errors import Malformed, Unprocessable
from hub.formats.merkle import EMPTY_ROOT, HASH_BYTES, MAX_SIZE

ED25519 = 0x01
COSIGNATURE = 0x04
MAX_NOTE = 64 * 1024
MAX_SIGNATURES = 64

_DECIMAL = re.compile(r"0|[1-9][0-9]{0,18}", re.ASCII)


class NoteSigner(Protocol):
    """What signs notes: any `keys` Signer with `alg` "EdDSA"."""

    def sign(self, message: bytes) -> bytes:
        """The 64-byte Ed25519 signature of `message`."""
        ...


@dataclass(frozen=True, slots=True)
class Vkey:
    """A note verifier key: `<name>+<hex key id>+<base64(type || public key)>`. Ed25519 under types 0x01
    and 0x04.
    """

    name: str
    kind: int
    public: bytes

    @property
    def key_id(self) -> bytes:
        """First 4 bytes of SHA-256(name || 0x0A || type || public key)."""
        return hashlib.sha256(self.name.encode() + b"\n" + bytes([self.kind]) + self.public).digest()[:4]

    def __str__(self) -> str:
        return f"{self.name}+{self.key_id.hex()}+{_b64(bytes([self.kind]) + self.public)}"

    def holds(self, signature: bytes, message: bytes) -> bool:
        """Whether `signature` is this key's Ed25519 signature of `message`; False for anything else."""
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            return False
        return True


@dataclass(frozen=True, slots=True)
class SignatureLine:
    """One `— name base64` line, whether we know the key or not."""

    name: str
    key_id: bytes
    signature: bytes

    def __str__(self) -> str:
        return f"— {self.name} {_b64(self.key_id + self.signature)}\n"


@dataclass(frozen=True, slots=True)
class Note:
    """A parsed note; nothing verified yet. `text` ends in a newline and is what is signed."""

    text: str
    signatures: tuple[SignatureLine, ...]

    def __str__(self) -> str:
        return self.text + "\n" + "".join(map(str, self.signatures))

    def with_signatures(self, lines: Iterable[SignatureLine]) -> "Note":
        """The same text with further lines; a line that is there already is not repeated."""
        return Note(self.text, tuple(dict.fromkeys((*self.signatures, *lines))))


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """What a log claims: `origin` had `size` leaves under `root`."""

    origin: str
    size: int
    root: bytes
    extensions: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The note text: origin, decimal size, base64 root, extension lines; ends in a newline."""
        lines = [self.origin, str(self.size), _b64(self.root), *self.extensions]
        return "\n".join(lines) + "\n"


@dataclass(frozen=True, slots=True)
class Cosigned:
    """A checkpoint that was verified, with who vouches for it: witness name -> time in seconds."""

    checkpoint: Checkpoint
    note: Note
    log_key: Vkey
    witnessed: dict[str, int] = field(default_factory=dict)


# --- keys ---


def make_vkey(name: str, public: bytes, kind: int = ED25519) -> Vkey:
    """A verifier key of 32 Ed25519 bytes. Raises Malformed `note.key_name`, `note.vkey`."""
    _check_name(name)
    if kind not in (ED25519, COSIGNATURE) or len(public) != 32:
        raise Malformed("note.vkey", "验证公钥不支持。", "Only Ed25519 keys of type 0x01 or 0x04 are taken.")
    return Vkey(name, kind, public)


def parse_vkey(text: str) -> Vkey:
    """Read a vkey and recompute its key id. Raises Malformed `note.vkey`, `note.key_name`."""
    parts = text.split("+", 2)  # base64 contains + as well: only the first two separate
    if len(parts) != 3 or not re.fullmatch(r"[0-9a-f]{8}", parts[1], re.ASCII):
        raise Malformed("note.vkey", "验证公钥格式不对。", "Not a note verifier key.")
    raw = _unb64(parts[2])
    if not raw:
        raise Malformed("note.vkey", "验证公钥格式不对。", "Not a note verifier key.")
    key = make_vkey(parts[0], raw[1:], raw[0])
    if str(key) != text:
        raise Malformed("note.vkey", "验证公钥的编号不符。", "The key id does not belong to this key.")
    return key


# --- notes ---


def parse(data: bytes | str) -> Note:
    """Split a note into its text and its signature lines; verifies nothing.

    Raises Malformed `note.too_large`, `note.encoding`, `note.control`, `note.shape`, `note.signature_line`.
    """
    raw = data.encode("utf-8", "surrogatepass") if isinstance(data, str) else data
    if len(raw) > MAX_NOTE:
        raise Malformed("note.too_large", "签名文书过大。", "The note is too large.")
    try:
        whole = raw.decode("utf-8")
    except UnicodeDecodeError:
        raise Malformed("note.encoding", "签名文书不是 UTF-8。", "The note is not UTF-8.") from None
    if any(char < " " and char != "\n" for char in whole):
        raise Malformed("note.control", "签名文书含控制字符。", "The note holds a control character.")
    text, gap, tail = whole.rpartition("\n\n")
    if not gap or not text or not tail.endswith("\n"):
        raise Malformed("note.shape", "签名文书格式不对。", "Not a signed note.")
    lines = tail[:-1].split("\n")
    if len(lines) > MAX_SIGNATURES:
        raise Malformed("note.too_large", "签名行过多。", "Too many signature lines.")
    return Note(text + "\n", tuple(map(_signature_line, lines)))


def sign(text: str, signer: NoteSigner, key: Vkey) -> SignatureLine:
    """Sign a note's text with a type 0x01 key. Raises Malformed `note.shape`, Unprocessable
    `note.wrong_key`.
    """
    if key.kind != ED25519:
        raise Unprocessable("note.wrong_key", "密钥类型不对。", "Notes are signed by type 0x01 keys.")
    _check_text(text)
    line = SignatureLine(key.name, key.key_id, signer.sign(text.encode()))
    if not key.holds(line.signature, text.encode()):
        raise Unprocessable(
            "note.wrong_key", "私钥与公钥不符。", "The signer does not hold this verifier key."
        )
    return line


def verify(note: Note, keys: Sequence[Vkey]) -> list[tuple[Vkey, SignatureLine]]:
    """The lines that known keys made, all of them checked; cosignatures under the cosignature message.

    1. Lines of unknown (name, key id) are ignored.
    2. A line of a known key that does not verify rejects the note: Unprocessable `note.bad_signature`.
    3. Without any known line: Unprocessable `note.no_known_signature`.
    """
    known = {(key.name, key.key_id): key for key in keys}
    held: list[tuple[Vkey, SignatureLine]] = []
    for line in note.signatures:
        key = known.get((line.name, line.key_id))
        if key is None:  # 1
            continue
        if not _line_holds(key, line, note.text):  # 2
            raise Unprocessable(
                "note.bad_signature", "签名不成立。", "A known key's signature does not verify."
            )
        held.append((key, line))
    if not held:  # 3
        raise Unprocessable("note.no_known_signature", "没有可信的签名。", "No signature of a known key.")
    return held


# --- checkpoints ---


def parse_checkpoint(text: str) -> Checkpoint:
    """Read a checkpoint's text (tlog-checkpoint). Raises Malformed `checkpoint.shape`, `.size`, `.root`."""
    lines = text.split("\n")
    if len(lines) < 4 or lines[-1] or not all(lines[:-1]):
        raise Malformed("checkpoint.shape", "检查点格式不对。", "Not a checkpoint.")
    origin, size, root, *extensions = lines[:-1]
    if not _DECIMAL.fullmatch(size) or int(size) > MAX_SIZE:
        raise Malformed("checkpoint.size", "检查点大小不对。", "The checkpoint's size is malformed.")
    digest = _unb64(root)
    if digest is None or len(digest) != HASH_BYTES:
        raise Malformed("checkpoint.root", "检查点根哈希不对。", "The checkpoint's root is malformed.")
    return Checkpoint(origin, int(size), digest, tuple(extensions))


def sign_checkpoint(checkpoint: Checkpoint, signer: NoteSigner, key: Vkey) -> Note:
    """A checkpoint signed by its log: the key's name is the origin (tlog-tiles).

    Raises Unprocessable `checkpoint.origin` when it is not, `note.wrong_key` when the signer is not that key.
    """
    if key.name != checkpoint.origin:
        raise Unprocessable(
            "checkpoint.origin", "密钥不属于该日志。", "The log key's name is not the origin."
        )
    return Note(checkpoint.text, (sign(checkpoint.text, signer, key),))


def verify_checkpoint(note: Note, log_key: Vkey, witnesses: Sequence[Vkey] = ()) -> Cosigned:
    """Verify a log's checkpoint and the cosignatures of these witnesses.

    1. The text is a checkpoint whose origin is, byte for byte, the log key's name: else `checkpoint.origin`.
    2. The log's own signature is there and holds: else `note.no_known_signature` / `note.bad_signature`.
    3. Every line of a known witness holds; how many are enough is the caller's policy.
    """
    checkpoint = parse_checkpoint(note.text)
    if checkpoint.size == 0 and checkpoint.root != EMPTY_ROOT:
        raise Malformed("checkpoint.root", "空树的根哈希不对。", "The empty tree has another root.")
    if checkpoint.origin != log_key.name:  # 1
        raise Unprocessable(
            "checkpoint.origin", "检查点属于另一个日志。", "The checkpoint is of another log."
        )
    held = verify(note, [log_key, *witnesses])  # 2, 3
    if all(key != log_key for key, _ in held):
        raise Unprocessable("note.no_known_signature", "没有日志自己的签名。", "The log itself did not sign.")
    witnessed: dict[str, int] = {}
    for key, line in held:
        if key.kind == COSIGNATURE:
            witnessed[key.name] = max(witnessed.get(key.name, 0), cosigned_at(line))
    return Cosigned(checkpoint, note, log_key, witnessed)


def cosign(text: str, signer: NoteSigner, key: Vkey, now: int) -> SignatureLine:
    """A witness's line under a checkpoint's text: `cosignature/v1`, type 0x04; `now` in seconds, not 0.

    Raises Unprocessable `note.wrong_key`, `cosignature.time`.
    """
    if key.kind != COSIGNATURE:
        raise Unprocessable("note.wrong_key", "密钥类型不对。", "Witnesses sign with type 0x04 keys.")
    if not 0 < now <= MAX_SIZE:
        raise Unprocessable("cosignature.time", "见证时间不对。", "A cosignature needs a time after 1970.")
    parse_checkpoint(text)
    message = _cosignature_message(text, now)
    signature = signer.sign(message)
    if not key.holds(signature, message):
        raise Unprocessable(
            "note.wrong_key", "私钥与公钥不符。", "The signer does not hold this verifier key."
        )
    return SignatureLine(key.name, key.key_id, now.to_bytes(8, "big") + signature)


def cosigned_at(line: SignatureLine) -> int:
    """The time in seconds that a cosignature line carries."""
    return int.from_bytes(line.signature[:8], "big")


# --- inside ---


def _line_holds(key: Vkey, line: SignatureLine, text: str) -> bool:
    if key.kind == ED25519:
        return key.holds(line.signature, text.encode())
    at = cosigned_at(line)
    if len(line.signature) != 72 or not 0 < at <= MAX_SIZE:
        return False
    return key.holds(line.signature[8:], _cosignature_message(text, at))


def _cosignature_message(text: str, at: int) -> bytes:
    return f"cosignature/v1\ntime {at}\n{text}".encode()


def _signature_line(line: str) -> SignatureLine:
    mark, _, rest = line.partition(" ")
    name, gap, coded = rest.partition(" ")
    raw = _unb64(coded) if gap and mark == "—" else None
    if raw is None or len(raw) < 5:
        raise Malformed("note.signature_line", "签名行格式不对。", "A signature line is malformed.")
    _check_name(name)
    return SignatureLine(name, raw[:4], raw[4:])


def _check_name(name: str) -> None:
    if not name or "+" in name or any(char.isspace() or char < " " for char in name):
        raise Malformed("note.key_name", "密钥名称不对。", "A key name has no spaces and no plus sign.")


def _check_text(text: str) -> None:
    if not text.endswith("\n") or any(char < " " and char != "\n" for char in text):
        raise Malformed(
            "note.shape", "签名文书格式不对。", "A note's text ends in a newline, without controls."
        )


def _b64(data: bytes) -> str:
    return base64.b64encode(data).decode()


def _unb64(text: str) -> bytes | None:
    try:
        data = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError):
        return None
    return data if _b64(data) == text else None
