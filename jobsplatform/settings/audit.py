"""The keys that sign, and that verify, where the chains of the audit log stand. Read through tenants.signing."""

from jobsplatform.settings.env import env

# Empty: derived from SECRET_KEY, which does for development; the deploy check demands one.
AUDIT_SIGNING_KEY = env.str("AUDIT_SIGNING_KEY")
# Of earlier signing keys, and where no signing key is given of the present one.
AUDIT_PUBLIC_KEYS = env.list("AUDIT_PUBLIC_KEYS")

# How long the erasure of a tenant that was asked for can be called off.
ERASURE_GRACE_SECONDS = env.int("ERASURE_GRACE_SECONDS")
