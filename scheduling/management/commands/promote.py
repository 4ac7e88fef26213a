"""Command that makes this site the active one."""

from __future__ import annotations

from argparse import ArgumentParser
from typing import Any

from scheduling.sites.service import Promotion, plan_promotion, promote
from tenants.management.base import PlatformCommand


class Command(PlatformCommand):
    help = (
        "Make this site the active one: take the next epoch at SITE_WITNESS, so that the old site starts nothing, and "
        "promote the standby of DATABASE_URL. Afterwards set SITE_ROLE to active and start the processes."
    )

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--admin-url",
            default="",
            metavar="URL",
            help="login that may call pg_promote(); without it, promote the database while the command waits",
        )
        parser.add_argument(
            "--old-stopped",
            action="store_true",
            help="do not wait until the old site starts nothing: all of its processes have been stopped",
        )
        parser.add_argument(
            "--emergency",
            default="",
            metavar="REASON",
            help="promote without the approval that a rule asks for, because the old site is lost; for the audit log",
        )
        parser.add_argument("--dry-run", action="store_true", help="say what would be done, and change nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["dry_run"]:
            plan = plan_promotion(is_old_stopped=options["old_stopped"])
            self.show(
                options,
                _facts(plan),
                f"{plan.claim.site} would take the epoch {plan.claim.epoch}, wait {plan.wait_seconds:.0f} s, "
                f"and promote the database. {plan.bound}",
            )
            return
        made = promote(
            admin_url=options["admin_url"],
            is_old_stopped=options["old_stopped"],
            emergency=options["emergency"],
            note=self._note,
        )
        text = f"{made.claim.site} is active with the epoch {made.claim.epoch}. {made.bound}"
        cure = " Set SITE_ROLE to active, start the processes, and run compare_sites once the old database can be read."
        self.show(options, _facts(made), text + cure)

    def _note(self, text: str) -> None:
        self.stderr.write(text)


def _facts(promotion: Promotion) -> dict[str, Any]:
    return {
        "site": promotion.claim.site,
        "epoch": promotion.claim.epoch,
        "wait_seconds": promotion.wait_seconds,
        "lost_after": promotion.replication.replayed_at,
        "lag_seconds": promotion.replication.lag_seconds,
    }
