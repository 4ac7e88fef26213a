"""Serializers of uploaded files and their links."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.api.input import StrictSerializer, WholeNumberField
from workloads.files.links import DEFAULT_SECONDS, MAX_SECONDS, MIN_SECONDS


class FileSerializer(serializers.Serializer[Any]):
    """An uploaded file."""

    id = serializers.UUIDField()
    name = serializers.CharField()
    content_type = serializers.CharField(help_text="Derived from the name only.")
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    created_at = serializers.DateTimeField()


class FileUploadSerializer(serializers.Serializer[Any]):
    """Files as `multipart/form-data`."""

    files = serializers.ListField(child=serializers.FileField(), help_text="Of any type; at most 50 MiB each.")


class FileUploadAnswerSerializer(serializers.Serializer[Any]):
    """The stored files, in the order sent."""

    files = FileSerializer(many=True)


class LinkRequestSerializer(StrictSerializer):
    """How long a link is valid."""

    seconds = WholeNumberField(min_value=MIN_SECONDS, max_value=MAX_SECONDS, default=DEFAULT_SECONDS)


class LinkSerializer(serializers.Serializer[Any]):
    """A link to a file. It allows a download without a key until it expires."""

    url = serializers.URLField()
    expires_at = serializers.DateTimeField()
