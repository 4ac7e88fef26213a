"""Tables with the results of a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from rich.console import Console
from rich.table import Table

from jobsplatform.demo.client import SearchResult, TenantClient
from jobsplatform.demo.measures import (
    Run,
    Window,
    backlogged_window,
    fifo_waits_by_tenant,
    shares_within,
    waits_by_tenant,
)
from jobsplatform.demo.provision import Administrator, Participant
from jobsplatform.demo.readings import Counts
from jobsplatform.demo.scenario import ENQUIRIES
from jobsplatform.demo.uploads import Shelf
from tenants.url_prefixes import API_V1_PREFIX, CONSOLE_PREFIX

ANSWER_CHARACTERS = 160
NUMBER_COLUMNS = (
    "submitted",
    "completed",
    "failed",
    "wait p50 / p95",
    "under FIFO",
    "worker-seconds",
    "share / entitlement",
)


@dataclass(frozen=True, slots=True)
class Evidence:
    """Recorded data of a run, from which the tables are made."""

    participants: Sequence[Participant]
    counts: Mapping[UUID, Counts]
    runs: Sequence[Run]
    slots: int


def print_table(console: Console, evidence: Evidence) -> None:
    """Print a table with a row for each tenant, and below it the meaning of the columns."""
    window = backlogged_window(evidence.runs)
    table = Table(title="Results by tenant", title_justify="left", title_style="bold")
    table.add_column("tenant (weight)")
    for heading in NUMBER_COLUMNS:
        table.add_column(heading, justify="right")
    for row in _rows(evidence, window):
        table.add_row(*row)
    console.print(table)
    console.print(_legend(evidence, window), highlight=False, soft_wrap=True)


def _rows(evidence: Evidence, window: Window | None) -> list[list[str]]:
    waits, fifo = waits_by_tenant(evidence.runs), fifo_waits_by_tenant(evidence.runs, slots=evidence.slots)
    claims = {each.tenant_id: each.claim for each in evidence.participants}
    shares = shares_within(window, evidence.runs, claims, slots=evidence.slots) if window else {}
    rows = []
    for each in evidence.participants:
        count, own, simulated = evidence.counts[each.tenant_id], waits[each.tenant_id], fifo[each.tenant_id]
        used = sum(run.cost_us for run in evidence.runs if run.tenant_id == each.tenant_id)
        share = shares.get(each.tenant_id)
        rows.append(
            [
                f"{each.slug} ({each.claim.weight:g})",
                f"{count.submitted}",
                f"{count.completed}",
                f"{count.failed}",
                f"{own.p50_us / 1e6:.1f} / {own.p95_us / 1e6:.1f} s",
                f"{simulated.p50_us / 1e6:.1f} / {simulated.p95_us / 1e6:.1f} s",
                f"{used / 1e6:.1f}",
                f"{share.received:.1%} / {share.entitled:.1%}" if share else "–",
            ]
        )
    return rows


def _legend(evidence: Evidence, window: Window | None) -> str:
    slots = f"{evidence.slots} slots"
    shares = (
        f"share of the worker time in the {window.seconds:.1f} s in which all three had jobs waiting, and the "
        "share that weights and caps entitle to."
        if window
        else "the three tenants were backlogged together too briefly to compare."
    )
    return (
        f"wait: from submission to start, on {slots}.\nunder FIFO: simulated: the same arrivals in one queue, "
        f"each holding its slot for as long as it did.\nshare / entitlement: {shares}"
    )


def print_searches(console: Console, address: str, shelves: Sequence[Shelf]) -> None:
    """Print three questions with their best results; each is searched in the documents of another tenant."""
    console.print("\n[bold]Three searches[/bold]")
    by_role = {shelf.participant.role.slug: shelf for shelf in shelves}
    for enquiry in ENQUIRIES:
        shelf = by_role[enquiry.slug]
        with TenantClient(address, shelf.participant.token) as client:
            hits = client.search(shelf.dataset_id, enquiry.text, top_k=1)
        console.print(
            f"  {shelf.participant.slug} searches: {enquiry.text}", highlight=False, markup=False, soft_wrap=True
        )
        for hit in hits:
            answer = f"    → {hit.document}{_place(hit)}: {_shorten(hit)}\n"
            console.print(answer, highlight=False, markup=False, soft_wrap=True)


def _place(hit: SearchResult) -> str:
    """Return page and heading of a search result, if its document has them."""
    parts = [f"page {hit.location['page']}"] if "page" in hit.location else []
    parts += list(hit.location.get("heading", ()))[-1:]
    return f" ({', '.join(parts)})" if parts else ""


def _shorten(hit: SearchResult) -> str:
    """Return the beginning of the passage in one line, without the heading that `_place` returns."""
    text = re.sub(r"\s+", " ", hit.text).strip()
    for heading in hit.location.get("heading", ()):
        text = text.removeprefix(heading).lstrip()
    return text if len(text) <= ANSWER_CHARACTERS else text[:ANSWER_CHARACTERS].rstrip() + " …"


def print_console_address(console: Console, address: str, administrator: Administrator) -> None:
    """Print the URLs of console and API, and the administrator's account."""
    login = f"user {administrator.username}   password {administrator.password}"
    console.print(f"[bold]Console[/bold]  {address}{CONSOLE_PREFIX}   {login}", highlight=False)
    console.print(f"[bold]API[/bold]      {address}{API_V1_PREFIX}docs/", highlight=False)
