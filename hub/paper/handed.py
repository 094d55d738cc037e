"""The careful way to read what a stranger hands in: size first, then a limited child process. Needs no PDF library."""

from hub.paper import child
from hub.paper.model import Inspection, Outcome

MAX_PDF = 20 * 2**20


async def inspect_in_child(data: bytes, limits: child.Limits | None = None) -> Inspection:
    """What `data` is and carries, found out in a limited child process. Untrusted until verified.

    Never raises for the content: a file that uses up its limits is `too_complex`. Raises Unavailable `paper.busy`,
    and Internal `paper.child_failed` when our own process broke.
    """
    if refused := by_size(data):
        return refused
    try:
        return Inspection.from_json(await child.run("inspect", data, limits))
    except child.TooComplex as spent:
        return Inspection(
            "pdf" if data.startswith(b"%PDF") else "unknown", Outcome.TOO_COMPLEX, spent.facts["why"]
        )
    except (ValueError, TypeError):  # the child says something else than an inspection: it is no longer ours
        return Inspection("unknown", Outcome.TOO_COMPLEX, "answer")


def by_size(data: bytes) -> Inspection | None:
    """The answer for bytes that need not be looked into; None for all others."""
    if not data:
        return Inspection("unknown", Outcome.NOT_OURS, "empty")
    if len(data) > MAX_PDF:
        return Inspection("unknown", Outcome.TOO_LARGE, "bytes")
    return None
