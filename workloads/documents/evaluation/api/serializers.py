"""Serializers of evaluations."""

from __future__ import annotations

from typing import Any

from rest_framework import serializers

from tenants.api.input import NameField, StrictSerializer
from workloads.documents.evaluation.models import MAX_NOTE_LENGTH
from workloads.documents.evaluation.queries import SHOWN_STATUSES
from workloads.documents.search import SearchMode


class NewEvaluationSerializer(serializers.Serializer[Any]):
    """Request body: the questions as a CSV file, as `multipart/form-data`."""

    file = serializers.FileField(
        help_text="CSV with the columns question, document and, if wanted, passage; 1 MiB, 2,000 questions."
    )
    note = NameField(max_length=MAX_NOTE_LENGTH, required=False, default="")


class MetricsSerializer(serializers.Serializer[Any]):
    """Metrics of the rank of the first answer, over all questions."""

    recall_1 = serializers.FloatField()
    recall_5 = serializers.FloatField()
    recall_10 = serializers.FloatField()
    mrr = serializers.FloatField(help_text="Mean of 1 / rank; 0 beyond ten results.")
    ndcg_10 = serializers.FloatField()


class VariantSerializer(serializers.Serializer[Any]):
    """A mode of search, and in the mode hybrid the weight of words."""

    mode = serializers.ChoiceField(choices=list(SearchMode))
    text_weight = serializers.FloatField(allow_null=True, help_text="Null in the mode hybrid: the automatic weight.")
    is_reranked = serializers.BooleanField(default=False, help_text="Whether results were re-ranked.")


class ResultSerializer(VariantSerializer, MetricsSerializer):
    """The metrics of one mode and weight."""


class EvaluationSettingsSerializer(serializers.Serializer[Any]):
    """The settings and size of a dataset when the evaluation was started."""

    # Absent from evaluations that are older than these settings.
    chunking = serializers.CharField(required=False)
    size_unit = serializers.CharField(required=False)
    parent_size = serializers.IntegerField(required=False)
    chunk_size = serializers.IntegerField()
    chunk_overlap = serializers.IntegerField()
    embedding_model = serializers.CharField()
    text_weight = serializers.FloatField(allow_null=True)
    min_score = serializers.FloatField(allow_null=True)
    is_reranked = serializers.BooleanField(default=False)
    reranker = serializers.CharField(default="", help_text="Model of the re-ranking endpoint; empty: there was none.")
    documents = serializers.IntegerField()
    chunks = serializers.IntegerField()


class EvaluationSerializer(serializers.Serializer[Any]):
    """An evaluation with its progress and results."""

    id = serializers.UUIDField()
    dataset = serializers.UUIDField(source="dataset_id")
    note = serializers.CharField()
    status = serializers.ChoiceField(choices=SHOWN_STATUSES, source="shown_status")
    settings = EvaluationSettingsSerializer()
    questions_total = serializers.IntegerField()
    questions_done = serializers.IntegerField()
    results = ResultSerializer(many=True, help_text="Empty until all questions are done. The dataset's mode is first.")
    error_code = serializers.CharField(source="job_error_type", allow_null=True)
    error_message = serializers.CharField(source="job_error_message", allow_null=True)
    job = serializers.UUIDField(source="job_id")
    created_at = serializers.DateTimeField()
    completed_at = serializers.DateTimeField(allow_null=True)


class ComparedResultSerializer(VariantSerializer):
    """The metrics of both evaluations for one mode and weight."""

    before = MetricsSerializer()
    after = MetricsSerializer()
    difference = MetricsSerializer()


class ComparedSettingSerializer(serializers.Serializer[Any]):
    """A setting, or the size of the dataset, that differs."""

    name = serializers.CharField()
    before = serializers.JSONField()
    after = serializers.JSONField()


class ComparedQuestionSerializer(serializers.Serializer[Any]):
    """A question whose answer has another rank; 0 is not among ten results."""

    question = serializers.CharField()
    before = serializers.IntegerField()
    after = serializers.IntegerField()


class ComparisonSerializer(serializers.Serializer[Any]):
    """What differs between two evaluations of a dataset."""

    before = serializers.UUIDField()
    after = serializers.UUIDField()
    settings = ComparedSettingSerializer(many=True)
    results = ComparedResultSerializer(many=True)
    questions = ComparedQuestionSerializer(many=True, help_text="At most 100, the greatest losses first.")


class ComparisonQuerySerializer(StrictSerializer):
    """Query of a comparison."""

    before = serializers.UUIDField(help_text="The evaluation to compare with, of the same dataset.")
