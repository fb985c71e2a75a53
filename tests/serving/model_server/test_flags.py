from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications.errors import ConfigError, UsageError
from serving.model_server.flags import FLAGS, Effect, parse, usage

BASE = "--model_base_path=/models/m"
# Every flag of tensorflow_model_server (main.cc of tensorflow/serving, July 2026).
TENSORFLOW_SERVING = """
    port grpc_socket_path rest_api_port rest_api_num_threads rest_api_timeout_in_ms rest_api_enable_cors_support
    enable_batching allow_version_labels_for_unavailable_models batching_parameters_file
    enable_per_model_batching_parameters model_config_file model_config_file_poll_wait_seconds model_name
    model_base_path num_load_threads num_unload_threads max_num_load_retries load_retry_interval_micros
    file_system_poll_wait_seconds flush_filesystem_caches tensorflow_session_parallelism
    tensorflow_session_config_file tensorflow_intra_op_parallelism tensorflow_inter_op_parallelism
    use_alts_credentials ssl_config_file platform_config_file per_process_gpu_memory_fraction saved_model_tags
    grpc_channel_arguments grpc_max_threads enable_model_warmup num_request_iterations_for_warmup version
    monitoring_config_file remove_unused_fields_from_bundle_metagraph prefer_tflite_model num_tflite_pools
    num_tflite_interpreters_per_pool enable_signature_method_name_check xla_cpu_compilation_enabled
    xla_gpu_compilation_enabled enable_profiler thread_pool_factory_config_file mixed_precision skip_initialize_tpu
    enable_grpc_healthcheck_service enable_serialization_as_tensor_content
    """.split()


def test_every_flag_of_tensorflow_serving_is_known_and_no_other_is_taken_for_one():
    theirs = {name for name, flag in FLAGS.items() if flag.effect is not Effect.OURS} - {"help"}

    assert theirs == set(TENSORFLOW_SERVING)


def test_defaults_are_those_of_tensorflow_serving():
    options = parse([BASE])

    assert (options.port, options.rest_api_port, options.rest_api_timeout_in_ms) == (8500, 0, 30_000)
    assert (options.model_name, options.tags) == ("default", ("serve",))
    assert (options.max_num_load_retries, options.load_retry_interval_micros) == (5, 60_000_000)
    assert (options.file_system_poll_wait_seconds, options.model_config_file_poll_wait_seconds) == (1, 0)
    assert (options.enable_model_warmup, options.enable_batching, options.prefer_tflite_model) == (True, False, False)
    assert options.host == "127.0.0.1"
    assert options.warnings == ()


@pytest.mark.parametrize(
    ("arguments", "name", "value"),
    [
        (["--rest_api_port=8501"], "rest_api_port", 8501),
        (["--rest_api_port", "8501"], "rest_api_port", 8501),
        (["--rest_api_port=1", "--rest_api_port=2"], "rest_api_port", 2),
        (["--file_system_poll_wait_seconds", "-1"], "file_system_poll_wait_seconds", -1),
        (["--model_name="], "model_name", ""),
        (["--grpc_channel_arguments=a.b=1,c=2"], "grpc_channel_arguments", "a.b=1,c=2"),
        (["--enable_batching"], "enable_batching", True),
        (["--enable_batching=true"], "enable_batching", True),
        (["--enable_model_warmup=FALSE"], "enable_model_warmup", False),
        (["--noenable_model_warmup"], "enable_model_warmup", False),
        (["--request_log_sampling_rate=0.25"], "request_log_sampling_rate", 0.25),
    ],
)
def test_values_are_read_in_each_spelling(arguments, name, value):
    assert getattr(parse([BASE, *arguments]), name) == value


@pytest.mark.parametrize(
    ("argument", "text"),
    [
        ("--rest_port=1", "unknown flag: --rest_port. Did you mean 'rest_api_port'?"),
        ("--noport", "unknown flag: --noport."),
        ("--noenable_batching=true", "unknown flag: --noenable_batching."),
        ("models", "unknown argument: models."),
        ("-port=1", "unknown argument: -port=1."),
        ("--port", "--port must have a value, such as --port=8500."),
        ("--port=http", "--port must be a whole number, got 'http'."),
        ("--port=70000", "--port must be at most 65535, got 70000."),
        ("--port=-1", "--port must be at least 0, got -1."),
        ("--rest_api_port=8500", "--port and --rest_api_port must differ, both are 8500."),
        ("--max_num_load_retries=-1", "--max_num_load_retries must be at least 0, got -1."),
        ("--num_load_threads=9223372036854775808", "--num_load_threads must be a whole number"),
        ("--enable_batching=maybe", "--enable_batching must be true or false, got 'maybe'."),
        ("--request_log_sampling_rate=1.5", "--request_log_sampling_rate must be 0 to 1, got 1.5."),
        ("--request_log_sampling_rate=nan", "--request_log_sampling_rate must be 0 to 1, got nan."),
        ("--saved_model_tags=,", "--saved_model_tags must name a tag"),
        (
            "--enable_batching --nobatch_requests",
            "--enable_batching and --nobatch_requests exclude each other. Leave one of them out.",
        ),
        ("--batching_parameters_file=/b", "--batching_parameters_file=/b is given without --enable_batching."),
        ("--port=0", "one of --port, --grpc_socket_path and --rest_api_port must be set"),
    ],
)
def test_what_cannot_be_meant_is_refused_by_name(argument, text):
    with pytest.raises(UsageError, match=re.escape(text)):
        parse([BASE, *argument.split()])


def test_wrong_channel_arguments_are_refused_before_anything_is_loaded():
    with pytest.raises(ConfigError, match="must be key=value pairs with commas between, got 'age'"):
        parse([BASE, "--grpc_channel_arguments=age"])


def test_a_server_without_a_model_is_refused():
    with pytest.raises(ConfigError, match="--model_base_path .* or --model_config_file .* must be given"):
        parse([])


def test_the_version_can_be_asked_without_a_model():
    assert parse(["--version"]).version
    assert parse(["--help"]).help


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.effect is Effect.NONE])
def test_flags_without_effect_are_taken_with_a_reason(name):
    flag = FLAGS[name]

    options = parse([BASE, f"--{name}={'true' if flag.kind is bool else 4}"])

    assert options.warnings == (f"--{name} has no effect here: {flag.text}.",)


@pytest.mark.parametrize("name", [name for name, flag in FLAGS.items() if flag.effect is Effect.REFUSED])
def test_flags_that_cannot_be_honoured_are_refused_with_a_reason_unless_they_ask_for_nothing(name):
    flag = FLAGS[name]
    asks, asks_nothing = ("true", "false") if flag.kind is bool else ("/f", "")

    with pytest.raises(UsageError, match=re.escape(f"--{name} is a flag of tensorflow_model_server that is refused")):
        parse([BASE, f"--{name}={asks}"])
    assert parse([BASE, f"--{name}={asks_nothing}"]).warnings == ()


@pytest.mark.parametrize(
    ("arguments", "threads"),
    [
        ([], (1, 1)),
        (["--tensorflow_session_parallelism=4"], (4, 4)),
        (["--tensorflow_intra_op_parallelism=2"], (2, 1)),
        (["--tensorflow_intra_op_parallelism=2", "--tensorflow_inter_op_parallelism=3"], (2, 3)),
    ],
)
def test_threads_of_tensorflow_come_from_three_flags(arguments, threads):
    options = parse([BASE, *arguments])

    assert (options.intra_op_threads, options.inter_op_threads) == threads


def test_all_three_thread_flags_exclude_each_other():
    flags = [f"--tensorflow_{one}_parallelism=2" for one in ("intra_op", "inter_op", "session")]

    with pytest.raises(ConfigError, match="all three are given"):
        parse([BASE, *flags])


@given(st.lists(st.text(max_size=20), max_size=4))
def test_any_words_give_settings_or_a_usage_error(words):
    try:
        options = parse([BASE, *words])
    except UsageError:
        return
    assert options.model_base_path or options.help or options.version


def test_usage_names_every_flag_that_has_an_effect():
    text = usage("earthloop-model-server")

    for flag in FLAGS.values():
        assert (f"--{flag.name}" in text.split() or f"--{flag.name}=" in text) == (
            flag.effect in (Effect.HONOURED, Effect.OURS)
        ), flag.name
