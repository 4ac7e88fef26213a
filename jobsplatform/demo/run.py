"""Course of the demonstration: prepare, submit all documents, wait until all jobs have ended, measure, check."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

from rich.console import Console

from jobsplatform.demo.corpus import DAMAGED, Corpus, read_corpus
from jobsplatform.demo.processes import Platform, running_platform
from jobsplatform.demo.progress import board
from jobsplatform.demo.provision import (
    Administrator,
    Participant,
    create_administrator,
    create_participants,
    migrate_database,
)
from jobsplatform.demo.readings import Counts, read_counts, read_death_reasons, read_runs, read_slots
from jobsplatform.demo.report import Evidence, print_console_address, print_searches, print_table
from jobsplatform.demo.result_checks import find_missing_results
from jobsplatform.demo.scenario import DRAIN_SECONDS, POOL
from jobsplatform.demo.showcase import run_examples
from jobsplatform.demo.stand_in_model import some_model
from jobsplatform.demo.uploads import Shelf, open_shelf, upload_corpus

POLL_SECONDS = 0.5


class NotDrainedError(RuntimeError):
    """Jobs were still unfinished at the deadline."""


def run_demo(console: Console, folder: Path, *, stays_up: bool) -> bool:
    """Run all steps; return whether every good document is found and the damaged one is a dead letter with a reason.

    The log of the processes is written to `folder`. With `stays_up` they run until Ctrl-C.
    """
    corpus = read_corpus()
    console.print("[bold]1[/bold]  Migrating; three tenants on three plans, an administrator", highlight=False)
    migrate_database()
    participants = create_participants()
    administrator = create_administrator()
    console.print("[bold]2[/bold]  Starting web, dispatcher, worker and beat", highlight=False)
    with some_model() as model, running_platform(folder / "platform.log") as platform:
        shelves = [open_shelf(platform.address, each) for each in participants]
        console.print(f"[bold]3[/bold]  {_announce(participants, corpus)}", highlight=False)
        counts = _flood_and_drain(console, platform, shelves, corpus)
        ids = [each.tenant_id for each in participants]
        evidence = Evidence(participants, counts, read_runs(ids), read_slots(POOL))
        console.print("[bold]4[/bold]  Searching each document as its own tenant\n", highlight=False)
        faults = list(_judge(platform.address, shelves, corpus))
        print_table(console, evidence)
        print_searches(console, platform.address, shelves)
        _print_verdict(console, participants, corpus, faults)
        console.print(f"[bold]5[/bold]  Running the example pipelines and workflows; model: {model}\n", highlight=False)
        faults += _show_examples(console, platform.address, shelves[-1], corpus, administrator)
        print_console_address(console, platform.address, administrator)
        if stays_up:
            console.print("\nThe platform keeps running. Press Ctrl-C to stop it.", highlight=False)
            _wait_for_interrupt(platform)
    return not faults


def _announce(participants: Sequence[Participant], corpus: Corpus) -> str:
    parts = [f"{each.slug} {each.role.part} ({each.files_per_upload} files an upload)" for each in participants]
    return f"{len(corpus.documents)} documents for each: " + ", ".join(parts)


def _flood_and_drain(
    console: Console, platform: Platform, shelves: Sequence[Shelf], corpus: Corpus
) -> dict[UUID, Counts]:
    """Upload the documents in a thread, in the order of the scenario, and show the counts until all jobs have ended."""
    ids = [shelf.participant.tenant_id for shelf in shelves]
    participants = [shelf.participant for shelf in shelves]
    expected = len(corpus.documents) * len(shelves)
    with ThreadPoolExecutor(1) as pool, board(console, participants, len(corpus.documents)) as shown:
        uploads = pool.submit(_upload_in_order, platform.address, shelves, corpus.documents)
        deadline = time.monotonic() + DRAIN_SECONDS
        while True:
            platform.require_alive()
            _raise_failure(uploads)
            counts = read_counts(ids)
            shown.show(counts)
            if uploads.done() and sum(count.ended for count in counts.values()) == expected:
                return counts
            if time.monotonic() > deadline:
                raise NotDrainedError(f"Not all jobs ended within {DRAIN_SECONDS:.0f} s.\n{platform.log_tail()}")
            time.sleep(POLL_SECONDS)


def _upload_in_order(address: str, shelves: Sequence[Shelf], files: Sequence[Path]) -> None:
    for shelf in shelves:
        for _ in upload_corpus(address, shelf, files):
            pass


def _raise_failure(uploads: Future[None]) -> None:
    if uploads.done():
        uploads.result()


def _judge(address: str, shelves: Iterable[Shelf], corpus: Corpus) -> Iterable[str]:
    shelves = list(shelves)
    deaths = read_death_reasons(shelf.participant.tenant_id for shelf in shelves)
    for shelf in shelves:
        for fault in find_missing_results(address, shelf, corpus, deaths):
            yield f"{shelf.participant.slug}: {fault}"


def _show_examples(
    console: Console, address: str, shelf: Shelf, corpus: Corpus, administrator: Administrator
) -> list[str]:
    """Run the example pipelines and workflows and print their results; return the faults."""
    faults = []
    for shown in run_examples(address, shelf, corpus, administrator):
        style = "green" if shown.is_good else "bold red"
        console.print(f"  {shown.summary}", style=style, highlight=False, markup=False, soft_wrap=True)
        if not shown.is_good:
            faults.append(f"{shelf.participant.slug}: {shown.summary}")
    console.print()
    return faults


def _print_verdict(
    console: Console, participants: Sequence[Participant], corpus: Corpus, faults: Sequence[str]
) -> None:
    if faults:
        console.print("[bold red]The demonstration failed:[/bold red]")
        for fault in faults:
            console.print(f"  {fault}", highlight=False, markup=False)
        return
    ids = [each.tenant_id for each in participants]
    reasons = sorted(set(read_death_reasons(ids).values()))
    good = len(corpus.good) * len(participants)
    console.print(f"[bold green]All {good} good documents are searchable.[/bold green]", highlight=False)
    console.print(f"{DAMAGED} is a dead letter: {' / '.join(reasons)}\n", highlight=False, markup=False)


def _wait_for_interrupt(platform: Platform) -> None:
    try:
        platform.wait()
        platform.require_alive()
    except KeyboardInterrupt:
        return
