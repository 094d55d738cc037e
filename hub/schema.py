"""Imports every model, so that `metadata` is complete for migrations and tests."""

import hub.access.model
import hub.cases.model
import hub.catalogue.model
import hub.certificates.model
import hub.consent.model
import hub.ledger.model
import hub.notices.model
import hub.oversight.model
import hub.registry.model
import hub.store.model
import hub.verification.model
from hub.store.base import metadata

__all__ = ["metadata"]
