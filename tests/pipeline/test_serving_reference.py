from __future__ import annotations

import pytest

from pipeline.serving_reference import BEGIN, END, with_flags
from serving.model_server.flags import FLAGS


def test_the_table_has_a_row_for_every_flag_and_leaves_the_rest_of_the_page():
    page = with_flags(f"above\n{BEGIN}\na stale row\n{END}\nbelow\n")

    assert page.startswith("above\n")
    assert page.endswith("\nbelow\n")
    assert "a stale row" not in page
    assert {line.split("`")[1] for line in page.splitlines() if line.startswith("| `--")} == {
        f"--{name}" for name in FLAGS
    }
    assert "| `--rest_api_port` | `0` | honoured | TCP port for REST; 0 for none |" in page
    assert "| `--host` | `127.0.0.1` | ours |" in page


def test_a_renewed_page_stays_as_it_is():
    page = with_flags(f"{BEGIN}\n{END}")

    assert with_flags(page) == page


def test_a_page_without_marks_is_refused():
    with pytest.raises(ValueError, match="docs/serving.md must hold the lines"):
        with_flags("nothing")
