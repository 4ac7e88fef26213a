"""Kinds of job as whoever submits them reads about them."""

from __future__ import annotations

from rest_framework import serializers

from scheduling.services.job_kinds import JobKind


class JobKindSerializer(serializers.Serializer[JobKind]):
    """A kind of job: what it does, takes and needs."""

    kind = serializers.CharField(help_text="What `jobs/` takes as `kind`.")
    title = serializers.CharField()
    description = serializers.CharField()
    payload_schema = serializers.JSONField(help_text="JSON Schema 2020-12; a payload that does not fit is refused.")
    timeout_seconds = serializers.FloatField(help_text="Of one execution.")
    max_retries = serializers.IntegerField(help_text="At most; the plan may allow fewer.")
    retry_delays_seconds = serializers.ListField(child=serializers.FloatField())
    # A string and no enumeration in the schema: other resources have fields of this name with choices of their own.
    memory_class = serializers.CharField(help_text="`small`, `medium` or `large`: 256, 512 or 1,024 MiB.")
    settings = serializers.ListField(child=serializers.CharField(), help_text="The tenant's settings that it reads.")
    dependencies = serializers.ListField(child=serializers.CharField(), help_text="What each of its jobs needs.")
    queues = serializers.ListField(
        child=serializers.CharField(),
        help_text="Where a job with an empty payload may go by now.",
    )
    is_internal = serializers.BooleanField(
        help_text="Whether the platform alone submits its jobs; `jobs/` refuses the kind."
    )
    package = serializers.CharField(help_text="The package that brings it; empty: the platform itself.")
    package_version = serializers.CharField()
