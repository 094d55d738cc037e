"""Whose case it is: an officer sees what their own department, step or hall has to do with it, and nothing else."""

from dataclasses import dataclass

import sqlalchemy as sa

from hub.actor import ActorKind
from hub.cases.halls import halls_of, handover_of
from hub.cases.model import case_steps
from hub.cases.open import Case, by_public_id, unknown_case
from hub.registry.model import may
from hub.store.tx import View


@dataclass(frozen=True, slots=True)
class Scope:
    """What an officer has to do with a case: their department handles it, decides `steps` of it, took it in a hall.

    `handed_over`: the hall has sent it on and it was not sent back, so that the hall sees it and changes nothing.
    """

    handles: bool
    steps: frozenset[str]
    hall: bool
    handed_over: bool = False

    @property
    def may_accept(self) -> bool:
        """Whether they may take it in, or compare an original with an upload."""
        return self.handles or (self.hall and not self.handed_over)


async def in_scope(view: View, public_id: str) -> tuple[Case, Scope]:
    """The case and the acting officer's part in it; NotFound alike for a stranger's and for none."""
    case, actor = await by_public_id(view, public_id), view.actor
    if actor.kind not in (ActorKind.OFFICER, ActorKind.DEPARTMENT):
        raise unknown_case()
    rows = await view.all(
        sa.select(case_steps.c.code).where(
            case_steps.c.case_id == case.id, case_steps.c.department == actor.department
        )
    )
    in_hall = case.hall is not None and case.hall in {hall.code for hall in await halls_of(view)}
    handles = actor.department == case.department
    steps = frozenset(row.code for row in rows)
    hall = in_hall and (may(actor.roles, "cases.open") or may(actor.roles, "counter.verify"))
    if not (handles or steps or hall):
        raise unknown_case()
    sent = await handover_of(view, case=case) if hall else None
    return case, Scope(handles, steps, hall, sent is not None and sent.state != "refused")
