"""Check of references to container images: a digest always names the same image, a tag the image pushed last."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from django.core import checks

from tenants.database.platform_settings import platform_settings

# A repository's image by its digest, or a local image by its id.
_BY_DIGEST = re.compile(r"(?:[^@\s]{1,255}@)?sha256:[0-9a-f]{64}")
_PLACEHOLDER = "0" * 64


def is_by_digest(reference: str) -> bool:
    """Return whether the reference contains a digest, so that it always names the same image.

    A digest of zeros is a placeholder and does not count.
    """
    return _BY_DIGEST.fullmatch(reference) is not None and not reference.endswith(_PLACEHOLDER)


@checks.register(checks.Tags.security, deploy=True)
def check_image(app_configs: Sequence[Any] | None, **_: Any) -> list[checks.CheckMessage]:
    """Report an error if the setting IMAGE names the image by a tag."""
    reference = platform_settings.IMAGE
    if not reference or is_by_digest(reference):
        return []
    hint = "Set IMAGE to NAME@sha256:DIGEST, as printed by the registry when the image was pushed."
    return [checks.Error(f"IMAGE is {reference!r}, which is not a digest.", hint=hint, id="jobsplatform.E010")]
