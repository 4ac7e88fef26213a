"""The sections of evidence packs. A new one is one entry of SECTIONS: acts of the audit log, or a statement."""

from __future__ import annotations

from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Final

from tenants.database.sql import load_sql

_SQL = load_sql(__file__)
AUDIT_LOG: Final = "audit_log"
CHAINS: Final = "chains"


@dataclass(frozen=True, slots=True)
class Section:
    """A section: the audit entries whose action matches a pattern or whose actor is of a kind, or a statement's rows.

    A statement takes ``since``, ``until``, ``tenant`` (None for the platform) and ``is_now``. Its order must be total.
    """

    name: str
    title: str
    actions: tuple[str, ...] = ()
    actor_kinds: tuple[str, ...] = ()
    statement: str = ""

    def has(self, action: str, actor_kind: str) -> bool:
        """Return whether an audit entry belongs to the section."""
        return actor_kind in self.actor_kinds or any(fnmatchcase(action, pattern) for pattern in self.actions)


READ_RIGHTS: Final = _SQL["read_rights"]
# In every pack; the builder writes the first two.
ALWAYS: Final = (AUDIT_LOG, CHAINS, "heads")
SECTIONS: Final = (
    Section(AUDIT_LOG, "Audit log, every entry with its seal"),
    Section(CHAINS, "Verification of the hash chains"),
    Section("heads", "Signed heads of the chains", statement=_SQL["read_heads"]),
    Section("rights", "Who had which right", statement=READ_RIGHTS),
    Section(
        "access_changes",
        "Changes of accounts, roles, claim rules, second factors, invitations and API keys",
        (*(f"{noun}.*" for noun in ("membership", "invitation", "platform_role", "claim_rule", "second_factor")),
         "role.*", "api_key.*", "user.*", "access_review.*"),
    ),
    Section("access_reviews", "Reviews of access, with the numbers of their decisions", statement=_SQL["read_reviews"]),
    Section("sessions", "Log-ins, refused log-ins and log-outs", ("session.*",)),
    Section(
        "privileged_acts",
        "Acts of commands and of platform staff",
        ("tenant.*", "platform_role.*", "site.*", "load.*", "circuit.forced*", "state.repaired", "backup.restored",
         "approval_request.*", "approval_rule.*"),
        ("command",),
    ),
    Section("reveals", "Values shown in the clear, and exports", ("*.*revealed", "*.exported", "evidence.made")),
    Section(
        "plan_and_route_changes",
        "Changes of plans, routes, queues, rules and settings",
        (*(f"{noun}.*" for noun in ("plan", "cfs_plan", "tier", "routing_rule", "priority_rule", "shedding_rule")),
         "control_rule.*",
         *(f"{noun}.*" for noun in ("queue", "worker_pool", "tenant.limit", "settings", "outbox_route", "alert_route")),
         "tenant.limit_*", "backup_plan.*", "alert_rule.*"),
    ),
    Section(
        "retention",
        "Removals after retention, legal holds and the archive",
        ("retention.pruned", "audit.pruned", "jobs.prun*", "upkeep.*", "backup.deleted", "legal_hold.*", "archive.*"),
    ),
    Section("deletions", "Rows deleted, by rule and table, with their seals", statement=_SQL["read_deletions"]),
    Section("failed_controls", "Failed controls, and their overrides", ("control.failed", "control.overridden")),
    Section("erasures", "Erasures of tenants", ("tenant.erasure_*", "tenant.erased")),
    Section("backups", "Backups, drills and restores", ("backup.*", "snapshot.*", "tenant.restored")),
    Section("failures", "Alerts that fired and checks that failed", statement=_SQL["read_failures"]),
    Section(
        "key_rotations",
        "Rotations of encryption keys, API keys and secrets",
        ("encryption.*", "api_key.rotated", "secret.*", "webhook.rotated"),
    ),
)  # fmt: skip
BY_NAME: Final = {section.name: section for section in SECTIONS}
