"""The console script, before any model is loaded."""

from __future__ import annotations

import subprocess
import sys
from importlib import metadata

import pytest

from serving.model_server import main as entry


def test_wrong_flags_are_exit_code_2_and_help_is_0(capsys):
    assert entry.main(["--prot=1"]) == 2
    assert "unknown flag: --prot. Did you mean 'port'?" in capsys.readouterr().err
    assert entry.main(["--help"]) == 0
    assert "--rest_api_port" in capsys.readouterr().out


def test_the_version_is_the_projects_and_tensorflows(capsys):
    assert entry.main(["--version"]) == 0
    project, tensorflow = capsys.readouterr().out.splitlines()
    assert project == f"earthloop-model-server {metadata.version('earthloop')}"
    assert tensorflow == f"TensorFlow {metadata.version('tensorflow')}"


@pytest.mark.parametrize("flag", ["--help", "--version", "--nonsense"])
def test_what_needs_no_model_does_not_wait_for_tensorflow(flag):
    code = (
        "import sys; from serving.model_server.main import main\n"
        f"main([{flag!r}]); sys.exit('tensorflow' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert "oneDNN" not in done.stderr
