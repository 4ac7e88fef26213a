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
EXTRACTOR = "tests/unit/workloads/documents/extraction/test_extractor.py"
FILES = "tests/unit/workloads/documents/extraction/test_hostile_files.py"
UPLOADS = "tests/integration/workloads/documents/indexing/test_uploads.py"
TARGETS = "tests/unit/scheduling/kit/http/test_targets.py"
REFUSALS = "tests/unit/scheduling/kit/http/test_refusals.py"
PATTERNS = "tests/security/test_patterns.py"
LOGGING = "tests/unit/jobsplatform/test_logging.py"
ONE_WAY = "tests/architecture/test_one_way_out.py"

_SUBMISSION = f"{API}::test_a_body_that_is_no_submission_is_refused"
_FIELDS = f"{API}::test_a_field_with_a_value_that_is_not_allowed_is_named"
_ANY_BODY = f"{EVERYWHERE}::test_a_body_that_is_no_plain_json_is_refused_at_every_address"
_FORM = f"{CONSOLE}::test_a_payload_that_is_no_storable_json_is_refused_beside_its_field"
_ENDS = f"{EXTRACTOR}::test_a_file_that_can_never_be_read_has_its_code"
_BAD_WORD = f"{FORMATS}::test_a_bad_word_document_is_named"

LINES: dict[str, tuple[str, ...]] = {
    "JSON nested deeper than 32": (_SUBMISSION, _ANY_BODY, _FORM),
    "NUL characters": (
        _SUBMISSION,
        _ANY_BODY,
        _FORM,
        f"{CONSOLE}::test_a_reason_with_a_nul_is_kept_without_it",
        f"{EVERYWHERE}::test_an_id_that_is_none_is_not_found_at_any_address",
        "tests/integration/scheduling/worker/test_outcomes.py::test_texts_that_postgresql_refuses_are_cleaned",
    ),
    "lone surrogates": (_SUBMISSION, _ANY_BODY, _FORM),
    "keys that stand twice": (_SUBMISSION, _ANY_BODY),
    "integers beyond 64 bits": (_SUBMISSION, _ANY_BODY, _FORM),
    "a charset other than UTF-8": (
        f"{API}::test_a_body_in_another_charset_is_refused",
        f"{EVERYWHERE}::test_a_body_in_another_charset_is_refused_at_every_address",
        f"{PARSER}::test_another_charset_is_refused",
    ),
    "a body over the limit": (
        f"{API}::test_a_body_over_the_limit_is_too_large",
        f"{EVERYWHERE}::test_a_body_over_the_limit_is_refused_at_every_address",
        f"{BODIES}::test_a_body_of_an_odd_length_is_answered",
    ),
    "a body of more than 64 KiB without valid credentials": (
        f"{BODIES}::test_a_large_body_without_valid_credentials_is_refused_unread",
        f"{ENTRANCE}::test_body_in_chunks_is_cut_off_at_its_limit",
        f"{EDGES}::test_availability_attacks_are_refused_while_the_server_answers",
    ),
    "addresses, hosts and headers without end": (
        f"{ENTRANCE}::test_head_that_is_too_long_is_refused_by_both_servers",
        f"{EDGES}::test_availability_attacks_are_refused_while_the_server_answers",
    ),
    "many large bodies at once": (
        f"{BODIES}::test_body_beyond_the_room_of_the_process_is_refused",
        f"{BODIES}::test_tenant_takes_half_of_the_room_at_most",
    ),
    "bodies that are sent slowly": (
        f"{ENTRANCE}::test_body_below_the_least_rate_is_refused",
        "tests/acceptance/test_slow_clients.py::test_slow_clients_are_cut_off",
    ),
    "bidi and zero-width characters in names": (
        _FIELDS,
        f"{EVERYWHERE}::test_a_name_that_hides_something_is_refused_at_every_address",
        f"{CONSOLE}::test_a_name_that_hides_something_is_refused_beside_its_field",
        f"{UPLOADS}::test_a_name_that_is_none_or_hides_something_is_refused",
        f"{UPLOADS}::test_a_web_upload_loses_what_cannot_be_seen_and_every_folder",
    ),
    "ids in Unicode's digits": (
        f"{EVERYWHERE}::test_an_id_that_is_none_is_not_found_at_any_address",
        f"{API}::test_a_filter_that_is_not_understood_is_refused",
    ),
    "orderings and filters through relations": (
        f"{EVERYWHERE}::test_a_list_refuses_what_it_cannot_be_asked",
        f"{CONSOLE}::test_no_list_tells_by_its_filters_what_a_masked_payload_holds",
        f"{CONSOLE}::test_no_list_tells_by_its_filters_what_no_page_shows",
    ),
    "a cron that never comes, such as 30 February": (
        f"{CRON}::test_what_is_no_cron_or_never_fires_is_refused_in_words",
    ),
    "a cron faster than the tenant's plan": (f"{SCHEDULES}::test_a_schedule_faster_than_the_plan_allows_is_refused",),
    "a cron of more or fewer than five fields": (f"{CRON}::test_what_is_no_cron_or_never_fires_is_refused_in_words",),
    "zip bombs": (
        _ENDS,
        _BAD_WORD,
        f"{FILES}::test_a_bomb_is_told_by_its_directory_or_stopped_by_it",
        f"{FILES}::test_an_archive_of_archives_is_not_unpacked",
        f"{FILES}::test_directory_of_an_archive_is_not_read_if_its_end_record_declares_too_much",
    ),
    "names that lead out of an archive or a folder": (
        f"{FILES}::test_a_part_whose_name_leads_out_is_read_by_nobody_and_written_nowhere",
        f"{FILES}::test_a_relation_that_leads_out_is_not_followed",
        f"{UPLOADS}::test_a_web_upload_loses_what_cannot_be_seen_and_every_folder",
    ),
    "PDF bombs, and PDFs without text": (
        f"{EXTRACTOR}::test_a_pdf_that_unpacks_without_end_is_stopped_by_the_memory_limit",
        _ENDS,
    ),
    "encrypted files": (_ENDS, f"{FORMATS}::test_a_bad_pdf_is_named"),
    "truncated files": (_ENDS, _BAD_WORD, f"{FILES}::test_a_file_cut_anywhere_is_refused_or_whole_never_half"),
    "XML entities": (
        _BAD_WORD,
        f"{FILES}::test_entities_are_refused_in_every_part_and_encoding",
        f"{FILES}::test_entities_in_an_encoding_that_hides_them_are_not_resolved",
    ),
    "pictures of a billion pixels": (
        f"{FILES}::test_a_picture_of_a_billion_pixels_is_no_document",
        f"{FILES}::test_a_picture_of_a_billion_pixels_in_a_pdf_is_not_unpacked",
        f"{FILES}::test_a_picture_of_a_billion_pixels_in_word_is_not_unpacked",
    ),
    "formulas in exports": ("tests/integration/tenants/audit/test_faces.py::test_no_cell_of_a_table_is_a_formula",),
    "URLs that lead inside, in any spelling": (
        f"{TARGETS}::test_a_spelling_that_is_not_plain_is_refused",
        f"{REFUSALS}::test_an_address_inside_is_refused",
        "tests/integration/scheduling/worker/test_http_calls.py::test_what_leads_inside_is_a_dead_letter_that_says_so",
    ),
    "redirects and name servers that lead inside later": (
        f"{REFUSALS}::test_a_redirect_inside_is_refused",
        f"{REFUSALS}::test_a_redirect_is_read_like_the_first_url",
        f"{REFUSALS}::test_a_name_is_looked_up_once_and_what_was_checked_is_connected_to",
        f"{REFUSALS}::test_a_name_that_turns_inside_between_two_requests_is_refused_at_the_second",
    ),
    "regular expressions": (
        f"{ONE_WAY}::test_no_regular_expression_is_made_of_what_somebody_sends",
        f"{ONE_WAY}::test_no_query_takes_a_regular_expression",
        f"{EVERYWHERE}::test_a_list_refuses_what_it_cannot_be_asked",
    ),
    "texts that make a pattern of ours slow": (
        f"{PATTERNS}::test_every_pattern_is_in_one_list",
        f"{PATTERNS}::test_pattern_reads_64_kib_within_its_time",
        f"{PATTERNS}::test_beginning_of_page_is_read_within_its_time",
    ),
    "long texts in logs": (
        f"{LOGGING}::test_a_long_text_is_cut_before_secrets_are_looked_for",
        f"{LOGGING}::test_a_long_path_is_cut_in_the_log_of_requests",
    ),
    "documents that exhaust their reader": (
        "tests/unit/workloads/documents/extraction/test_sniffing.py::test_a_file_is_told_by_its_content",
        f"{EXTRACTOR}::test_python_without_memory_is_too_complex",
        f"{EXTRACTOR}::test_a_file_that_takes_too_much_processor_time_is_stopped",
        f"{EXTRACTOR}::test_a_file_that_takes_too_long_is_stopped",
        f"{EXTRACTOR}::test_a_file_with_too_much_text_is_stopped",
        f"{EXTRACTOR}::test_the_process_never_writes_a_file",
        f"{EXTRACTOR}::test_the_process_gets_no_secrets_and_ends_with_its_parent",
    ),
}
