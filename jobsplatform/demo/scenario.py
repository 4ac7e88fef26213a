"""Scenario of the demonstration: the tenants in the order of their uploads, and the searches at the end."""

from __future__ import annotations

from dataclasses import dataclass

POOL = "default"
FILES_PER_BATCH = "document_indexing.files_per_batch"
DATASET = "handbook"

# Two idle cores need less than a minute; this only ends a broken run.
DRAIN_SECONDS = 400.0


@dataclass(frozen=True, slots=True)
class TenantScenario:
    """A tenant of the demonstration; its plan decides its weight and limits."""

    slug: str
    plan: str
    part: str


# The first one floods. The others start when its whole flood is queued.
ROLES = (
    TenantScenario("sandbox-demo", "sandbox", "floods first"),
    TenantScenario("team-demo", "team", "comes second"),
    TenantScenario("professional-demo", "professional", "comes last"),
)


@dataclass(frozen=True, slots=True)
class Enquiry:
    """A search at the end, in the documents of the tenant with this slug."""

    slug: str
    text: str


ENQUIRIES = (
    Enquiry(
        "sandbox-demo",
        "A paused process resumes after its job was given to another worker. What keeps it from writing?",
    ),
    Enquiry("team-demo", "怎样让紧急的任务插队，又不会让普通任务永远排不上？"),
    Enquiry("professional-demo", "Why does an HNSW index return nothing for a tiny customer?"),
)
