from __future__ import annotations

import os

import click
import pytest

from pipeline.cli.options import DEBUG
from pipeline.cli.quiet import without_startup_lines

SAID = (
    b"WARNING: All log messages before absl::InitializeLog() is called are written to STDERR\n"
    b"I0000 00:00:1795255819.446483    1864 port.cc:153] oneDNN custom operations are on.\n"
    b"E0000 00:00:1795266671.318024   16663 cuda_platform.cc:52] failed call to cuInit: INTERNAL: CUDA error: "
    b"Failed call to cuInit: UNKNOWN ERROR (303)\n"
    b"the disk is full\n"
)


def speak(*, debug=False, fails=False):
    with click.Context(click.Command("x")) as context:
        context.meta[DEBUG] = debug
        with without_startup_lines():
            os.write(2, SAID)
            if fails:
                raise ValueError("no")


def test_chatter_is_dropped_and_the_rest_is_handed_on(capfd):
    speak()
    assert capfd.readouterr() == ("", "the disk is full\n")


def test_with_debug_everything_is_seen(capfd):
    speak(debug=True)
    assert capfd.readouterr().err == SAID.decode()


def test_what_led_to_an_error_is_seen(capfd):
    with pytest.raises(ValueError, match="no"):
        speak(fails=True)
    assert capfd.readouterr().err == SAID.decode()
