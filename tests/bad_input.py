"""Lines of docs/reference/bad_input.md, and the tests that cover each."""

from __future__ import annotations

API = "tests/integration/api/test_bad_input.py"
EVERYWHERE = "tests/integration/api/test_hostile_requests.py"
PARSER = "tests/unit/tenants/api/test_parsers.py"
BODIES = "tests/integration/api/test_bodies.py"
ENTRANCE = "tests/unit/jobsplatform/test_bounds.py"
EDGES = "tests/acceptance/test_edges.py"
CONSOLE = "tests/integration/console/test_hostile_input.py"
CRON = "tests/unit/scheduling/schedules/recurrence/test_cron.py"
SCHEDULES = "tests/integration/scheduling/schedules/test_definitions.py"
FORMATS = "tests/unit/workloads/documents/extraction/test_formats.py"
PDF = "tests/unit/workloads/documents/extraction/test_pdf.py"
EXTRACTOR = "tests/unit/workloads/documents/extraction/test_extractor.py"
FILES = "tests/unit/workloads/documents/extraction/test_hostile_files.py"
UPLOADS = "tests/integration/workloads/documents/indexing/test_uploads.py"
TARGETS = "tests/unit/scheduling/kit/http/test_targets.py"
REFUSALS = "tests/unit/scheduling/kit/http/test_refusals.py"
PATTERNS = "tests/security/test_patterns.py"
LOGGING = "tests/unit/jobsplatform/test_logging.py"
ONE_WAY = "tests/architecture/test_outgoing_http.py"

_SUBMISSION = f"{API}::test_malformed_submission_body_is_refused"
_FIELDS = f"{API}::test_field_with_a_disallowed_value_is_named"
_ANY_BODY = f"{EVERYWHERE}::test_body_that_is_not_plain_json_is_refused_at_every_address"
_FORM = f"{CONSOLE}::test_payload_that_cannot_be_stored_is_refused_beside_its_field"
_ENDS = f"{EXTRACTOR}::test_unreadable_file_has_its_error_code"
_BAD_WORD = f"{FORMATS}::test_invalid_docx_raises_its_error"

LINES: dict[str, tuple[str, ...]] = {
    "JSON nested deeper than 32": (_SUBMISSION, _ANY_BODY, _FORM),
    "NUL characters": (
        _SUBMISSION,
        _ANY_BODY,
        _FORM,
        f"{CONSOLE}::test_nul_in_a_reason_is_removed",
        f"{EVERYWHERE}::test_malformed_id_is_not_found_at_any_address",
        "tests/integration/scheduling/worker/test_outcomes.py::test_texts_refused_by_postgresql_are_cleaned",
    ),
    "lone surrogates": (_SUBMISSION, _ANY_BODY, _FORM),
    "keys that stand twice": (_SUBMISSION, _ANY_BODY),
    "integers beyond 64 bits": (_SUBMISSION, _ANY_BODY, _FORM),
    "a charset other than UTF-8": (
        f"{API}::test_body_in_another_charset_is_refused",
        f"{EVERYWHERE}::test_body_in_another_charset_is_refused_at_every_address",
        f"{PARSER}::test_other_charset_is_refused",
    ),
    "a body over the limit": (
        f"{API}::test_body_over_the_limit_is_too_large",
        f"{EVERYWHERE}::test_body_over_the_limit_is_refused_at_every_address",
        f"{BODIES}::test_body_with_a_wrong_length_is_answered",
    ),
    "a body of more than 64 KiB without valid credentials": (
        f"{BODIES}::test_large_body_without_valid_credentials_is_refused_unread",
        f"{ENTRANCE}::test_body_in_chunks_is_cut_off_at_its_limit",
        f"{EDGES}::test_attack_on_availability_is_refused_while_server_answers",
    ),
    "addresses, hosts and headers without end": (
        f"{ENTRANCE}::test_head_that_is_too_long_is_refused_by_both_servers",
        f"{EDGES}::test_attack_on_availability_is_refused_while_server_answers",
    ),
    "many large bodies at once": (
        f"{BODIES}::test_body_beyond_the_body_space_of_the_process_is_refused",
        f"{BODIES}::test_tenant_takes_at_most_half_of_the_body_space",
    ),
    "bodies that are sent slowly": (
        f"{ENTRANCE}::test_body_below_the_least_rate_is_refused",
        "tests/acceptance/test_slow_clients.py::test_slow_clients_are_cut_off",
    ),
    "bidi and zero-width characters in names": (
        _FIELDS,
        f"{EVERYWHERE}::test_name_with_hidden_characters_is_refused_at_every_address",
        f"{CONSOLE}::test_name_with_hidden_characters_is_refused_beside_its_field",
        f"{UPLOADS}::test_invalid_or_hidden_name_is_refused",
        f"{UPLOADS}::test_web_upload_removes_hidden_characters_and_folders_from_names",
    ),
    "ids in Unicode's digits": (
        f"{EVERYWHERE}::test_malformed_id_is_not_found_at_any_address",
        f"{API}::test_invalid_filter_is_refused",
    ),
    "orderings and filters through relations": (
        f"{EVERYWHERE}::test_invalid_query_is_refused_by_every_list",
        f"{CONSOLE}::test_list_filters_on_masked_payloads_are_refused",
        f"{CONSOLE}::test_list_filters_on_hidden_columns_are_refused",
    ),
    "a cron that never comes, such as 30 February": (
        f"{CRON}::test_invalid_or_never_firing_cron_is_refused_with_a_reason",
    ),
    "a cron faster than the tenant's plan": (f"{SCHEDULES}::test_schedule_faster_than_the_plan_allows_is_refused",),
    "a cron of more or fewer than five fields": (
        f"{CRON}::test_invalid_or_never_firing_cron_is_refused_with_a_reason",
    ),
    "zip bombs": (
        _ENDS,
        _BAD_WORD,
        f"{FILES}::test_archive_bomb_is_found_by_its_directory_or_stopped",
        f"{FILES}::test_nested_archive_is_not_decompressed",
        f"{FILES}::test_archive_with_a_large_directory_is_refused_before_the_directory_is_read",
    ),
    "names that lead out of an archive or a folder": (
        f"{FILES}::test_part_with_path_traversal_is_neither_read_nor_written",
        f"{FILES}::test_external_relation_is_not_followed",
        f"{UPLOADS}::test_web_upload_removes_hidden_characters_and_folders_from_names",
    ),
    "PDF bombs, and PDFs without text": (
        f"{EXTRACTOR}::test_pdf_bomb_is_stopped_by_the_memory_limit",
        _ENDS,
    ),
    "PDF pages that are damaged or have too much on them": (
        f"{PDF}::test_damaged_page_is_a_warning",
        f"{PDF}::test_page_beyond_the_limits_is_a_warning",
    ),
    "encrypted files": (_ENDS, f"{FORMATS}::test_invalid_pdf_raises_its_error"),
    "truncated files": (
        _ENDS,
        _BAD_WORD,
        f"{FILES}::test_truncated_file_is_refused",
        "tests/unit/workloads/documents/hostile/test_mails.py::test_mail_that_is_not_well_formed_is_a_warning",
    ),
    "XML entities": (
        _BAD_WORD,
        f"{FILES}::test_entities_are_refused_in_every_part_and_encoding",
        f"{FILES}::test_entities_in_utf7_are_not_resolved",
    ),
    "pictures of a billion pixels": (
        f"{FILES}::test_picture_of_a_billion_pixels_is_not_a_document",
        f"{FILES}::test_huge_picture_in_pdf_is_not_decompressed",
        f"{FILES}::test_huge_picture_in_docx_is_not_decompressed",
    ),
    "formulas in exports": ("tests/integration/tenants/audit/test_interfaces.py::test_csv_cells_are_never_formulas",),
    "URLs that lead inside, in any spelling": (
        f"{TARGETS}::test_ambiguous_url_is_refused",
        f"{REFUSALS}::test_internal_address_is_refused",
        "tests/integration/scheduling/worker/test_http_calls.py::test_internal_address_is_a_dead_letter_with_its_reason",
    ),
    "redirects and name servers that lead inside later": (
        f"{REFUSALS}::test_redirect_to_internal_address_is_refused",
        f"{REFUSALS}::test_redirect_target_is_checked_like_the_first_url",
        f"{REFUSALS}::test_name_is_resolved_once_and_the_checked_address_is_used",
        f"{REFUSALS}::test_name_rebound_to_internal_address_is_refused",
    ),
    "regular expressions": (
        f"{ONE_WAY}::test_regular_expressions_are_constants",
        f"{ONE_WAY}::test_queries_contain_no_regular_expression",
        f"{EVERYWHERE}::test_invalid_query_is_refused_by_every_list",
    ),
    "texts that make a pattern of ours slow": (
        f"{PATTERNS}::test_every_pattern_is_in_exactly_one_list",
        f"{PATTERNS}::test_pattern_reads_64_kib_in_linear_time",
        f"{PATTERNS}::test_beginning_of_page_is_read_in_linear_time",
    ),
    "long texts in logs": (
        f"{LOGGING}::test_long_text_is_truncated_before_redaction",
        f"{LOGGING}::test_long_path_is_truncated_in_the_access_log",
    ),
    "documents that exhaust their reader": (
        "tests/unit/workloads/documents/extraction/test_sniffing.py::test_file_type_follows_from_its_content",
        f"{EXTRACTOR}::test_memory_error_of_python_is_reported_as_too_complex",
        f"{EXTRACTOR}::test_file_beyond_the_processor_time_is_stopped",
        f"{EXTRACTOR}::test_file_beyond_the_time_limit_is_stopped",
        f"{EXTRACTOR}::test_file_with_too_much_text_is_stopped",
        f"{EXTRACTOR}::test_process_cannot_write_a_file",
        f"{EXTRACTOR}::test_process_gets_no_secrets_and_ends_with_its_parent",
    ),
}
