"""Serializers of uploaded files, and of links to them."""

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
    """Request body of an upload: files as `multipart/form-data`."""

    files = serializers.ListField(child=serializers.FileField(), help_text="Of any type; at most 50 MiB each.")


class FileUploadAnswerSerializer(serializers.Serializer[Any]):
    """The stored files, in the order in which they were sent."""

    files = FileSerializer(many=True)


class LinkRequestSerializer(StrictSerializer):
    """Request body: for how many seconds a link is valid."""

    seconds = WholeNumberField(min_value=MIN_SECONDS, max_value=MAX_SECONDS, default=DEFAULT_SECONDS)


class LinkSerializer(serializers.Serializer[Any]):
    """A link to a file. Until it expires, the file can be downloaded with it without an API key."""

    url = serializers.URLField()
    expires_at = serializers.DateTimeField()
