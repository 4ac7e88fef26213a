"""Command that lists requests of approval, asks for one, and decides."""

from __future__ import annotations

import json
from typing import Any
from uuid import UUID

from django.core.management.base import CommandError, CommandParser

from tenants.api.strict_json import parse_json
from tenants.approvals.acts import acts
from tenants.approvals.exceptions import ApprovalRequiredError
from tenants.approvals.service import approve, reject, require_approval
from tenants.context import all_tenants
from tenants.exceptions import JsonInvalidError
from tenants.management.base import PlatformCommand
from tenants.models import ApprovalRequest, ApprovalStatus

_FIELDS = ("pk", "act", "status", "preview", "requested_by", "expires_at", "decided_by")


class Command(PlatformCommand):
    help = (
        "List the requests of acts that need a second person, ask for one, approve or reject one. The decision is "
        "that of the shell's user, who must not be the one who asked."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("step", choices=("list", "request", "approve", "reject"), help="what to do")
        parser.add_argument("subject", nargs="?", default="", help="id of the request, or the act to ask for")
        parser.add_argument("arguments", nargs="?", default="{}", help="arguments of the act to ask for, as JSON")
        parser.add_argument("--reason", default="", help="the reason, for the audit log; a rejection needs one")
        parser.add_argument("--all", action="store_true", help="list the decided ones, too (at most 200)")
        parser.add_argument("--dry-run", action="store_true", help="print the request; decide nothing")

    def handle(self, *args: Any, **options: Any) -> None:
        if options["step"] == "request":
            self._ask(options)
            return
        with all_tenants():
            rows = self._rows(options)
            if options["step"] != "list" and not options["dry_run"]:
                decide = approve if options["step"] == "approve" else reject
                rows = [decide(request_id=row.pk, reason=options["reason"]) for row in rows]
        facts = [{name: getattr(row, name) for name in _FIELDS} for row in rows]
        self.show(options, facts, "\n".join(" ".join(map(str, line.values())) for line in facts))

    def _rows(self, options: dict[str, Any]) -> list[ApprovalRequest]:
        rows = ApprovalRequest.objects.order_by("-pk")
        if options["step"] == "list":
            return list((rows if options["all"] else rows.filter(status=ApprovalStatus.PENDING))[:200])
        try:
            found = list(rows.filter(pk=UUID(options["subject"])))
        except ValueError as error:
            raise CommandError("Name the id of a request.") from error
        if not found:
            raise CommandError("There is no such request.")
        return found

    def _ask(self, options: dict[str, Any]) -> None:
        name = options["subject"]
        known = sorted(name for name, act in acts().items() if act.is_asked_ahead)
        if name not in known:
            raise CommandError(f"Ask for one of: {', '.join(known)}. The others are asked for by the call itself.")
        try:
            arguments = parse_json(options["arguments"].encode("utf-8", "surrogateescape"))
        except JsonInvalidError as error:
            raise CommandError(error.detail) from error
        if not isinstance(arguments, dict):
            raise CommandError("The arguments must be a JSON object.")
        preview = f"{name} {json.dumps(arguments, ensure_ascii=False)}"
        try:
            with all_tenants():
                require_approval(name, arguments, preview=preview)
                raise CommandError("No second person is needed, or one has approved.")
        except ApprovalRequiredError as asked:
            self.show(options, {"id": asked.errors[0]["detail"], "detail": asked.detail}, asked.detail)
