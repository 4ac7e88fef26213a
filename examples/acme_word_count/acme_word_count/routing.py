"""A routing strategy: where the texts of a job are counted, by their length."""

from collections.abc import Sequence

from scheduling.kit.routing import CandidateQueue, Choice, RoutedJob

LONG = 10_000


def by_length(job: RoutedJob, pools: Sequence[CandidateQueue]) -> Choice:
    characters = sum(len(text) for text in job.payload.get("texts", ()))
    if characters > LONG:
        largest = max(pools, key=lambda pool: pool.live_slots)
        return Choice(largest.queue, f"{characters} characters: the pool with the most slots")
    first = min(pools, key=lambda pool: pool.waiting_seconds / max(1, pool.live_slots))
    return Choice(first.queue, "a short text: the pool that is free first")
