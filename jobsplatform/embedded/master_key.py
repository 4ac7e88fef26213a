"""Master key of development and demonstration servers, with which they encrypt stored secrets."""

import base64
import os
import secrets
from pathlib import Path

VARIABLE = "ENCRYPTION_MASTER_KEYS"


def provide_master_key(kept: Path) -> None:
    """Set ENCRYPTION_MASTER_KEYS for this process and its children to the key in the file.

    Create the file if it does not exist. If the variable is set already, even to an empty text, it is kept.
    """
    if VARIABLE in os.environ:
        return
    if not kept.exists():
        kept.parent.mkdir(parents=True, exist_ok=True)
        kept.touch(mode=0o600)
        kept.write_text(base64.b64encode(secrets.token_bytes(32)).decode())
    os.environ[VARIABLE] = kept.read_text().strip()
