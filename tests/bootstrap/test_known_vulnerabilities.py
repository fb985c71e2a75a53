from __future__ import annotations

import datetime

import pytest

from bootstrap import known_vulnerabilities
from bootstrap.console import SetupError
from bootstrap.known_vulnerabilities import Finding, Known

TODAY = datetime.date(2026, 11, 1)
FOUND = Finding(package="protobuf", version="6.1", ids=("GHSA-1", "CVE-2026-1"), fixed_in=("6.2",))


def known(**changes):
    given = {"id": "CVE-2026-1", "package": "Protobuf", "reason": "no server of ours parses it.", "expires": TODAY}
    return Known(**{**given, **changes})


def judged(findings, allowed):
    return known_vulnerabilities.judge(findings, allowed, TODAY)


def test_nothing_found_is_said():
    assert judged([], []).lines == ("no known vulnerabilities",)


def test_a_finding_is_refused_with_the_version_that_mends_it():
    verdict = judged([FOUND, FOUND], [])
    assert verdict.refused == 1
    assert verdict.lines[0] == "protobuf 6.1: GHSA-1 = CVE-2026-1: fixed in 6.2"


def test_a_finding_is_let_pass_by_any_of_its_names_to_the_last_day():
    verdict = judged([FOUND], [known()])
    assert verdict.refused == 0
    assert verdict.lines == (
        "protobuf 6.1: GHSA-1 = CVE-2026-1 is let pass until 2026-11-01: no server of ours parses it.",
    )


def test_the_day_after_it_is_refused_again():
    verdict = judged([FOUND], [known(expires=TODAY - datetime.timedelta(days=1))])
    assert verdict.refused == 1
    assert verdict.lines[0].endswith("fixed in 6.2; it was let pass until 2026-10-31")


@pytest.mark.parametrize("changes", [{"id": "CVE-2026-2"}, {"package": "grpcio"}])
def test_an_entry_for_something_else_lets_nothing_pass_and_should_go(changes):
    verdict = judged([FOUND], [known(**changes)])
    assert verdict.refused == 1
    assert verdict.lines[1].endswith("is let pass but not found any more; take it out of the list")


def test_the_list_of_the_project_can_be_read(project):
    assert isinstance(known_vulnerabilities.read(project / "requirements" / "known-vulnerabilities.toml"), list)


def test_an_entry_is_read(tmp_path):
    file = tmp_path / "known.toml"
    file.write_text('[[known]]\nid = "CVE-2026-1"\npackage = "x"\nreason = "why"\nexpires = 2026-12-01\n')
    assert known_vulnerabilities.read(file) == [
        Known(id="CVE-2026-1", package="x", reason="why", expires=datetime.date(2026, 12, 1))
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('[[known]]\nid = "A"\npackage = "x"\nexpires = 2026-12-01\n', "needs expires, id, package, reason"),
        ('[[known]]\nid = "A"\npackage = "x"\nreason = ""\nexpires = 2026-12-01\n', "none empty"),
        ('[[known]]\nid = "A"\npackage = "x"\nreason = "r"\nexpires = "soon"\n', "expires a day"),
        ("[[know]]\n", "and nothing else, got know"),
        ("known = [\n", "must be TOML"),
    ],
)
def test_an_entry_without_reason_or_end_is_refused(tmp_path, text, told):
    file = tmp_path / "known.toml"
    file.write_text(text)
    with pytest.raises(SetupError, match=told):
        known_vulnerabilities.read(file)
