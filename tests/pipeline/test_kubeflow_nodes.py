from __future__ import annotations

import pytest

from pipeline.kubeflow_nodes import Nodes, fnv1a

W = "tree-x7k2p"


def nodes(*full, displayed):
    return Nodes(displayed, [f"{W}-{fnv1a(f'{W}.{name}')}" for name in full])


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("", 0x811C9DC5),
        ("a", 0xE40C292C),
        ("foobar", 0xBF9CF968),
        ("fetch-and-store-pipeline-tmxwj.root-driver", 3443954210),  # of a pod that `kubectl get pods` has shown
    ],
)
def test_the_hash_is_fnv_1a(text, number):
    assert fnv1a(text) == number


def test_a_task_with_retries_has_a_pod_for_each_attempt():
    found = nodes(
        *("root-driver", "root", "root.train-driver", "root.train", "root.train.executor"),
        *("root.train.executor(0)", "root.train.executor(1)"),
        displayed=["root", "root-driver", "train", "train-driver", "executor", "executor(0)", "executor(1)"],
    )
    assert found.workflow == W
    assert [(pod.title, pod.names[0]) for pod in found.pods("train")] == [
        (f"train, attempt {n + 1}", f"{W}-retry-system-container-impl-{fnv1a(f'{W}.root.train.executor({n})')}")
        for n in (0, 1)
    ]
    assert found.pods("train")[0].names[-1] == f"{W}-{fnv1a(f'{W}.root.train.executor(0)')}"  # clusters with old names
    assert found.pods("root") == []


def test_a_task_in_a_dag_behind_a_hook_is_found():
    hook = "root.stages.onExit"
    found = nodes(
        *("root", "root.stages", hook, f"{hook}.goodbye", f"{hook}.goodbye-driver", f"{hook}.goodbye.executor"),
        displayed=["root", "stages", "stages.onExit", "goodbye", "goodbye-driver"],
    )
    [pod] = found.pods("goodbye")
    assert pod.title == "goodbye"
    assert pod.names[0] == f"{W}-system-container-impl-{fnv1a(f'{W}.{hook}.goodbye.executor')}"


def test_a_task_that_never_began_has_the_log_of_its_driver_and_an_importer_its_own():
    found = nodes(
        *("root", "root.train", "root.train-driver", "root.import"),
        displayed=["root", "train", "train-driver", "import"],
    )
    number = fnv1a(f"{W}.root.train-driver")
    [driver], [itself], [importer] = found.pods("train"), found.pods("train-driver"), found.pods("import")
    assert (driver.title, driver.names[0]) == ("train, driver", f"{W}-system-container-driver-{number}")
    assert (itself.title, itself.names) == ("train-driver", driver.names)
    assert importer.names[0] == f"{W}-system-importer-{fnv1a(f'{W}.root.import')}"


def test_without_ids_nothing_is_known():
    found = Nodes(["train"], [])
    assert (found.workflow, found.pods("train")) == ("", [])


def test_a_long_name_is_cut_as_argo_cuts_it():
    long = "w" * 250
    [pod] = Nodes(["import"], [f"{long}-{fnv1a(f'{long}.import')}"]).pods("import")
    assert len(pod.names[0].rpartition("-")[0]) == 242
