"""Words for what happens around a case: hand-overs, promises and their checks; and for drafts of the catalogue."""

from hub.cases.model import PromiseState
from hub.catalogue.model import DraftState
from hub.web.pages.words import Word

HANDOVERS: dict[str, Word] = {
    "here": Word("在大厅", "In the hall", "dots", "mute"),
    "sent": Word("已移交，等待接收", "Handed over, waits to be received", "clock", "info"),
    "received": Word("部门已接收", "Received by the department", "check", "ok"),
    "refused": Word("部门已退回", "Sent back by the department", "info", "warn"),
}

PROMISES: dict[str, Word] = {
    PromiseState.MADE: Word("待核查", "To be checked", "clock", "warn"),
    PromiseState.KEPT: Word("核查属实", "Found true", "check", "ok"),
    PromiseState.BROKEN: Word("核查不实", "Found false", "cross", "bad"),
}

DRAFTS: dict[str, Word] = {
    DraftState.DRAFT: Word("草稿，等复核", "Draft, waits for review", "clock", "warn"),
    DraftState.REVIEWED: Word("已复核，等公布", "Reviewed, to be published", "dots", "info"),
    DraftState.PUBLISHED: Word("已公布", "Published", "check", "ok"),
    DraftState.REFUSED: Word("已退回", "Refused", "cross", "mute"),
}
