"""The words of a plan: each way that a material gets to the office, each reason with what to do, each waiver state."""

from hub.catalogue.model import WaiverState
from hub.catalogue.plan import Reason, Way
from hub.web.pages.words import Word

WAYS: dict[str, Word] = {
    Way.BRING: Word("要带", "Bring it", "paper", "warn"),
    Way.PROMISE: Word("签承诺即可", "Sign a promise", "paper", "info"),
    Way.WAIVED: Word("不用带", "Not needed", "check", "ok"),
    Way.PULL: Word("不用带，可当场取", "Not needed, fetched on the spot", "check", "ok"),
    Way.FILED: Word("不用带，已存档", "Not needed, on file", "check", "ok"),
    Way.HELD: Word("不用带，已登记", "Not needed, registered", "check", "ok"),
}

IF_ANY = Word("有则带", "Bring it if you have it", "paper", "mute")
"""For what is only needed if there is one."""

REASONS: dict[str, tuple[str, str]] = {
    Reason.ABOLISHED: ("这项证明已经取消。", "This proof was abolished."),
    Reason.VALID: ("部门已登记，有效。", "Registered by its department, and valid."),
    Reason.EXPIRING: ("部门已登记，快要到期。", "Registered by its department; it ends soon."),
    Reason.BROUGHT_ONCE: (
        "您以前带来过，窗口核对后已存档。",
        "You brought it once; the counter compared and kept it.",
    ),
    Reason.SOURCE_ANSWERS: (
        "平台上还没有，办理时经您同意可当场向部门取。",
        "Not here yet; with your consent it is fetched from its department when you apply.",
    ),
    Reason.OFFICE_CHECKS: (
        "由办理部门联网核查，不向您要。",
        "The office checks it over the network and does not ask you.",
    ),
    Reason.PROMISE: ("签一份承诺书代替，事后核查。", "A written promise instead; it is checked afterwards."),
    Reason.NO_RECORD: (
        "部门的数据源正常，但没有您的登记。如果您确有这份证照，可请部门补登；急办请带原件。",
        "Its department's source is at work but has nothing for you. If you have it, ask the department to register "
        "it; meanwhile bring the original.",
    ),
    Reason.NOT_COVERED: (
        "可能不在电子数据的范围内，不等于没有办过。请带原件。",
        "It may lie outside what is kept electronically; that does not mean it does not exist. Bring the original.",
    ),
    Reason.EXPIRED: (
        "登记的已过期。请带新的，或先到部门换发。",
        "The registered one has ended. Bring a new one, or renew it first.",
    ),
    Reason.OUTDATED: (
        "登记的数据已过时效，部门更新后就不用带。现在请带近期的。",
        "The registered data is too old; once its department updates it you need not bring it. Bring a recent one now.",
    ),
    Reason.SUSPENDED: (
        "登记的已被部门暂停。请先向部门了解原因。",
        "Its department has suspended it. Ask there why.",
    ),
    Reason.REVOKED: (
        "登记的已被部门撤销，不能再用。请先向部门了解原因。",
        "Its department has revoked it. Ask there why.",
    ),
    Reason.UNKNOWN: (
        "登记了，但现在核对不了是否仍然有效。请带上以防万一。",
        "It is registered, but whether it still stands cannot be checked now. Bring it to be safe.",
    ),
    Reason.SOURCE_SILENT: (
        "部门的数据源暂时不通，不等于没有记录。请带原件。",
        "Its department's source cannot be reached; that does not mean there is no record. Bring the original.",
    ),
    Reason.NOT_CONNECTED: (
        "这类材料还没有接入平台，需要您带来。",
        "This kind of paper is not connected to the hub yet: please bring it.",
    ),
}

WAIVERS: dict[str, Word] = {
    WaiverState.ANNOUNCED: Word("已公布，未生效", "Announced, not in force", "clock", "mute"),
    WaiverState.CONNECTED: Word("数据源已接通，未生效", "Source connected, not in force", "clock", "info"),
    WaiverState.IN_FORCE: Word("已生效", "In force", "check", "ok"),
    WaiverState.SUSPENDED: Word("已暂停", "Suspended", "pause", "warn"),
}
SILENT = Word("数据源中断，暂不免", "Source down: not waived now", "pause", "warn")
"""A waiver that is in force on paper while its source is silent."""
