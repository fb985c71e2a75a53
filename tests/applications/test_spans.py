"""Patterns of spans: which folders they name, what they refuse, and that TFX means the same by them."""

from __future__ import annotations

import datetime
import pathlib
import re
import shutil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from applications import spans
from applications.errors import ConfigError, DataError, DataPathError, EarthloopError, UnknownName, UsageError
from applications.settings import SpanSettings
from applications.spans import Span

ALL = SpanSettings()


def make(root, *folders):
    for folder in folders:
        (root / folder).mkdir(parents=True)
        (root / folder / "a.txt").write_text("x")


def found(pattern, last=0):
    return [(span.number, span.version) for span in spans.resolve(str(pattern), SpanSettings(last=last))]


def error(pattern):
    with pytest.raises(EarthloopError) as caught:
        spans.resolve(str(pattern), ALL)
    return caught.value


@pytest.fixture
def field(tmp_path):
    make(tmp_path / "field", "1/v1", "2/v1", "2/v12", "2/v9", "10/v1", "notes/v1", "11x/v1")
    (tmp_path / "field" / "7").write_text("a file")
    return tmp_path / "field"


def test_a_plain_path_is_one_span_whether_or_not_it_is_there():
    assert spans.resolve("chips/a b", SpanSettings(last=3)) == (Span(0, 0, "chips/a b"),)
    assert not spans.is_pattern("chips/a b")
    assert spans.root("s3://b/chips/") == "s3://b/chips"
    assert spans.folders("chips", spans.resolve("chips", ALL)) == {"": "chips"}
    assert spans.words("chips", spans.resolve("chips", ALL)) == ""


def test_of_each_span_the_newest_version_is_read_in_the_order_of_numbers(field):
    pattern = f"{field}/{{SPAN}}/v{{VERSION}}"
    assert spans.resolve(pattern, ALL) == (
        Span(1, 1, f"{field}/1/v1"),
        Span(2, 12, f"{field}/2/v12"),
        Span(10, 1, f"{field}/10/v1"),
    )
    assert list(spans.folders(pattern, spans.resolve(pattern, ALL))) == ["1/v1", "2/v12", "10/v1"]
    assert spans.root(pattern) == str(field)


def test_only_the_newest_spans_are_read_where_so_many_are_wanted(field):
    assert found(field / "{SPAN}", last=2) == [(2, 0), (10, 0)]
    assert found(field / "{SPAN}", last=99) == [(1, 0), (2, 0), (10, 0)]
    with pytest.raises(ConfigError, match=r"spans\.last must be 0 \(all\) or more spans, got -1"):
        SpanSettings(last=-1)


def test_a_width_takes_exactly_so_many_digits(field):
    assert found(field / "{SPAN:2}") == [(10, 0)]


def test_a_number_that_no_artifact_can_hold_is_no_span(tmp_path):
    for name in ("2", "9" * 18, "9" * 19):
        (tmp_path / name).mkdir()
    found = spans.resolve(f"{tmp_path}/{{SPAN}}", SpanSettings())
    assert [span.number for span in found] == [2, int("9" * 18)]


def test_dates_are_days_since_1970_in_one_name_or_in_nested_folders(tmp_path):
    make(tmp_path, "cam/2026-02-28", "cam/2026-03-01", "cam/1970-01-01", "cam/2026-3-2", "days/2026/02/28")
    number = (datetime.date(2026, 2, 28) - datetime.date(1970, 1, 1)).days
    assert found(tmp_path / "cam" / "{YYYY}-{MM}-{DD}") == [(0, 0), (number, 0), (number + 1, 0)]
    assert found(tmp_path / "days" / "{YYYY}" / "{MM}" / "{DD}") == [(number, 0)]


def test_a_version_may_stand_above_its_span_and_fixed_names_around_them(tmp_path):
    make(tmp_path, "v1/day-3/chips", "v2/day-3/chips", "v2/day-4/other")
    pattern = f"{tmp_path}/v{{VERSION}}/day-{{SPAN}}/chips/"
    assert spans.resolve(pattern, ALL) == (Span(3, 2, f"{tmp_path}/v2/day-3/chips"),)
    assert spans.name(pattern, Span(3, 2, f"{tmp_path}/v2/day-3/chips")) == "v2/day-3/chips"


@pytest.mark.parametrize("prefix", ["", "./", ".//", "../here/"])
def test_a_pattern_may_start_in_the_working_folder(tmp_path, monkeypatch, prefix):
    make(tmp_path / "here", "3", "4")
    monkeypatch.chdir(tmp_path / "here")
    pattern = f"{prefix}{{SPAN}}"
    resolved = spans.resolve(pattern, ALL)
    assert [pathlib.Path(span.path).resolve() for span in resolved] == [tmp_path / "here/3", tmp_path / "here/4"]
    assert list(spans.folders(pattern, resolved)) == ["3", "4"]


def test_the_words_say_which_spans_these_are(tmp_path):
    def words(pattern, *numbers):
        return spans.words(pattern, [Span(number, 0, "") for number in numbers])

    assert words("f/{SPAN}", 4) == "span 4 of f/{SPAN}"
    assert words("f/{SPAN:3}", 2, 3, 4) == "spans 2 to 4 of f/{SPAN:3}"
    assert words("f/{SPAN}", 2, 7) == "2 spans from 2 to 7 of f/{SPAN}"
    assert words("{YYYY}{MM}{DD}", 20454, 20455) == "spans 2026-01-01 to 2026-01-02 of {YYYY}{MM}{DD}"


@pytest.mark.parametrize(
    ("pattern", "told"),
    [
        (
            "f/{SPN}",
            "no pattern word '{SPN}'; there are: {SPAN}, {VERSION}, {YYYY}, {MM}, {DD}. Did you mean '{SPAN}'?",
        ),
        ("f/{span}", "Did you mean '{SPAN}'?"),
        ("f/{SPAN}/{YYYY}-{MM}-{DD}", "{SPAN} and {YYYY} both say which span a folder is"),
        ("f/{VERSION}", "{VERSION} is a version of a span, and the span is missing"),
        ("f/{SPAN}/{SPAN}", "{SPAN} stands in it twice"),
        ("f/{SPAN}/{VERSION}/{VERSION:2}", "{VERSION} stands in it twice"),
        ("f/{YYYY}-{DD}", "a date takes {YYYY}, {MM} and {DD}, and {MM} is missing"),
        ("f/{SPAN:x}", "{SPAN:x} has no such width"),
        ("f/{SPAN:0}", "{SPAN:0} has no such width"),
        ("f/{YYYY:2}-{MM}-{DD}", "{YYYY:2} has no such width"),
        ("f/{SPAN}{VERSION}", "nothing tells where one number ends and the next begins"),
        ("s3://{SPAN}/chips", "the bucket must have a name of its own"),
    ],
)
def test_a_pattern_that_means_nothing_is_refused_before_anything_is_listed(pattern, told):
    refused = error(pattern)
    assert isinstance(refused, UsageError)
    assert told in str(refused)
    assert repr(pattern) in str(refused)
    assert isinstance(refused, UnknownName) == ("no pattern word" in str(refused))


@pytest.mark.parametrize(
    ("folders", "pattern"),
    [(("3", "03"), "{SPAN}"), (("3/v1", "3/v01"), "{SPAN}/v{VERSION}"), (("3/v1", "03/v2"), "{SPAN}/v{VERSION}")],
)
def test_two_folders_of_the_same_span_are_refused(tmp_path, folders, pattern):
    make(tmp_path, *folders)
    refused = error(tmp_path / pattern)
    assert isinstance(refused, DataError)
    assert all(repr(f"{tmp_path}/{folder}") in str(refused) for folder in folders)
    assert "are both span 3 of" in str(refused)


def test_a_date_that_does_not_exist_is_refused(tmp_path):
    make(tmp_path, "2026-02-28", "2026-02-31")
    with pytest.raises(DataError, match=r"must be dates, but '.*/2026-02-31' is none \(day is out of range"):
        spans.resolve(f"{tmp_path}/{{YYYY}}-{{MM}}-{{DD}}", ALL)


def test_where_nothing_matches_it_is_told_what_lies_there_instead(field):
    refused = error(field / "{SPAN}" / "w{VERSION}")
    assert isinstance(refused, DataPathError)
    assert f"'{field}/1' has no folder 'w{{VERSION}}': it holds v1. Check --data." in str(refused)
    assert "it holds 1, 10, 11x, 2, 7 and 1 more" in str(error(field / "day-{SPAN}"))
    (field.parent / "empty").mkdir()
    assert "it is empty" in str(error(field.parent / "empty" / "{SPAN}"))


def test_a_missing_root_is_named_with_the_near_one(field):
    assert f"there is no '{field.parent}/feild'. Did you mean 'field'?" in str(error(field.parent / "feild" / "{SPAN}"))


@pytest.fixture
def bucket(monkeypatch):
    """Puts files into an object store that lists them by Beam's own reading of a glob."""
    from apache_beam.io.filesystem import FileMetadata, FileSystem

    def fill(*paths):
        def match(pattern):
            expression = re.compile(FileSystem.translate_pattern(pattern))
            return [FileMetadata(path, 1) for path in paths if expression.match(path)]

        monkeypatch.setattr("applications.remote.match", match)

    return fill


def test_an_object_store_is_read_by_the_files_below_its_folders(bucket):
    bucket(
        "s3://b/f/2/v1/x/a.jpg", "s3://b/f/2/v3/x/a.jpg", "s3://b/f/10/v1/a.jpg", "s3://b/f/x/v1/a.jpg", "s3://b/f/3"
    )
    pattern = "s3://b/f/{SPAN}/v{VERSION}"
    assert spans.resolve(pattern, ALL) == (Span(2, 3, "s3://b/f/2/v3"), Span(10, 1, "s3://b/f/10/v1"))
    assert list(spans.folders(pattern, spans.resolve(pattern, ALL))) == ["2/v3", "10/v1"]
    refused = error("s3://b/f/day-{SPAN}")
    assert "'s3://b/f' has no folder like that: it holds 10, 2, 3, x. Check --data." in str(refused)


@given(st.dates())
def test_a_date_comes_back_from_its_number(date):
    number = spans.date_number(date.year, date.month, date.day)
    assert spans.number_date(number) == date
    assert spans.number_date(number + 1) - date == datetime.timedelta(days=1) if date.year < 9999 else True


@given(
    numbers=st.sets(st.integers(0, 10**6), min_size=1, max_size=8),
    last=st.integers(0, 10),
    width=st.sampled_from(["", ":7"]),
)
def test_the_window_is_the_last_so_many_numbers_in_order(tmp_path_factory, numbers, last, width):
    top = tmp_path_factory.mktemp("window")
    for number in numbers:
        (top / (f"{number:07d}" if width else str(number))).mkdir()
    assert [number for number, _ in found(f"{top}/{{SPAN{width}}}", last)] == sorted(numbers)[-last:]
    shutil.rmtree(top)


@pytest.mark.parametrize(
    ("pattern", "folders"),
    [
        ("{SPAN}", ("1", "9", "10")),
        ("{SPAN:3}", ("001", "012")),
        ("{SPAN}/v{VERSION}", ("1/v9", "2/v3", "2/v12")),
        ("day-{SPAN:2}/{VERSION:2}", ("day-04/01", "day-04/03")),
        ("{YYYY}-{MM}-{DD}", ("2026-02-28", "2026-03-01", "2025-12-31")),
        ("{YYYY}/{MM}/{DD}/{VERSION}", ("1970/01/01/1", "2026/11/20/2")),
    ],
)
def test_tfx_means_the_same_newest_span_and_version(tmp_path, pattern, folders):
    utils = pytest.importorskip("tfx.components.example_gen.utils")
    from tfx.proto import example_gen_pb2

    make(tmp_path, *folders)
    split = example_gen_pb2.Input.Split(name="all", pattern=f"{pattern}/*")
    _, number, version = utils.calculate_splits_fingerprint_span_and_version(str(tmp_path), [split])
    newest = spans.resolve(f"{tmp_path}/{pattern}", ALL)[-1]
    assert (newest.number, newest.version) == (number, version or 0)
    assert utils.span_number_to_date(number) == spans.number_date(number).timetuple()[:3]
