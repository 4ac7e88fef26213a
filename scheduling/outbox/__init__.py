"""Outbox: messages of jobs to other systems, stored with the jobs' effects and delivered in order per key."""
