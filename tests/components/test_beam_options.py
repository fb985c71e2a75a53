"""Options that are parsed once say what Beam's own say."""

from __future__ import annotations

from apache_beam.internal import pickler
from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions, TypeOptions

from components.beam_options import OptionsOnce

FLAGS = ["--runner=FnApiRunner", "--no_pipeline_type_check"]


def test_a_view_is_made_once_and_says_what_beams_own_says() -> None:
    once, own = OptionsOnce(FLAGS), PipelineOptions(FLAGS)
    assert once.view_as(TypeOptions) is once.view_as(TypeOptions)
    for kind in (StandardOptions, TypeOptions):
        assert str(once.view_as(kind)) == str(own.view_as(kind))
    assert once.get_all_options() == own.get_all_options()


def test_what_is_set_in_a_view_is_seen_in_all() -> None:
    options = OptionsOnce(FLAGS)
    options.view_as(TypeOptions).pipeline_type_check = True
    assert options.view_as(TypeOptions).pipeline_type_check is True
    assert options.get_all_options()["pipeline_type_check"] is True


def test_options_go_to_a_worker_without_their_views() -> None:
    options = OptionsOnce(FLAGS)
    options.view_as(TypeOptions)
    sent = pickler.loads(pickler.dumps(options))
    assert "_views" not in sent.__dict__
    assert sent.view_as(StandardOptions).runner == "FnApiRunner"
