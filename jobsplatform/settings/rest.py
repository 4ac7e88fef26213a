"""Settings of the HTTP API: authentication, parsing, paging, problem details, OpenAPI, request limits."""

from typing import Any

from tenants.url_prefixes import API_V1_PREFIX

REST_FRAMEWORK: dict[str, Any] = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "tenants.access.caller.ApiKeyAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PARSER_CLASSES": ["tenants.api.input.StrictJSONParser"],
    "DEFAULT_PAGINATION_CLASS": "tenants.api.pagination.TenantCursorPagination",
    "DEFAULT_FILTER_BACKENDS": ["django_filters.rest_framework.DjangoFilterBackend"],
    "DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema",
    "EXCEPTION_HANDLER": "tenants.api.problems.problem_details",
    "UNAUTHENTICATED_USER": "django.contrib.auth.models.AnonymousUser",
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
    "COERCE_DECIMAL_TO_STRING": False,
}

SPECTACULAR_SETTINGS: dict[str, Any] = {
    "TITLE": "Jobs platform",
    "DESCRIPTION": "Submit, monitor and control the jobs of many tenants on one fair pool of workers.",
    "VERSION": "1.0.0",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SCHEMA_PATH_PREFIX": API_V1_PREFIX.removesuffix("/"),
    "COMPONENT_SPLIT_REQUEST": True,
    "ENUM_GENERATE_CHOICE_DESCRIPTION": False,
    # Enumerations whose fields have the same name; without a name of its own each would get a hash.
    "ENUM_NAME_OVERRIDES": {
        "TenantStatusEnum": "tenants.models.TenantStatus",
        "ApprovalActEnum": "tenants.approvals.acts.act_choices",
        "ApprovalStatusEnum": "tenants.models.ApprovalStatus",
        "OperationEnum": "scheduling.bulk.models.BulkOperation.Operation",
        "DatasetOperationEnum": "workloads.documents.indexing.dataset_operations.OPERATIONS",
        "DocumentStatusEnum": "workloads.documents.indexing.queries.SHOWN_STATUSES",
        "EvaluationStatusEnum": "workloads.documents.evaluation.queries.SHOWN_STATUSES",
        "SourceItemStateEnum": "workloads.documents.sources.models.ItemState",
        "RoleEnum": "tenants.models.Role",
        "KeyScopeEnum": "tenants.access.serializers.KEY_SCOPES",
        "PlatformKeyScopeEnum": "tenants.access.serializers.PLATFORM_KEY_SCOPES",
        "CFSStrategyEnum": "scheduling.plans.models.CFSPlan.Strategy",
        "SeverityEnum": "scheduling.alerts.contact_models.Severity",
        "AlertOutcomeEnum": "scheduling.alerts.models.Alert.Outcome",
        "JobStateEnum": "scheduling.jobs.models.STATE_CHOICES",
        "CheckpointEnum": "scheduling.controls.models.ControlRule.Checkpoint",
        "ControlRuleEnum": "scheduling.controls.models.ControlRule.Rule",
        "ExecutionStateEnum": "scheduling.jobs.history.EXECUTION_STATES",
        "EvidencePackStateEnum": "scheduling.evidence.models.EvidencePack.State",
        "OutboxStateEnum": "scheduling.outbox.models.OutboxMessage.State",
        "CompensationStateEnum": "scheduling.compensation.models.Compensation.State",
        "LoadLevelEnum": "scheduling.load.api.LEVELS",
        "CircuitStateEnum": "scheduling.breakers.models.STATE_CHOICES",
        "ApprovalStateEnum": "workloads.workflows.models.ApprovalState",
        "WorkflowRunStateEnum": "workloads.workflows.records.records.SHOWN_STATES",
        "RecordedStateEnum": "workloads.workflows.records.models.STATE_CHOICES",
    },
    # A link to an operation would be inside the button that opens it.
    "SWAGGER_UI_SETTINGS": {"deepLinking": False},
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
}

# Bytes held in memory per request body; larger uploads go to temporary files. Files have their own limit.
DATA_UPLOAD_MAX_MEMORY_SIZE = 2 * 1024 * 1024
FILE_UPLOAD_MAX_MEMORY_SIZE = 1 * 1024 * 1024
DATA_UPLOAD_MAX_NUMBER_FILES = 200
