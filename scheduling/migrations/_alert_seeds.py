"""The alert rules that an installation begins with; fourteen of them are enabled."""

from tenants.database.rls import cross_tenant_migration

CRITICAL, WARNING = "critical", "warning"
# Between two evaluations are four seconds at least, and usually five.
TWO_LOOKS = 4
# origin: name, measure, per, comparison, threshold, severity, and what differs from the defaults
RULES = {
    "self_diagnosis": ("Self-diagnosis fails", "check", "check", "ge", 2, CRITICAL, {"for_seconds": TWO_LOOKS}),
    "broker_away": (
        "Broker away",
        "broker_away",
        "check",
        "ge",
        1,
        CRITICAL,
        {
            "for_seconds": TWO_LOOKS,
            "inhibits": ["pool_without_worker", "queue_without_consumer", "oldest_wait", "share", "incident", "check"],
        },
    ),
    "pool_without_worker": (
        "Pool without a live worker",
        "pool_without_worker",
        "pool",
        "ge",
        1,
        CRITICAL,
        {"for_seconds": TWO_LOOKS, "inhibits": ["queue_without_consumer", "oldest_wait"]},
    ),
    "queue_without_consumer": (
        "Queue without a consumer",
        "queue_without_consumer",
        "queue",
        "gt",
        15,
        CRITICAL,
        {"inhibits": ["oldest_wait"]},
    ),
    "oldest_wait": (
        "Jobs wait long",
        "oldest_wait",
        "queue",
        "gt",
        300,
        WARNING,
        {"clear_threshold": 120, "for_seconds": 30},
    ),
    "failure_rate": (
        "Many jobs fail",
        "failure_rate",
        "kind",
        "gt",
        0.2,
        WARNING,
        {"clear_threshold": 0.1, "for_seconds": 15, "inhibits": ["new_cause", "failures_of_cause"]},
    ),
    "new_cause": ("New cause of failures", "new_cause", "cause", "ge", 3, WARNING, {}),
    "breaker_open": ("Circuit breaker open", "breaker_open", "kind", "gt", 5, WARNING, {"inhibits": ["failure_rate"]}),
    "limit_used": ("Limit used to 80 %", "limit_used", "tenant", "ge", 80, WARNING, {"notifies_tenant": True}),
    "share_below": ("Share below entitlement", "share", "tenant", "lt", 0.8, WARNING, {"for_seconds": 120}),
    "integrity": ("Verification found a fault", "integrity", "check", "ge", 1, CRITICAL, {}),
    "platform_incident": ("Incident of the platform", "incident", "incident", "ge", 1, WARNING, {}),
    "objective_burn": (
        "Error budget burns fast",
        "objective_burn",
        "objective",
        "ge",
        14.4,
        CRITICAL,
        {"clear_threshold": 10, "inhibits": ["objective_slow_burn"]},
    ),
    "objective_slow_burn": (
        "Error budget burns",
        "objective_slow_burn",
        "objective",
        "ge",
        6,
        WARNING,
        {"clear_threshold": 4},
    ),
    "upkeep_overdue": ("Upkeep overdue or failed", "upkeep", "task", "ge", 1, WARNING, {"is_enabled": False}),
    "limit_full": (
        "Limit used up",
        "limit_used",
        "tenant",
        "ge",
        100,
        CRITICAL,
        {"notifies_tenant": True, "is_enabled": False},
    ),
    "eta_error": ("Predicted times are wrong", "eta_error", "kind", "gt", 2, WARNING, {"is_enabled": False}),
    "failures_of_cause": (
        "Many failures of one cause",
        "failures_of_cause",
        "cause",
        "gt",
        100,
        WARNING,
        {"is_enabled": False},
    ),
}


# Those of 0025.
ANOMALY_RULES = {"anomaly": ("Unusual values", "anomaly", "series", "ge", 1, WARNING, {"is_enabled": False})}
# Those of 0029.
LOAD_RULES = {
    "platform_overloaded": (
        "Platform overloaded",
        "load",
        "check",
        "ge",
        2,
        WARNING,
        {"for_seconds": 30, "clear_seconds": 30},
    ),
    "platform_brown_out": ("Platform in brown-out", "load", "check", "ge", 3, CRITICAL, {"for_seconds": TWO_LOOKS}),
    "pool_overloaded": ("Pool overloaded", "load", "pool", "ge", 2, WARNING, {"for_seconds": 30, "clear_seconds": 30}),
}

# Those of 0031.
BACKUP_RULES = {"backup_old": ("Backup older than promised", "backup_age", "check", "gt", 1, CRITICAL, {})}
# Those of 0033.
EFFECT_RULES = {
    "outbox_age": (
        "Messages of the outbox wait",
        "outbox_age",
        "tenant",
        "gt",
        900,
        WARNING,
        {"notifies_tenant": True},
    ),
    "outbox_dead": ("Messages were given up", "outbox_dead", "tenant", "ge", 1, WARNING, {"notifies_tenant": True}),
    "compensations_stuck": (
        "Compensations need attention",
        "compensations_stuck",
        "tenant",
        "ge",
        1,
        CRITICAL,
        {"notifies_tenant": True},
    ),
}

# Those of 0040.
IDENTITY_RULES = {"break_glass": ("Account for emergencies used", "break_glass", "check", "ge", 1, CRITICAL, {})}


def create_rules(apps, schema_editor):
    """Create the first shipped rules, and the clock of the evaluation."""
    alias = schema_editor.connection.alias
    with cross_tenant_migration(schema_editor):
        apps.get_model("scheduling", "AlertClock").objects.using(alias).create(id=1)
    add_rules(apps, schema_editor, RULES)


def add_rules(apps, schema_editor, rules):
    """Create shipped rules."""
    with cross_tenant_migration(schema_editor):
        for origin, (name, measure, per, comparison, threshold, severity, others) in rules.items():
            apps.get_model("scheduling", "AlertRule").objects.using(schema_editor.connection.alias).create(
                origin=origin,
                name=name,
                measure=measure,
                per=per,
                comparison=comparison,
                threshold=threshold,
                severity=severity,
                runbook=origin.replace("_", "-"),
                **others,
            )
