"""Serializers of documents and uploads."""

from __future__ import annotations

from typing import Any

from django.utils.translation import gettext
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer, TextField
from tenants.api.strict_json import parse_json
from tenants.exceptions import JsonInvalidError
from workloads.documents.extraction.sniffing import ACCEPTED, ContentType
from workloads.documents.indexing.dataset_operations import MAX_NAMED, OPERATIONS
from workloads.documents.indexing.queries import SHOWN_STATUSES
from workloads.documents.models import MAX_ENCODING_LENGTH, MAX_URL_LENGTH
from workloads.files.incoming import MAX_NAME_LENGTH

MAX_TEXT_LENGTH = 500_000
# More than all values of all fields of a dataset take.
MAX_METADATA_LENGTH = 300_000
DISCARD_EDITS = "Lose the changes of its chunks by hand. Without it they are refused: 409 `edits_would_be_lost`."
TEXT_FORMATS = {"text": ContentType.TEXT, "markdown": ContentType.MARKDOWN}


class PhasesSerializer(serializers.Serializer[Any]):
    """The times at which the document entered each phase; null for phases that it has not reached."""

    waiting = serializers.DateTimeField(source="created_at")
    parsing = serializers.DateTimeField(source="parsing_at", allow_null=True)
    cleaning = serializers.DateTimeField(source="cleaning_at", allow_null=True)
    splitting = serializers.DateTimeField(source="splitting_at", allow_null=True)
    indexing = serializers.DateTimeField(source="indexing_at", allow_null=True)
    completed = serializers.DateTimeField(source="completed_at", allow_null=True)
    error = serializers.DateTimeField(source="error_at", allow_null=True)


class DocumentErrorSerializer(serializers.Serializer[Any]):
    """Why a document could not be indexed, or why its last attempt failed."""

    code = serializers.CharField()
    message = serializers.CharField()


class DocumentSerializer(serializers.Serializer[Any]):
    """A document and the progress of its indexing."""

    id = serializers.UUIDField()
    dataset = serializers.UUIDField(source="dataset_id")
    name = serializers.CharField()
    content_type = serializers.CharField()
    size_bytes = serializers.IntegerField()
    sha256 = serializers.CharField()
    status = serializers.ChoiceField(choices=SHOWN_STATUSES, source="shown_status")
    is_enabled = serializers.BooleanField(help_text="Whether searches find it.")
    phases = PhasesSerializer(source="*")
    source_url = serializers.CharField(help_text="The URL that it is fetched from; empty for files and texts.")
    chunks_done = serializers.IntegerField()
    chunks_total = serializers.IntegerField(allow_null=True, help_text="Null until the text is split.")
    chunks_serving = serializers.SerializerMethodField(
        help_text="Chunks that serve searches: while it is indexed again, the old ones."
    )
    error = serializers.SerializerMethodField()
    job = serializers.UUIDField(source="job_id")
    batch = serializers.UUIDField(source="batch_id")
    encoding = serializers.CharField(help_text="The encoding that a file of text was read in, given or detected.")
    pages = serializers.IntegerField(allow_null=True, help_text="Null for formats without pages.")
    pages_without_text = serializers.IntegerField(help_text="Pages that searches do not find, such as scans.")
    pages_recognized = serializers.IntegerField(help_text="Pages whose text was recognised in their pictures.")
    warnings = serializers.ListField(
        child=serializers.CharField(), help_text="What may be missing or wrong in the text of a completed document."
    )
    metadata = serializers.DictField(help_text="Values by the metadata fields of the dataset.")
    created_at = serializers.DateTimeField()

    def get_chunks_serving(self, document: Any) -> int:
        return int(document.kept_chunks or document.chunks_done)

    @extend_schema_field(DocumentErrorSerializer(allow_null=True))
    def get_error(self, document: Any) -> dict[str, str] | None:
        if not document.shown_error_code:
            return None
        return {"code": document.shown_error_code, "message": document.shown_error_message}


class UploadedDocumentSerializer(DocumentSerializer):
    """One file of an upload, with its document."""

    duplicate_of = serializers.UUIDField(
        allow_null=True,
        help_text="The earlier document with the same content, which is shown here; nothing is indexed twice.",
    )
    chunks_estimated = serializers.IntegerField(
        allow_null=True, help_text="About the number of chunks; null if the size of the file does not show it."
    )


class UploadAnswerSerializer(serializers.Serializer[Any]):
    """The result of an upload, file by file in the order in which they were sent."""

    batch = serializers.UUIDField(allow_null=True, help_text="Null if every file was already in the dataset.")
    documents = UploadedDocumentSerializer(many=True)


class EncodingField(TextField):
    """Serializer field of the encoding of a file of text."""

    def __init__(self, **options: Any) -> None:
        super().__init__(
            required=False,
            allow_blank=True,
            default="",
            max_length=MAX_ENCODING_LENGTH,
            help_text="The encoding of the files of text, such as cp1252; without it, it is detected.",
            **options,
        )


class MetadataField(serializers.DictField):
    """Serializer field of values by the fields that the dataset declares; the service checks them."""

    def __init__(self, **options: Any) -> None:
        super().__init__(help_text="Values by the metadata fields of the dataset.", **options)


class MetadataTextField(TextField):
    """Serializer field of the values as JSON, for bodies that are no JSON."""

    def to_internal_value(self, data: Any) -> Any:
        """Return the parsed values; raise a validation error if they are no JSON."""
        text = super().to_internal_value(data)
        try:
            return parse_json(text.encode()) if text else None
        except JsonInvalidError as error:
            raise serializers.ValidationError(error.detail) from error


class EncodingSerializer(serializers.Serializer[Any]):
    """The part of a request body that names the encoding of files."""

    encoding = EncodingField()


class NewFilesSerializer(EncodingSerializer):
    """The part of an upload beside the files."""

    metadata = MetadataTextField(
        required=False,
        allow_blank=True,
        max_length=MAX_METADATA_LENGTH,
        help_text='Values of each new document, as JSON: `{"year": 2026}`.',
    )


class UploadSerializer(NewFilesSerializer):
    """Request body of an upload: files as `multipart/form-data`."""

    files = serializers.ListField(
        child=serializers.FileField(), help_text=f"Files of these types: {ACCEPTED}. At most 50 MiB each."
    )


class FileBodySerializer(EncodingSerializer):
    """Request body: one file as `multipart/form-data`."""

    file = serializers.FileField(help_text=f"A file of one of these types: {ACCEPTED}. At most 50 MiB.")
    discard_edits = serializers.BooleanField(default=False, help_text=DISCARD_EDITS)


class NewTextSerializer(StrictSerializer):
    """Request body: a text to index as a document."""

    name = NameField(max_length=MAX_NAME_LENGTH)
    text = TextField(max_length=MAX_TEXT_LENGTH)
    format = serializers.ChoiceField(choices=list(TEXT_FORMATS), default="text")
    metadata = MetadataField(required=False)


class NewAddressSerializer(StrictSerializer):
    """Request body: the URL of a page or file to index as a document."""

    url = TextField(max_length=MAX_URL_LENGTH)
    name = NameField(max_length=MAX_NAME_LENGTH, required=False, default="")
    metadata = MetadataField(required=False)


class DocumentChangesSerializer(StrictSerializer):
    """Request body: values of a document's metadata to change, whether searches find it, and the reason.

    Null removes a value.
    """

    metadata = MetadataField(required=False)
    is_enabled = serializers.BooleanField(required=False, help_text="Whether searches find it.")
    reason = TextField(max_length=500, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a body that changes nothing."""
        if attrs.keys() <= {"reason"}:
            raise serializers.ValidationError({"metadata": gettext("Send metadata or is_enabled.")})
        return attrs


class ReindexSerializer(StrictSerializer):
    """Request body that re-indexes a document: whether its URL is fetched again, its encoding, and the reason."""

    refetch = serializers.BooleanField(
        default=False, help_text="First fetch its URL again; for documents that have one."
    )
    encoding = EncodingField()
    discard_edits = serializers.BooleanField(default=False, help_text=DISCARD_EDITS)
    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class ReindexDatasetSerializer(StrictSerializer):
    """Request body that re-indexes a dataset: which of its documents, and the reason."""

    all = serializers.BooleanField(
        default=False, help_text="All documents whose indexing has ended, not only outdated ones."
    )
    discard_edits = serializers.BooleanField(default=False, help_text=DISCARD_EDITS)
    reason = TextField(max_length=500, required=False, allow_blank=True, default="")


class NamedDocumentsSerializer(StrictSerializer):
    """Request body: which documents of a dataset, and the reason."""

    documents = serializers.ListField(
        child=serializers.UUIDField(),
        required=False,
        min_length=1,
        max_length=MAX_NAMED,
        help_text="Documents of the dataset. Without them `all` must be true.",
    )
    all = serializers.BooleanField(default=False, help_text="All documents of the dataset.")
    reason = TextField(max_length=500, required=False, allow_blank=True, default="")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        """Refuse a body that names documents and asks for all, or does neither."""
        if attrs["all"] == ("documents" in attrs):
            raise serializers.ValidationError({"documents": gettext("Name documents, or set all to true.")})
        return attrs


class OperationSerializer(serializers.Serializer[Any]):
    """An operation over a dataset. Its job has the progress, and can be cancelled and retried."""

    operation = serializers.ChoiceField(choices=OPERATIONS)
    job = serializers.UUIDField(source="job_id")
    documents = serializers.IntegerField(help_text="Documents that it was started for.")


class DocumentQuerySerializer(StrictSerializer):
    """Query parameters that filter the list of documents."""

    dataset = serializers.UUIDField(required=False)
    batch = serializers.UUIDField(required=False)
    status = serializers.ChoiceField(choices=SHOWN_STATUSES, required=False)
    is_enabled = serializers.BooleanField(required=False)


class ReasonBodySerializer(StrictSerializer):
    """Request body: an optional reason for an action."""

    reason = TextField(max_length=500, required=False, allow_blank=True, default="")
