"""Templates of compliance reports: controls of three standards, and the sections that show each at work.

Titles are summaries, not the standards' texts. A control without sections is outside the platform; its note says what
the reader adds. docs/compliance.md maps each control to code and tests.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from django.utils.translation import gettext_noop


@dataclass(frozen=True, slots=True)
class Control:
    """A control: its number in the standard, a summary, the sections that show it, and what the pack does not show."""

    id: str
    title: str
    sections: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True, slots=True)
class Template:
    """The controls of one standard."""

    name: str
    title: str
    controls: tuple[Control, ...]


_OUTSIDE: Final = "Outside the platform: state it beside this report."
_SOC2: Final = Template(
    "soc2",
    gettext_noop("SOC 2, common criteria CC6 and CC7"),
    (
        Control("CC6.1", "Access is protected by identities, rights and keys", ("rights", "sessions", "key_rotations")),
        Control("CC6.2", "Accounts are registered and approved before access", ("access_changes",)),
        Control(
            "CC6.3", "Rights follow roles and are changed and removed", ("rights", "access_changes", "access_reviews")
        ),
        Control("CC6.4", "Physical access is restricted", note=_OUTSIDE),
        Control(
            "CC6.5",
            "Data are removed before media leave protection",
            ("deletions", "erasures", "retention"),
            "Media: state.",
        ),
        Control("CC6.6", "Access from outside is restricted", ("sessions",), "Networks and firewalls: state."),
        Control(
            "CC6.7",
            "Movement of data is restricted",
            ("reveals", "failed_controls"),
            "Transport is TLS by configuration.",
        ),
        Control("CC6.8", "Unwanted software is prevented", ("plan_and_route_changes",), "Software of hosts: state."),
        Control("CC7.1", "Changes of configuration are detected", ("plan_and_route_changes", "privileged_acts")),
        Control("CC7.2", "Anomalies are monitored", ("failures", "sessions")),
        Control(
            "CC7.3", "Security events are evaluated", ("failures", "failed_controls"), "The evaluation itself: state."
        ),
        Control("CC7.4", "Incidents are answered", ("failures", "privileged_acts"), "The response plan: state."),
        Control("CC7.5", "The platform recovers from incidents", ("backups",)),
    ),
)
_ISO: Final = Template(
    "iso27001",
    gettext_noop("ISO/IEC 27001:2022, Annex A, controls of the platform"),
    (
        Control("A.5.15", "Access control", ("rights", "access_changes")),
        Control("A.5.16", "Identities from their creation to their end", ("access_changes",)),
        Control("A.5.17", "Secrets of authentication", ("access_changes", "key_rotations")),
        Control("A.5.18", "Rights are granted, reviewed and removed", ("rights", "access_changes", "access_reviews")),
        Control("A.5.28", "Evidence is collected and preserved", ("chains",)),
        Control("A.5.33", "Records are protected", ("chains", "retention")),
        Control("A.8.2", "Privileged access", ("rights", "privileged_acts")),
        Control("A.8.3", "Access to information is restricted", ("rights", "reveals")),
        Control("A.8.5", "Secure authentication", ("sessions",)),
        Control("A.8.10", "Information is deleted", ("deletions", "erasures", "retention")),
        Control("A.8.11", "Values are masked", ("reveals",)),
        Control("A.8.12", "Data leaks are prevented", ("failed_controls",)),
        Control("A.8.13", "Backups", ("backups",)),
        Control("A.8.15", "Logging", ("chains",)),
        Control("A.8.16", "Monitoring", ("failures",)),
        Control("A.8.24", "Cryptography", ("key_rotations",)),
        Control("A.8.32", "Changes are controlled", ("plan_and_route_changes", "privileged_acts")),
    ),
)
_GDPR: Final = Template(
    "gdpr",
    gettext_noop("GDPR, record of processing (article 30)"),
    (
        Control("30(1)(a)", "Controller, representative and officer", note=_OUTSIDE),
        Control("30(1)(b)", "Purposes of the processing", note=_OUTSIDE),
        Control("30(1)(c)", "Categories of people and of data", note=_OUTSIDE),
        Control("30(1)(d)", "Recipients of data", ("rights", "reveals"), "Recipients outside the platform: state."),
        Control("30(1)(e)", "Transfers to other countries", ("plan_and_route_changes",), "Countries: state."),
        Control(
            "30(1)(f)", "Time limits of erasure", ("deletions", "retention", "erasures"), "The limits are in the plans."
        ),
        Control("30(1)(g)", "Security measures", ("rights", "key_rotations", "backups", "failures", "failed_controls")),
    ),
)
_DELETION: Final = Template(
    "deletion",
    gettext_noop("Deletion report"),
    (
        Control("D.1", "Data are deleted when their retention ends", ("deletions", "retention")),
        Control("D.2", "Data of a tenant are erased on request", ("deletions", "erasures"), "Requests outside: state."),
        Control("D.3", "What was deleted is proven by the audit log", ("chains",)),
    ),
)
TEMPLATES: Final = {template.name: template for template in (_SOC2, _ISO, _GDPR, _DELETION)}
