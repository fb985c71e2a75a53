"""Whole replays of pipelines whose containers are a few lines of Python."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

WRITE = "import pathlib,sys; p=pathlib.Path(sys.argv[1]); p.mkdir(parents=True); (p/'said.txt').write_text(sys.argv[2])"
READ = "import pathlib,sys; print('read', pathlib.Path(sys.argv[1], 'said.txt').read_text())"
IN, OUT = "{{$.inputs.artifacts['found'].path}}", "{{$.outputs.artifacts['made'].path}}"
FAIL = "import sys; print('Error: the sea is rough'); sys.exit(3)"


def test_an_artifact_goes_from_one_task_to_the_next_through_the_store(pipeline, replay):
    pipeline.add("first", WRITE, args=[OUT, "{{$.inputs.parameters['word']}}"], gives=["made"], values={"word": "tide"})
    pipeline.add("second", READ, args=[IN], takes={"found": "first.made"})
    done = replay(pipeline)
    assert done.code == 0, done.printed
    assert done.states == {"first": "done", "second": "done"}
    assert done.log("second") == "read tide\n"
    assert (done.stored("first", "made") / "said.txt").read_text() == "tide"
    assert not (done.latest / "first" / "staging").exists()


def test_the_whole_executor_input_is_handed_over_as_json(pipeline, replay):
    script = (
        "import json,sys; told=json.loads(sys.argv[1]); given=told['inputs']['parameterValues'];"
        "print(given['text'], given['count'], given['list'], sorted(told['outputs']))"
    )
    pipeline.add("look", script, args=["{{$}}"], values={"text": 'quo"te', "count": 3.0, "list": [1.0, 2.5]})
    assert replay(pipeline).log("look") == "quo\"te 3 [1, 2.5] ['artifacts', 'outputFile', 'parameters']\n"


def test_output_parameters_reach_the_next_task_from_file_and_from_executor_output(pipeline, replay):
    script = (
        "import json,pathlib,sys; pathlib.Path(sys.argv[1]).write_text('7');"
        "told=json.loads(sys.argv[2]); file=pathlib.Path(told['outputs']['outputFile']);"
        "file.write_text(json.dumps({'parameterValues': {'share': 0.5}}))"
    )
    args = ["{{$.outputs.parameters['count'].output_file}}", "{{$}}"]
    pipeline.add("first", script, args=args, told={"count": "NUMBER_INTEGER", "share": "NUMBER_DOUBLE"})
    asked = {
        key: {"taskOutputParameter": {"producerTask": "first", "outputParameterKey": key}} for key in ("count", "share")
    }
    words = ["{{$.inputs.parameters['count']}}", "{{$.inputs.parameters['share']}}"]
    pipeline.add("second", "import sys; print(*sys.argv[1:])", args=words, values=asked)
    done = replay(pipeline)
    assert done.outputs("first") == {"count": 7, "share": 0.5}
    assert done.log("second") == "7 0.5\n"


def test_metadata_reach_the_next_task_as_the_metadata_store_keeps_them(pipeline, replay):
    write = (
        "import json,pathlib,sys; told=json.loads(sys.argv[1]);"
        "made={'artifacts': {'made': {'artifacts': [{'metadata': {'ok': True, 'list': [1], 'n': 2.0}}]}}};"
        "pathlib.Path(told['outputs']['outputFile']).write_text(json.dumps(made))"
    )
    read = (
        "import json,sys; [found]=json.loads(sys.argv[1])['inputs']['artifacts']['found']['artifacts'];"
        "print(json.dumps(found['metadata'], sort_keys=True), found['name'].isdecimal())"
    )
    pipeline.add("first", write, args=["{{$}}"], gives=["made"])
    pipeline.add("second", read, args=["{{$}}"], takes={"found": "first.made"})
    assert replay(pipeline).log("second") == '{"display_name": "made", "list": {"list": [1]}, "n": 2, "ok": 1} True\n'


def test_an_empty_artifact_is_not_stored_and_arrives_as_a_missing_path(pipeline, replay):
    make = "import pathlib,sys; pathlib.Path(sys.argv[1], 'empty').mkdir(parents=True)"
    look = "import os,sys; print(os.path.exists(sys.argv[1]))"
    pipeline.add("first", make, args=[OUT], gives=["made"])
    pipeline.add("second", look, args=[IN], takes={"found": "first.made"})
    done = replay(pipeline)
    assert done.log("second") == "False\n"
    assert not done.stored("first", "made").exists()


@pytest.mark.parametrize(("condition", "state"), [("> 2.0", "done"), ("> 5.0", "skipped")])
def test_a_condition_decides_whether_a_task_and_those_behind_it_run(pipeline, replay, condition, state):
    trigger = {"condition": f"inputs.parameter_values['count'] {condition}"}
    pipeline.add("asked", "print('here')", values={"count": 3}, triggerPolicy=trigger)
    pipeline.add("behind", "print('too')", dependentTasks=["asked"])
    pipeline.add("beside", "print('always')")
    done = replay(pipeline)
    assert done.code == 0
    assert done.states == {"asked": state, "behind": state, "beside": "done"}


def test_what_is_skipped_says_why_in_view_summary_and_record(pipeline, replay):
    trigger = {"condition": "inputs.parameter_values['count'] > 5"}
    pipeline.add("asked", "print('here')", values={"count": 3}, triggerPolicy=trigger)
    pipeline.add("behind", "print('too')", dependentTasks=["asked"])
    done = replay(pipeline)
    why = "the condition does not hold: inputs.parameter_values['count'] > 5"
    assert f"asked          skipped: {why}\n" in done.printed
    assert f"\n  skipped asked: {why}\n  skipped behind: it needs asked, which was skipped\n" in done.printed
    assert [task["why"] for task in done.record["tasks"]] == [why, "it needs asked, which was skipped"]


def in_a_dag(pipeline, *, condition=""):
    """Moves all tasks into a DAG `inner`, as compilers do for an exit handler or a condition."""
    tasks, pipeline.tasks = pipeline.tasks, {}
    pipeline.components["inner"] = {"dag": {"tasks": tasks}}
    pipeline.tasks["inner"] = {"componentRef": {"name": "inner"}, "taskInfo": {"name": "inner"}, "inputs": {}}
    if condition:
        pipeline.tasks["inner"]["triggerPolicy"] = {"condition": condition}


@pytest.mark.parametrize(("script", "state", "code"), [("pass", "COMPLETE", 0), (FAIL, "FAILED", 1)])
def test_the_exit_handler_runs_however_the_pipeline_ends_and_is_told_how(pipeline, replay, script, state, code):
    pipeline.add("work", script)
    pipeline.add("more", "pass", dependentTasks=["work"])
    in_a_dag(pipeline)
    add_goodbye(pipeline)
    done = replay(pipeline)
    assert done.code == code
    assert done.log("goodbye") == f"{state}\n"
    assert done.states["more"] == ("done" if code == 0 else "waiting")


STATUS = "import json,sys; print(json.loads(sys.argv[1])['state'])"


def add_goodbye(pipeline):
    pipeline.add(
        "goodbye",
        STATUS,
        args=["{{$.inputs.parameters['status']}}"],
        values={"status": {"taskFinalStatus": {"producerTask": "inner"}}},
        dependentTasks=["inner"],
        triggerPolicy={"strategy": "ALL_UPSTREAM_TASKS_COMPLETED"},
    )


def test_an_exit_handler_behind_skipped_tasks_runs_and_is_told_that_the_pipeline_still_does(pipeline, replay):
    """Nobody but a launcher writes the state of a DAG, and an omitted task never comes to an end."""
    pipeline.add("work", "pass").add("asked", "pass", dependentTasks=["work"], triggerPolicy={"condition": "1 > 2"})
    pipeline.add("behind", "pass", dependentTasks=["asked"])
    in_a_dag(pipeline)
    add_goodbye(pipeline)
    done = replay(pipeline)
    assert (done.code, done.log("goodbye")) == (0, "RUNNING\n")
    assert done.states == {"work": "done", "asked": "skipped", "behind": "skipped", "goodbye": "done"}


def test_an_exit_handler_behind_a_last_task_from_the_cache_is_told_that_the_pipeline_still_runs(pipeline, replay):
    pipeline.add("work", "pass", cachingOptions={"enableCache": True})
    in_a_dag(pipeline)
    add_goodbye(pipeline)
    assert replay(pipeline).log("goodbye") == "COMPLETE\n"
    assert replay(pipeline).log("goodbye") == "RUNNING\n"


def test_a_dag_hands_its_parameters_and_artifacts_on(pipeline, replay):
    pipeline.add(
        "write",
        WRITE,
        args=[OUT, "{{$.inputs.parameters['word']}}"],
        gives=["made"],
        values={"word": {"componentInputParameter": "word"}},
    )
    in_a_dag(pipeline)
    inner = pipeline.components["inner"]
    inner["inputDefinitions"] = {"parameters": {"word": {"parameterType": "STRING"}}}
    selected = {"producerSubtask": "write", "outputArtifactKey": "made"}
    inner["dag"]["outputs"] = {"artifacts": {"result": {"artifactSelectors": [selected]}}}
    pipeline.tasks["inner"]["inputs"] = {"parameters": {"word": {"componentInputParameter": "wave"}}}
    pipeline.parameters["wave"] = {"parameterType": "STRING", "defaultValue": "surf"}
    pipeline.add("read", READ, args=[IN], takes={"found": "inner.result"})
    assert replay(pipeline).log("read") == "read surf\n"
    assert replay(pipeline, "--param", "wave=swell").log("read") == "read swell\n"


def test_a_dag_whose_condition_does_not_hold_is_skipped_as_a_whole(pipeline, replay):
    pipeline.add("one", "pass").add("two", "pass", dependentTasks=["one"])
    in_a_dag(pipeline, condition="1 > 2")
    pipeline.add("after", "pass", dependentTasks=["inner"])
    assert replay(pipeline).states == {"one": "skipped", "two": "skipped", "after": "skipped"}


def test_a_task_is_tried_again_as_often_as_its_policy_says(pipeline, replay, tmp_path):
    script = (
        "import pathlib,sys; p=pathlib.Path(sys.argv[1]); p.write_text(p.read_text()+'x'); sys.exit(p.stat().st_size<3)"
    )
    count = tmp_path / "count"
    count.write_text("")
    policy = {"maxRetryCount": 2, "backoffDuration": "60s", "backoffFactor": 2.0, "backoffMaxDuration": "3600s"}
    pipeline.add("shaky", script, args=[str(count)], retryPolicy=policy)
    done = replay(pipeline, "--longest-pause", "0")
    assert done.code == 0
    assert count.read_text() == "xxx"
    assert "--- attempt 3 ---" in done.log("shaky")
    assert "attempt 1 of 3 failed; the next in 0 s (a cluster waits 60 s)" in done.printed
    assert "attempt 2 of 3 failed; the next in 0 s (a cluster waits 120 s)" in done.printed


def test_a_policy_without_an_end_is_not_heeded_as_on_a_cluster(pipeline, replay):
    pipeline.add("bad", FAIL, retryPolicy={"maxRetryCount": 2})
    done = replay(pipeline)
    assert done.log("bad").count("the sea is rough") == 1
    assert (
        "the sea is rough. It is not tried again, nor would a cluster do so, although maxRetryCount is 2: its "
        "retryPolicy has no backoffMaxDuration"
    ) in done.printed


def test_a_failing_task_stops_the_rest_and_its_last_words_are_shown(pipeline, replay):
    policy = {"maxRetryCount": 1, "backoffMaxDuration": "60s"}
    pipeline.add("bad", FAIL, retryPolicy=policy).add("behind", "pass", dependentTasks=["bad"])
    done = replay(pipeline)
    assert done.code == 1
    assert done.states == {"bad": "failed", "behind": "waiting"}
    assert "Failed: bad failed (exit status 3, 2 attempts): the sea is rough" in done.printed
    assert "The last lines of" in done.printed
    assert (done.latest / "bad" / "staging").is_dir()


def test_a_second_replay_takes_from_the_cache_what_asks_for_it_and_did_not_change(pipeline, replay):
    cached = {"cachingOptions": {"enableCache": True}}
    pipeline.add("first", WRITE, args=[OUT, "a"], gives=["made"], **cached)
    pipeline.add("second", READ, args=[IN], takes={"found": "first.made"}, **cached)
    pipeline.add("third", "pass")
    assert set(replay(pipeline).states.values()) == {"done"}
    assert replay(pipeline).states == {"first": "cached", "second": "cached", "third": "done"}
    assert set(replay(pipeline, "--fresh").states.values()) == {"done"}
    pipeline.executors["first_executor"]["container"]["args"][1] = "b"
    done = replay(pipeline)
    assert done.states == {"first": "done", "second": "done", "third": "done"}
    assert done.log("second") == "read b\n"


def test_what_the_cache_knows_is_made_again_where_it_is_gone_from_the_store(pipeline, replay):
    cached = {"cachingOptions": {"enableCache": True}}
    pipeline.add("first", WRITE, args=[OUT, "a"], gives=["made", "empty"], **cached)
    pipeline.add("second", READ, args=[IN], takes={"found": "first.made"}, **cached)
    done = replay(pipeline)
    (done.stored("first", "made") / "said.txt").unlink()
    done = replay(pipeline)
    assert done.states == {"first": "done", "second": "done"}
    assert done.log("second") == "read a\n"
    assert set(replay(pipeline).states.values()) == {"cached"}


def test_epochs_are_told_from_the_log(pipeline, replay):
    script = (
        "import logging; logging.basicConfig(level=logging.INFO);"
        "from applications import progress; progress.report('epoch', done=1, total=3, val_accuracy=0.5);"
        "print('INFO:earthloop.progress:{no JSON}')"
    )
    pipeline.add("train", script)
    assert "train          epoch 1/3, val_accuracy 0.500\n" in replay(pipeline).printed


def importer(pipeline, uri):
    pipeline.add("world", gives=["found"])
    pipeline.executors["world_executor"] = {
        "importer": {"artifactUri": {"constant": uri}, "typeSchema": {"schemaTitle": "system.Artifact"}}
    }


def test_an_importer_takes_what_lies_in_the_store(pipeline, replay, tmp_path):
    importer(pipeline, "s3://open/data")
    pipeline.add("read", READ, args=[IN], takes={"found": "world.found"}, cachingOptions={"enableCache": True})
    place = tmp_path / "out" / "store" / "s3" / "open" / "data"
    done = replay(pipeline)
    assert "importer 'world' refers to s3://open/data, of which the replay has no copy. Put one at" in done.printed
    place.mkdir(parents=True)
    (place / "said.txt").write_text("far")
    assert replay(pipeline).log("read") == "read far\n"
    assert replay(pipeline).states["read"] == "cached"


def test_an_importer_without_a_scheme_is_refused(pipeline, replay, tmp_path):
    importer(pipeline, str(tmp_path))
    assert "an artifact's URI must begin with minio://, s3://, gs://, got" in replay(pipeline).printed


def test_environment_and_interpreter_are_those_of_the_container(pipeline, replay):
    pipeline.add("look", "import os,sys; print(os.environ['DEPTH_M'], sys.executable)")
    pipeline.executors["look_executor"]["container"]["env"] = [{"name": "DEPTH_M", "value": "12"}]
    assert replay(pipeline).log("look") == f"12 {sys.executable}\n"


def test_what_the_platform_asks_for_is_named_as_left_out(pipeline, replay):
    pipeline.add("work", "pass")
    executors = {"work_executor": {"nodeSelector": {"labels": {"gpu": "yes"}}}}
    pipeline.platform = {"platforms": {"kubernetes": {"deploymentSpec": {"executors": executors}}}}
    assert (
        "Left out, as there is no Kubernetes here: what the platform asks for work_executor."
        in replay(pipeline).printed
    )


def test_what_a_cluster_would_refuse_is_told_before_anything_runs(pipeline, replay):
    pipeline.add("under_score", "pass")
    done = replay(pipeline)
    assert done.code == 0
    assert "Note: a cluster would refuse it; `earthloop lint" in done.printed
    pipeline.tasks["dash"] = pipeline.tasks.pop("under_score")
    assert "Note" not in replay(pipeline).printed


def test_an_unknown_parameter_is_refused_with_the_near_name(pipeline, replay):
    pipeline.parameters["epochs"] = {"parameterType": "NUMBER_INTEGER", "defaultValue": 3.0}
    pipeline.add("work", "pass")
    done = replay(pipeline, "--param", "epoch=1")
    assert done.code == 2
    assert "no pipeline parameter 'epoch'; there are: epochs. Did you mean 'epochs'?" in done.printed


def test_a_container_without_a_command_is_refused(pipeline, replay):
    pipeline.add("work", "pass")
    del pipeline.executors["work_executor"]["container"]["command"]
    assert "the container of task 'work' has no command" in replay(pipeline).printed


def test_no_more_tasks_run_at_once_than_asked(pipeline, replay, tmp_path):
    script = (
        "import os,pathlib,sys,time; d=pathlib.Path(sys.argv[1]); f=d/sys.argv[2]; f.touch();"
        "print(len(list(d.iterdir()))); time.sleep(0.3); f.unlink()"
    )
    folder = tmp_path / "here"
    folder.mkdir()
    for name in ("a", "b", "c"):
        pipeline.add(name, script, args=[str(folder), name])
    done = replay(pipeline, "--at-once", "1")
    assert [done.log(name) for name in ("a", "b", "c")] == ["1\n"] * 3


def test_a_stopped_replay_ends_its_containers_and_says_so(pipeline, tmp_path):
    file, started = tmp_path / "tiny.yaml", tmp_path / "started"
    script = "import os,pathlib,sys,time; pathlib.Path(sys.argv[1]).write_text(str(os.getpid())); time.sleep(600)"
    pipeline.add("sleep", script, args=[str(started)])
    file.write_text(pipeline.text())
    words = [sys.executable, "-m", "pipeline.cli.main", "replay", str(file), "--out", str(tmp_path / "out")]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as process:
        while not (started.exists() and started.read_text()) and process.poll() is None:
            time.sleep(0.02)
        process.send_signal(signal.SIGTERM)
        printed, _ = process.communicate(timeout=60)
    assert process.returncode == 130
    assert "Interrupted." in printed
    with pytest.raises(ProcessLookupError):
        os.kill(int(started.read_text()), 0)
