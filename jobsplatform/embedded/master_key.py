"""The master key of development and demo servers, so that secrets can be stored there."""

import base64
import os
import secrets
from pathlib import Path

VARIABLE = "ENCRYPTION_MASTER_KEYS"


def provide_master_key(kept: Path) -> None:
    """Set the variable for this process and its children to the key in the file, creating it the first time.

    A variable that is already set takes precedence, even if it is empty.
    """
    if VARIABLE in os.environ:
        return
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch(mode=0o600)
        kept.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    os.environ[VARIABLE] = kept.read_text().strip()
