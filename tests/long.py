"""Tests that take long: they start many processes, kill them, or search a large space. One of the shares runs them.

A name is here if its test took more than a second of computing on a machine with two slow cores. They are marked `slow`, so
`python3 .ci/test.py` leaves them out unless it is told their file, and `--all` or `-m slow` runs them. Rules of the suites are
not among them: their shares are chosen by backend and face.
"""

from __future__ import annotations

LONG: dict[str, list[str]] = {
    "backends/test_command_outcomes.py": [
        "test_each_outcome_is_told_once_whoever_is_killed",
    ],
    "backends/test_contended_commands.py": [
        "test_each_command_of_several_processes_counts",
    ],
    "backends/test_flow_killed.py": [
        "test_each_step_counts_once_whoever_is_killed",
    ],
    "backends/test_many_alternatives.py": [
        "test_no_number_of_values_is_too_large",
    ],
    "backends/test_mongo_documents.py": [
        "test_json_comes_back_as_the_same_text",
    ],
    "backends/test_mongo_faults.py": [
        "test_no_primary_for_longer_than_anybody_waits",
        "test_nothing_acknowledged_is_lost_and_nothing_is_doubled",
        "test_whoever_may_do_little",
        "test_wrong_arguments",
    ],
    "backends/test_mongo_queries.py": [
        "test_a_filter_means_what_matches_says",
    ],
    "backends/test_postgres_crash.py": [
        "test_a_server_that_stays_away",
        "test_no_connection_is_left",
        "test_the_server_is_killed_under_load",
    ],
    "backends/test_postgres_opening.py": [
        "test_twenty_processes_at_once",
    ],
    "backends/test_postgres_standby.py": [
        "test_a_standby_is_read_and_takes_over",
    ],
    "backends/test_postgres_tailing.py": [
        "test_no_reader_skips_or_repeats",
    ],
    "backends/test_sqlite_closing.py": [
        "test_a_forgotten_handle_leaves_no_descriptors",
        "test_closing_does_not_wait_for_a_lock",
        "test_the_interpreter_ends_with_open_handles",
    ],
    "backends/test_sqlite_crash.py": [
        "test_a_file_whose_writers_were_killed",
    ],
    "backends/test_sqlite_damage.py": [
        "test_damaged_pages",
    ],
    "backends/test_sqlite_files.py": [
        "test_two_processes_are_not_given_one_position",
    ],
    "backends/test_sqlite_fork.py": [
        "test_a_forked_child_cannot_harm_its_parent",
    ],
    "backends/test_sqlite_full_disk.py": [
        "test_no_room_for_one_of_a_group",
    ],
    "backends/test_sqlite_interrupts.py": [
        "test_an_interrupt_at_every_moment",
    ],
    "backends/test_sqlite_locks.py": [
        "test_an_interrupted_leader",
        "test_ctrl_c_is_heard_while_sqlite_waits",
    ],
    "backends/test_sqlite_log.py": [
        "test_fifty_megabytes_in_one_event",
        "test_the_log_stays_bounded",
    ],
    "backends/test_sqlite_log_of_another.py": [
        "test_a_busy_store_is_opened",
        "test_a_file_that_was_copied_beside_an_old_log_is_refused",
    ],
    "backends/test_sqlite_migrations.py": [
        "test_processes_open_a_new_file_at_once",
    ],
    "backends/test_sqlite_opening.py": [
        "test_a_read_only_file_and_folder_can_be_read",
        "test_a_read_only_file_cannot_be_opened_for_writing",
        "test_a_reader_of_another_user_sees_a_live_store",
        "test_what_a_killed_writer_left_can_be_read",
    ],
    "backends/test_sqlite_plans.py": [
        "test_paging_through_a_log_is_not_quadratic",
        "test_the_cost_of_alternatives_grows_with_their_number_not_with_the_log",
    ],
    "backends/test_sqlite_power.py": [
        "test_not_syncing_what_is_acknowledged_is_caught",
    ],
    "backends/test_sqlite_processes.py": [
        "test_follow_wakes_across_processes",
        "test_writers_take_turns",
    ],
    "backends/test_sqlite_rights.py": [
        "test_users_of_a_shared_folder_write_in_turn",
    ],
    "bus/test_nats_commands.py": [
        "test_the_only_service_dies_while_it_handles_a_command",
        "test_the_outcome_of_a_queued_command_is_told_once_where_it_was_accepted",
    ],
    "bus/test_nats_faults.py": [
        "test_a_member_of_a_group_is_killed",
    ],
    "bus/test_nats_lost.py": [
        "test_a_group_misses_nothing",
        "test_a_group_of_one_keeps_order_when_an_event_is_lost_on_its_way",
        "test_a_subscription_without_a_group_misses_nothing",
    ],
    "bus/test_nats_queue_lost.py": [
        "test_a_worker_records_outcomes_and_sends_what_is_lost",
        "test_who_waits_for_the_outcome_sends_what_is_lost_once_more",
    ],
    "bus/test_operator_faults_nats.py": [
        "test_a_right_is_missing",
        "test_the_disk_of_the_broker_is_full",
        "test_the_password_is_rotated",
        "test_the_queue_of_commands_is_deleted",
    ],
    "cli/test_backup.py": [
        "test_ended_at_any_moment",
        "test_no_room",
        "test_what_is_refused",
    ],
    "cli/test_changing.py": [
        "test_a_change_is_announced_done_and_kept",
    ],
    "cli/test_export.py": [
        "test_an_interrupted_export",
        "test_an_unfinished_import_is_told_and_resumed",
        "test_killed_exports_and_imports",
        "test_parts_of_a_log",
    ],
    "cli/test_page.py": [
        "test_the_examples_run_and_print_what_the_page_says",
    ],
    "cli/test_reading.py": [
        "test_a_reading_command_changes_no_byte",
    ],
    "cli/test_verify.py": [
        "test_a_receipt_is_kept_and_checked",
    ],
    "cli/test_workflows.py": [
        "test_a_change_is_announced_done_and_kept",
    ],
    "codec/test_codec_properties.py": [
        "test_both_json_codecs_refuse_the_same_payloads",
        "test_both_json_codecs_refuse_the_same_values",
    ],
    "commands/test_accepted.py": [
        "test_a_damaged_one_does_not_stop_the_others",
        "test_killed_while_they_are_under_way_each_has_one_effect",
    ],
    "commands/test_duplicates.py": [
        "test_by_another_process",
        "test_by_threads_of_two_handles",
        "test_without_transactions",
    ],
    "conformance/test_command_line.py": [
        "test_a_backend_that_breaks_a_rule",
        "test_a_backend_that_cannot_be_reached",
        "test_a_backend_that_keeps_the_rules",
        "test_a_storage_for_each_test_where_the_backend_says_so",
        "test_a_storage_for_each_test_where_the_url_says_so",
        "test_configuration_for_pytest_that_lies_around_is_not_used",
        "test_every_rule_can_be_shown",
        "test_faces_are_chosen",
        "test_reports_are_written_and_say_the_same_each_time",
        "test_suites_are_chosen",
        "test_what_cannot_be_done_is_one_line",
        "test_what_the_url_names_is_not_touched",
        "test_whole_tracebacks_do_not_show_the_password_either",
        "test_without_hypothesis_one_suite_is_not_run_and_the_exit_code_says_so",
    ],
    "conformance/test_contract.py": [
        "test_a_failure_shows_the_rule_and_both_sides",
        "test_a_rule_that_hangs_fails_and_says_where",
        "test_a_rule_that_hangs_in_an_event_loop_closes_what_it_has_opened",
        "test_another_process_finds_the_hook_in_the_file_of_the_test",
    ],
    "conformance/test_matrix.py": [
        "test_a_report_is_about_what_the_backend_says_of_itself_today",
    ],
    "conformance/test_mutants.py": [
        "test_it_is_found_out",
        "test_the_wrapping_alone_does_no_harm",
    ],
    "conformance/test_report.py": [
        "test_a_run_without_rules_has_no_report",
        "test_with_several_test_processes_it_is_the_same",
    ],
    "conformance/test_workflow_mutants.py": [
        "test_it_is_found_out",
    ],
    "examples/test_example_graduate.py": [
        "test_an_application_moves_there_and_back",
    ],
    "lookup/test_any_history.py": [
        "test_any_history_is_a_dict_at_any_time",
    ],
    "operations/test_copy.py": [
        "test_a_killed_copy_goes_on",
    ],
    "operations/test_export.py": [
        "test_memory_does_not_grow_with_the_log",
    ],
    "operations/test_flips.py": [
        "test_some_flips_that_change_an_event_are_found",
    ],
    "operations/test_follow.py": [
        "test_a_follower_that_is_killed_goes_on_where_it_was",
        "test_every_pair_of_backends",
    ],
    "operations/test_import.py": [
        "test_an_interrupted_import_is_unusable_until_it_is_resumed",
    ],
    "operations/test_moving.py": [
        "test_movers_are_killed_under_writers",
    ],
    "operations/test_on_moved.py": [
        "test_a_url_that_is_known_only_later",
        "test_a_whole_program_goes_on",
        "test_leases_go_along",
    ],
    "operations/test_parts.py": [
        "test_an_interrupted_part_goes_on",
    ],
    "operations/test_verify.py": [
        "test_memory_does_not_grow_with_the_log",
    ],
    "processor/test_ends.py": [
        "test_wherever_run_is_cancelled_nothing_is_lost_and_nothing_is_left",
    ],
    "projection/test_projection_sql.py": [
        "test_rows_may_be_a_generator",
    ],
    "projection/test_properties.py": [
        "test_a_processor_inline_and_live_make_what_a_plain_fold_makes",
    ],
    "projection/test_rebuild_beside_others.py": [
        "test_while_the_live_one_and_writers_go_on",
    ],
    "projection/test_under_fire.py": [
        "test_three_workers_of_which_the_active_one_is_killed",
    ],
    "relay/test_killed.py": [
        "test_killed_in_the_middle_of_publishing_it_leaves_nothing_out",
    ],
    "repository/test_queues.py": [
        "test_a_turn_that_takes_too_long_holds_nobody_up",
    ],
    "test_connect.py": [
        "test_a_zip_without_metadata_knows_what_comes_with_goes_lite",
    ],
    "test_demo.py": [
        "test_the_demo_is_plain_ascii_where_the_output_is",
    ],
    "test_example_assistant.py": [
        "test_it_resumes_after_a_kill",
    ],
    "test_example_fulfilment.py": [
        "test_it_survives_crashes_and_stalls",
    ],
    "test_example_git.py": [
        "test_knows_a_file_at_a_date_and_by_any_name",
        "test_runs_from_a_fresh_clone",
        "test_says_what_is_wrong_with_its_input",
        "test_says_when_the_history_is_another_one",
    ],
    "test_example_loan.py": [
        "test_keeps_cases_apart_whose_names_look_like_made_ones",
        "test_keeps_the_complete_cases_of_a_truncated_file",
        "test_refuses_anything_but_xes",
        "test_says_when_the_file_is_missing_or_another_one",
    ],
    "test_example_report.py": [
        "test_resumes_after_being_killed",
    ],
    "test_example_services.py": [
        "test_three_services_of_which_one_is_killed",
    ],
    "test_query.py": [
        "test_a_store_agrees_with_matches",
    ],
    "test_typos.py": [
        "test_mypy_finds_all_of_them",
        "test_pyright_finds_all_of_them",
    ],
    "test_user_functions.py": [
        "test_a_command_worker_goes_on",
    ],
    "testing/test_given_commands.py": [
        "test_fixtures",
    ],
    "testing/test_simulation.py": [
        "test_it_makes_the_same_run_in_another_process",
        "test_what_the_library_promises_holds_for_every_seed",
    ],
    "workflow/test_flow.py": [
        "test_every_input_may_come_in_a_process_of_its_own",
    ],
    "workflow/test_under_fire.py": [
        "test_two_processes_of_which_one_is_killed_again_and_again",
    ],
}
"""The names of the tests by the file, below `tests`, where they are."""


def is_long(file: str, name: str) -> bool:
    """Whether a test takes long; `name` as in its node id, without what is in brackets."""
    return name in LONG.get(file, ())
