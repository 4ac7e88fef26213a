"""Upkeep that cannot wait for its next time: asked for as soon as there is work for it."""

from __future__ import annotations

import logging
from typing import Final

from django.db import transaction

from scheduling.broker import publish_upkeep
from scheduling.exceptions import BrokerUnavailableError
from tenants.signals import audit_verification_begun

logger = logging.getLogger(__name__)

ASKED_FOR_VERIFICATIONS: Final = "audit_requests"


def listen_to_verifications() -> None:
    """Have a worker go on with a verification once the request that began it is committed."""

    def on_begun(**_: object) -> None:
        transaction.on_commit(_ask)

    audit_verification_begun.connect(
        on_begun, weak=False, dispatch_uid="scheduling.upkeep.prompts.listen_to_verifications"
    )


def _ask() -> None:
    try:
        publish_upkeep(ASKED_FOR_VERIFICATIONS)
    except BrokerUnavailableError:
        # Beat asks for it within a minute, as soon as there is a broker.
        logger.warning("upkeep.not_prompted", exc_info=True)
