"""What TensorFlow Serving offers, row by row as `docs/serving.md` words it, and the tests that show what is here.

A row that is added or reworded is entered here, with tests of what it says; a test that is renamed or removed is
exchanged here. At least one test of a row is among those that `make test` runs, so that none is shown by slow tests
alone. `test_offers.py` checks all of it. `FLAGS` are the flags that have an effect; the others are tested together.
"""

from __future__ import annotations

from collections.abc import Sequence

OFFERS: dict[str, Sequence[str]] = {
    # models and versions
    "a folder per version below the base path; versions come and go while others answer": (
        "test_only_folders_named_by_a_number_are_versions",
        "test_with_a_poll_interval_new_versions_are_found_without_being_told",
        "test_a_version_that_was_taken_back_stops_answering",
        "test_a_new_version_is_swapped_in_while_requests_go_on",
        "test_a_hundred_versions_are_swapped_in_without_a_failed_request",
    ),
    "a new version is loaded before the old one goes; a request keeps its version until it is answered": (
        "test_the_old_version_answers_until_the_new_one_does",
        "test_a_version_is_not_unloaded_under_a_request",
        "test_no_request_fails_while_versions_are_swapped",
    ),
    "a version that cannot be loaded is END with its error, and the old one goes on answering": (
        "test_a_broken_version_is_told_and_gets_no_request",
        "test_a_load_that_fails_is_tried_again_and_says_why_meanwhile",
        "test_a_version_that_cannot_be_loaded_is_reported_with_the_reason",
    ),
    "a missing base path keeps what is served, an emptied one unloads it": (
        "test_an_emptied_folder_unloads_all_and_a_missing_one_nothing",
        "test_a_missing_folder_of_one_model_does_not_keep_others_from_loading",
    ),
    "version policies `latest`, `all`, `specific`": (
        "test_latest_takes_the_highest_and_zero_means_one",
        "test_no_policy_takes_the_newest_alone",
        "test_all_takes_all",
        "test_specific_takes_what_is_named_and_there",
    ),
    "version labels, for versions that answer; for others by a flag": (
        "test_labels_name_versions",
        "test_a_label_for_a_version_that_does_not_answer_is_refused_and_nothing_changes",
        "test_early_labels_are_allowed_by_the_flag_but_a_label_that_works_is_not_moved_early",
        "test_labels_choose_a_version_over_both_transports",
    ),
    "another configuration by file, by `HandleReloadConfigRequest`": (
        "test_the_configuration_of_models_is_read_again_and_a_wrong_one_changes_nothing",
        "test_a_reload_serves_other_models_when_it_returns",
        "test_a_reload_tells_how_much_a_counter_grew",
        "test_a_reload_with_a_wrong_configuration_is_refused_and_changes_nothing",
    ),
    "`custom_model_config`, a `model_platform` of one's own": (
        "test_a_custom_configuration_is_refused",
        "test_a_custom_configuration_is_refused",
        "test_what_cannot_be_served_is_refused_in_tensorflow_servings_words",
        "test_the_deprecated_type_still_means_tensorflow",
    ),
    "base paths on `gs://`, `s3://`, `hdfs://`": ("test_other_file_systems_are_refused_with_what_to_do",),
    "a relative `--model_base_path` is refused": (
        "test_one_model_is_a_configuration_with_an_absolute_path",
        "test_a_relative_base_path_is_refused_as_tensorflow_serving_does",
    ),
    "any model name": (
        "test_plain_names_are_taken",
        "test_names_that_look_like_paths_are_refused",
        "test_a_configuration_with_a_name_that_is_a_path_is_refused_at_the_start_and_later",
    ),
    "SavedModels of TensorFlow 1 and 2, their assets and tables": (
        "test_a_model_of_tensorflow_1_answers_by_all_its_signatures",
        "test_tables_are_filled_from_the_assets_of_a_model",
        "test_strings_come_back_as_bytes",
        "test_every_dtype_passes_unchanged",
    ),
    "any op of TensorFlow": (
        "test_a_model_that_writes_files_is_refused_before_it_is_loaded",
        "test_an_op_beyond_computing_is_found_with_its_place_and_reason",
        "test_a_custom_op_is_called_one",
        "test_an_allowed_model_still_answers_after_the_check",
    ),
    "TFLite models by `--prefer_tflite_model`": (
        "test_a_tflite_model_is_preferred_only_when_asked_for",
        "test_batches_of_any_size_are_answered",
        "test_ops_of_tensorflow_that_write_are_refused",
    ),
    "warm-up requests: at most 1000, one that fails fails the load": (
        "test_all_kinds_of_warm_up_requests_are_answered_before_the_first_client",
        "test_a_warm_up_request_that_fails_fails_the_load",
        "test_a_thousand_warm_up_requests_are_the_most",
        "test_every_batchable_signature_is_run_once_on_no_rows",
    ),
    "no check of a model's files": (
        "test_a_version_with_a_true_manifest_loads",
        "test_a_version_that_was_changed_after_it_was_pushed_does_not_load",
        "test_a_version_without_a_manifest_is_refused_where_one_is_required",
    ),
    "no limit to the memory of models": (
        "test_a_version_larger_than_free_memory_is_refused",
        "test_a_version_needs_a_fifth_more_memory_than_its_files_have_bytes",
    ),
    # gRPC
    "`PredictionService`: Predict, Classify, Regress, MultiInference, GetModelMetadata": (
        "test_predict_answers_in_typed_fields_and_says_which_model",
        "test_classify_gives_labels_and_scores",
        "test_regress_gives_a_number_each",
        "test_multi_inference_answers_each_task_in_order",
        "test_metadata_tells_the_signatures_and_the_version",
    ),
    "`ModelService`: GetModelStatus, HandleReloadConfigRequest": (
        "test_status_lists_all_versions_newest_first",
        "test_status_refuses_with_the_words_of_tensorflow_serving",
        "test_a_reload_serves_other_models_when_it_returns",
    ),
    "`model_spec`: `version` or `version_label`, else the newest; `signature_name`, else `serving_default`": (
        "test_a_version_or_a_label_is_answered_by_that_version",
        "test_predict_answers_in_typed_fields_and_says_which_model",
        "test_regress_gives_a_number_each",
    ),
    "`output_filter`": (
        "test_the_output_filter_leaves_the_others_out",
        "test_predict_refuses_with_the_words_of_tensorflow_serving",
    ),
    "refusals: a canonical code, and words such as `Servable not found for request: …`, cut after 1,024 characters": (
        "test_predict_refuses_with_the_words_of_tensorflow_serving",
        "test_examples_are_refused_with_the_words_of_tensorflow_serving",
        "test_multi_inference_refuses_with_the_words_of_tensorflow_serving",
        "test_metadata_refuses_with_the_words_of_tensorflow_serving",
        "test_an_error_of_the_model_is_the_clients_and_a_long_text_is_cut",
    ),
    "tensors of every type and of up to 254 dimensions": (
        "test_tensors_of_every_dtype_come_back_as_they_were_sent",
        "test_every_number_arrives_as_it_was_sent",
        "test_every_string_arrives_as_it_was_sent",
        "test_bfloat16_arrives_as_it_was_sent",
        "test_what_is_no_tensor_is_refused_with_the_reason",
    ),
    "a tensor with fewer values than its shape says has the last one again": (
        "test_a_field_with_fewer_values_repeats_the_last",
        "test_a_last_value_that_stands_for_many_megabytes_is_refused",
        "test_all_tensors_of_a_request_share_what_may_be_repeated",
        "test_a_small_message_that_claims_a_huge_shape_is_refused_without_memory_for_it",
    ),
    "the graph says whether the shape of an input is wrong": (
        "test_what_is_not_the_signatures_is_refused_in_tensorflow_servings_words",
        "test_neighbours_of_a_bad_request_are_answered",
    ),
    "answers in the field of their type, or as `tensor_content` by a flag": (
        "test_predict_answers_in_typed_fields_and_says_which_model",
        "test_as_tensor_content_answers_hold_bytes",
    ),
    "the health service by `--enable_grpc_healthcheck_service`": (
        "test_health_says_whether_the_server_serves",
        "test_without_health_the_service_is_not_there",
    ),
    "no reflection": (
        "test_reflection_lists_the_services_and_describes_them",
        "test_a_token_is_needed_for_all_but_health",
    ),
    # REST
    "`/v1/models/M`, `/versions/V` or `/labels/L`, with `:predict`, `:classify`, `:regress` or `/metadata`": (
        "test_paths_are_read",
        "test_what_stands_for_nothing_is_a_malformed_request",
        "test_predict_in_rows_and_columns_by_version_and_without",
        "test_classify_and_regress_take_examples",
        "test_labels_choose_a_version_over_both_transports",
    ),
    "rows (`instances`) and columns (`inputs`), objects or plain lists; `examples` with a `context`": (
        "test_arrays_come_back_as_rows_and_as_columns",
        "test_rows_may_be_objects_with_a_value_for_each_input",
        "test_one_input_may_be_named_or_not",
        "test_values_and_lists_become_features_of_their_kind",
        "test_the_context_is_in_front_of_each_example",
    ),
    '`{"b64": …}` for bytes; so are outputs written whose name ends in `_bytes`': (
        "test_bytes_go_in_and_out_as_base64",
        "test_base64_may_lack_its_padding_and_hold_white_space",
        "test_outputs_named_bytes_are_base64_and_text_that_is_no_utf8_is_replaced",
    ),
    "float, double, string, bool and all integers but uint16": (
        "test_arrays_come_back_as_rows_and_as_columns",
        "test_texts_are_utf8",
        "test_bfloat16_is_read_and_written",
        "test_a_type_json_cannot_hold_is_unimplemented",
        "test_complex_numbers_cannot_be_written",
    ),
    "`NaN`, `Infinity` and `-Infinity` are read and written": (
        "test_infinities_are_read_in_all_their_spellings",
        "test_not_a_number_is_read",
        "test_a_number_beyond_float32_is_infinite_and_nan_is_taken",
        "test_one_float_is_written_so",
    ),
    "numbers are written with 6 or 9 digits, such as `1e+06`, over several lines": (
        "test_floats_have_six_digits_where_they_suffice_and_nine_where_not",
        "test_doubles_and_integers_keep_all_their_digits",
        "test_one_float_is_written_so",
    ),
    "JSON: duplicate keys, text that is not UTF-8": (
        "test_of_values_under_one_key_the_last_counts",
        "test_errors_have_tensorflow_servings_status_and_words",
        "test_outputs_named_bytes_are_base64_and_text_that_is_no_utf8_is_replaced",
    ),
    '`{"error": …}` with the HTTP status of the canonical code': (
        "test_errors_have_tensorflow_servings_status_and_words",
        "test_bad_encodings_are_refused",
        "test_without_a_token_only_health_answers",
        "test_an_error_is_laid_out_as_tensorflow_serving_does",
        "test_what_is_too_large_is_refused_before_it_is_read",
        "test_headers_that_come_too_slowly_time_out",
    ),
    "statuses and metadata as JSON": (
        "test_status_is_written_as_tensorflow_serving_writes_it",
        "test_metadata_is_written_as_tensorflow_serving_writes_it",
    ),
    "bodies in gzip": ("test_gzip_bodies_are_read", "test_bad_encodings_are_refused"),
    "`--rest_api_enable_cors_support`": ("test_cors_headers_are_sent_where_they_are_asked_for",),
    "no health page": (
        "test_health_and_readiness",
        "test_without_a_token_only_health_answers",
    ),
    "no names for requests": (
        "test_a_named_request_gets_its_name_back",
        "test_answered_requests_go_to_the_log_with_what_was_sent_and_given",
    ),
    # batches, limits, access and logs
    "`--grpc_channel_arguments`: any that gRPC has": (
        "test_arguments_change_the_limits_in_their_own_units",
        "test_arguments_without_meaning_here_are_named",
    ),
    "unknown flags are refused": (
        "test_what_cannot_be_meant_is_refused_by_name",
        "test_wrong_flags_are_exit_code_2_and_help_is_0",
    ),
    "`--enable_batching` turns batching on": (
        "test_requests_of_both_transports_are_computed_in_one_batch",
        "test_requests_of_one_turn_are_computed_together_and_each_gets_its_rows",
        "test_requests_whose_rows_change_one_another_are_computed_alone_and_whole",
    ),
    "the parameters of `--batching_parameters_file`": (
        "test_batching_parameters_that_are_named_are_taken_and_the_others_stay",
        "test_batching_parameters_out_of_range_are_told_with_their_file",
        "test_a_batch_is_no_larger_than_the_largest_allowed",
        "test_batches_are_filled_up_to_an_allowed_size_and_the_filling_is_taken_off",
        "test_rows_of_other_lengths_are_padded_where_that_is_asked_for",
        "test_a_request_of_more_rows_is_refused_where_splitting_is_off",
        "test_a_batch_timeout_waits_for_the_batch_to_fill",
    ),
    "a request of any number of rows, unless batching is on": (
        "test_a_request_of_any_number_of_rows_is_computed_where_nobody_set_the_queue_up",
        "test_a_request_of_more_rows_than_may_wait_is_refused_where_the_queue_was_set_up",
    ),
    "a full batch queue is UNAVAILABLE, over REST 503": (
        "test_a_full_queue_refuses_with_unavailable_and_429",
        "test_waiting_bytes_are_limited_over_all_models",
        "test_a_full_queue_is_429_with_retry_after",
        "test_a_full_queue_refuses_with_the_words_of_tensorflow_serving",
    ),
    "a deadline that passes is DEADLINE_EXCEEDED, over REST 504 by `--rest_api_timeout_in_ms`": (
        "test_a_request_past_its_deadline_is_answered_and_never_computed",
        "test_a_cancelled_request_is_not_computed_and_gives_back_its_place",
        "test_a_request_that_takes_too_long_is_504",
        "test_a_client_that_goes_away_leaves_the_queue",
        "test_a_deadline_that_passes_in_the_queue_ends_the_request_and_frees_its_place",
    ),
    "requests of up to 2 GiB by gRPC, of any size by REST": (
        "test_a_request_above_the_limit_is_refused_over_both_transports_and_the_next_is_answered",
        "test_a_body_of_the_largest_size_is_read",
    ),
    "SIGTERM ends the process at once": (
        "test_sigterm_answers_what_is_there_and_accepts_nothing_more",
        "test_sigterm_under_load_answers_everything_that_was_taken_and_then_refuses",
    ),
    "listens on every network": (
        "test_other_addresses_of_the_machine_are_listened_to_only_if_that_is_asked_for",
        "test_nobody_beyond_this_machine_is_listened_to_unless_that_is_asked_for",
    ),
    "`--ssl_config_file`: TLS for gRPC, mutual by `client_verify`": (
        "test_an_ssl_config_file_describes_it",
        "test_https_answers_who_trusts_the_certificate",
        "test_mutual_tls_answers_clients_of_the_authority_alone",
        "test_over_tls_a_client_must_know_the_authority",
        "test_over_mutual_tls_the_server_must_know_the_clients_authority",
        "test_tls_of_both_transports_asks_for_a_certificate_where_it_is_mutual",
    ),
    "no tokens": (
        "test_only_a_whole_token_behind_the_scheme_passes",
        "test_a_tokens_file_is_asked_by_both_transports",
    ),
    "metrics for Prometheus by `--monitoring_config_file`": (
        "test_monitoring_is_off_until_it_is_enabled_and_has_tensorflow_servings_path",
        "test_rest_and_grpc_answer_from_the_same_model_and_are_counted_together",
        "test_only_the_latency_of_answered_requests_counts_in_microseconds",
        "test_latency_has_the_34_buckets_of_tensorflow_serving",
    ),
    "`logging_config` for collectors that one compiles in": (
        "test_a_models_own_logging_config_says_how_much_and_where",
        "test_the_records_are_prediction_logs_that_hold_everything",
        "test_the_table_has_a_line_per_item_with_the_answer_and_the_digest_of_the_file",
        "test_a_sample_of_requests_is_logged",
    ),
}

FLAGS: dict[str, Sequence[str]] = {
    "port": ("test_a_taken_port_is_refused_with_the_way_out", "test_a_socket_is_served_beside_the_port"),
    "grpc_socket_path": ("test_a_socket_is_served_beside_the_port",),
    "grpc_channel_arguments": ("test_arguments_change_the_limits_in_their_own_units",),
    "rest_api_port": (
        "test_a_port_that_is_taken_is_told",
        "test_sigterm_answers_what_is_there_and_accepts_nothing_more",
    ),
    "rest_api_timeout_in_ms": ("test_a_rest_request_takes_no_longer_than_it_may",),
    "rest_api_enable_cors_support": ("test_browsers_of_other_sites_are_answered_only_if_that_is_asked_for",),
    "ssl_config_file": (
        "test_an_ssl_config_file_describes_it",
        "test_tls_of_both_transports_asks_for_a_certificate_where_it_is_mutual",
    ),
    "model_name": ("test_rest_and_grpc_answer_from_the_same_model_and_are_counted_together",),
    "model_base_path": ("test_rest_and_grpc_answer_from_the_same_model_and_are_counted_together",),
    "model_config_file": ("test_labels_choose_a_version_over_both_transports",),
    "model_config_file_poll_wait_seconds": (
        "test_the_configuration_of_models_is_read_again_and_a_wrong_one_changes_nothing",
    ),
    "file_system_poll_wait_seconds": (
        "test_new_versions_are_looked_for_as_often_as_the_flag_says",
        "test_with_a_poll_interval_new_versions_are_found_without_being_told",
        "test_without_a_poll_interval_a_configuration_looks_once",
    ),
    "allow_version_labels_for_unavailable_models": (
        "test_labels_choose_a_version_over_both_transports",
        "test_early_labels_are_allowed_by_the_flag_but_a_label_that_works_is_not_moved_early",
    ),
    "saved_model_tags": ("test_models_are_loaded_as_the_flags_say", "test_a_tag_that_is_not_there_is_told"),
    "prefer_tflite_model": (
        "test_models_are_loaded_as_the_flags_say",
        "test_a_tflite_model_is_preferred_only_when_asked_for",
    ),
    "num_load_threads": ("test_as_many_versions_are_loaded_at_a_time_as_the_flag_says",),
    "max_num_load_retries": ("test_a_load_that_fails_is_tried_again_as_often_as_the_flags_say",),
    "load_retry_interval_micros": (
        "test_a_load_that_fails_is_tried_again_as_often_as_the_flags_say",
        "test_a_load_that_fails_is_tried_again_and_says_why_meanwhile",
    ),
    "enable_model_warmup": ("test_models_are_loaded_as_the_flags_say", "test_warm_up_can_be_left_out"),
    "num_request_iterations_for_warmup": (
        "test_models_are_loaded_as_the_flags_say",
        "test_each_warm_up_request_is_replayed_as_often_as_is_asked_for",
    ),
    "enable_batching": (
        "test_requests_of_both_transports_are_computed_in_one_batch",
        "test_what_cannot_be_meant_is_refused_by_name",
    ),
    "batching_parameters_file": ("test_requests_of_both_transports_are_computed_in_one_batch",),
    "tensorflow_intra_op_parallelism": (
        "test_models_are_loaded_as_the_flags_say",
        "test_threads_of_tensorflow_come_from_three_flags",
    ),
    "tensorflow_inter_op_parallelism": (
        "test_models_are_loaded_as_the_flags_say",
        "test_threads_of_tensorflow_come_from_three_flags",
    ),
    "tensorflow_session_parallelism": ("test_threads_of_tensorflow_come_from_three_flags",),
    "per_process_gpu_memory_fraction": ("test_models_are_loaded_as_the_flags_say",),
    "num_tflite_pools": (
        "test_models_are_loaded_as_the_flags_say",
        "test_more_threads_than_interpreters_get_their_own_answers",
    ),
    "enable_serialization_as_tensor_content": ("test_answers_hold_typed_fields_or_content",),
    "enable_grpc_healthcheck_service": ("test_health_is_told_by_grpc_only_if_that_is_asked_for",),
    "monitoring_config_file": ("test_rest_and_grpc_answer_from_the_same_model_and_are_counted_together",),
    "version": ("test_the_version_is_the_projects_and_tensorflows",),
    "help": ("test_wrong_flags_are_exit_code_2_and_help_is_0",),
    "host": ("test_other_addresses_of_the_machine_are_listened_to_only_if_that_is_asked_for",),
    "bearer_tokens_file": ("test_a_tokens_file_is_asked_by_both_transports",),
    "max_request_bytes": ("test_a_request_above_the_limit_is_refused_over_both_transports_and_the_next_is_answered",),
    "drain_seconds": (
        "test_sigterm_answers_what_is_there_and_accepts_nothing_more",
        "test_a_request_that_outlasts_the_drain_is_given_up",
    ),
    "require_manifest": (
        "test_models_are_loaded_as_the_flags_say",
        "test_a_version_without_a_manifest_is_refused_where_one_is_required",
    ),
    "batch_requests": (
        "test_a_request_is_computed_alone_and_whole_where_the_flag_says_so",
        "test_requests_whose_rows_change_one_another_are_computed_alone_and_whole",
    ),
    "max_queue_bytes": ("test_what_may_wait_is_limited_in_bytes", "test_waiting_bytes_are_limited_over_all_models"),
    "request_log_dir": ("test_the_request_log_is_as_its_flags_say", "test_a_sample_of_requests_is_logged"),
    "request_log_sampling_rate": (
        "test_the_request_log_is_as_its_flags_say",
        "test_a_models_own_logging_config_says_how_much_and_where",
    ),
    "request_log_max_file_mb": (
        "test_the_request_log_is_as_its_flags_say",
        "test_a_new_pair_of_files_begins_when_the_old_one_is_large",
    ),
    "request_log_max_file_seconds": (
        "test_the_request_log_is_as_its_flags_say",
        "test_a_file_is_finished_when_it_is_old_without_another_request",
    ),
}
