"""The keys that sign and verify where the audit log's chains stand, and those that wrap the data keys of tenants."""

from jobsplatform.settings.env import env

# Read by `run_auditor` alone. Empty: derived from SECRET_KEY, which does for development; the deploy check demands one.
AUDIT_SIGNING_KEY = env.str("AUDIT_SIGNING_KEY")
# Of earlier signing keys, and where no signing key is given of the present one.
AUDIT_PUBLIC_KEYS = env.list("AUDIT_PUBLIC_KEYS")

# The auditor removes no entry that was sealed fewer days ago, whatever is requested; the erasure of a tenant apart.
AUDIT_MINIMUM_DAYS = env.int("AUDIT_MINIMUM_DAYS")

# How long the erasure of a tenant that was asked for can be called off.
ERASURE_GRACE_SECONDS = env.int("ERASURE_GRACE_SECONDS")

# 32 bytes each in base64, the one that wraps first: payloads, results and checkpoints are sealed by keys that it wraps
# (tenants.encryption). Empty: they are stored as they are.
ENCRYPTION_MASTER_KEYS = env.list("ENCRYPTION_MASTER_KEYS")
