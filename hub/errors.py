"""The one family of errors that domain code raises; doors turn a `kind` into a status (web/problems.py).

    HubError
    ├── Malformed        cannot be parsed, or breaks a rule of its format
    ├── Unauthenticated  we do not know who is asking
    ├── Forbidden        we know, and they may not
    ├── NotFound         no such thing, or not theirs (told alike)
    ├── Conflict         somebody was faster, or the same key came with another body
    ├── Gone             was here, is spent or withdrawn
    ├── TooLarge         over a size limit
    ├── Unprocessable    well formed, but says something that cannot be
    ├── TooMany          slow down
    ├── Unavailable      try again later; says nothing about the answer
    └── Internal         our own fault
"""

from collections.abc import Callable, Iterable
from typing import Any, ClassVar, TypeVar

S = TypeVar("S")
T = TypeVar("T")


class HubError(Exception):
    """A refusal that a person can act on.

    `code` is a stable dotted word and is never translated. `zh` and `en` say what happened, `next_zh` and
    `next_en` what to do now. Texts must not carry personal data: they reach logs and strangers.
    """

    kind: ClassVar[str] = "internal"

    def __init__(
        self, code: str, zh: str, en: str, *, next_zh: str = "", next_en: str = "", **facts: Any
    ) -> None:
        super().__init__(f"{code}: {en}")
        self.code = code
        self.zh = zh
        self.en = en
        self.next_zh = next_zh
        self.next_en = next_en
        self.facts = facts

    def __reduce__(self) -> tuple[Any, ...]:
        """Refusals travel between processes whole (worker processes of the batch doors)."""
        said = (self.code, self.zh, self.en, self.next_zh, self.next_en, self.facts)
        return _again, (type(self), *said)


def _again(
    kind: type[HubError], code: str, zh: str, en: str, next_zh: str, next_en: str, facts: dict[str, Any]
) -> HubError:
    return kind(code, zh, en, next_zh=next_zh, next_en=next_en, **facts)


class Malformed(HubError):
    """Cannot be parsed, or breaks a rule of its format."""

    kind = "malformed"


class Unauthenticated(HubError):
    """We do not know who is asking."""

    kind = "unauthenticated"


class Forbidden(HubError):
    """We know who is asking, and they may not."""

    kind = "forbidden"


class NotFound(HubError):
    """No such thing, or not theirs: both are told alike."""

    kind = "not_found"


class Conflict(HubError):
    """Somebody was faster, or the same key came with another body."""

    kind = "conflict"


class Gone(HubError):
    """It was here, and is spent, withdrawn or erased."""

    kind = "gone"


class TooLarge(HubError):
    """Over a size limit."""

    kind = "too_large"


class Unprocessable(HubError):
    """Well formed, but says something that cannot be."""

    kind = "unprocessable"


class TooMany(HubError):
    """Too many calls: slow down."""

    kind = "too_many"


class Unavailable(HubError):
    """Try again later; this says nothing about the answer."""

    kind = "unavailable"


class Internal(HubError):
    """Our own fault."""

    kind = "internal"


def each(some: Iterable[S | HubError], work: Callable[[S], T]) -> list[T | HubError]:
    """`work` of each of many. A refusal stands in the place of what it refuses, and one that stood there stays."""
    done: list[T | HubError] = []
    for one in some:
        if isinstance(one, HubError):
            done.append(one)
            continue
        try:
            done.append(work(one))
        except HubError as refusal:
            done.append(refusal)
    return done
