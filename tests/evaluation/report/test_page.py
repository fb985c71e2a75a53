"""The page: everything is on it, nothing breaks it, and a browser shows it whole on a phone."""

from __future__ import annotations

import html.parser
import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from evaluation.report import page

SECTIONS = [entry for rows in page.GROUPS.values() for entry in rows]
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-component-update",
    "--disable-background-networking", "--disable-sync", "--hide-scrollbars", "--allow-file-access-from-files",
    "--enable-logging=stderr", "--v=0",
)  # fmt: skip

# Loads the page in a frame of a phone's width and writes what it measures where --dump-dom prints it.
PROBE = """<!doctype html><title>probe</title><body>
<iframe id=f style="border:0;width:{width}px;height:800px" src="report.html"></iframe>
<pre id=out></pre><script>
document.getElementById("f").onload = event => {{
  const page = event.target.contentDocument, root = page.documentElement;
  page.querySelectorAll("details").forEach(entry => entry.open = true);
  const shown = [...page.querySelectorAll("svg, img")].map(entry => entry.getBoundingClientRect());
  document.getElementById("out").textContent = JSON.stringify({{
    width: root.clientWidth, scroll: root.scrollWidth, figures: shown.length,
    empty: shown.filter(box => !(box.width > 0 && box.height > 0)).length,
    broken: [...page.images].filter(image => image.complete && !image.naturalWidth).length,
    sections: Object.fromEntries([...page.querySelectorAll("section")].map(
      entry => [entry.id, [entry.innerText.length, Math.round(entry.getBoundingClientRect().height)]])),
  }});
}};
</script>"""


class Outline(html.parser.HTMLParser):
    """Collects headings, ids, links and addresses, and notes tags that are not closed in order."""

    VOID = frozenset({"meta", "link", "img", "br", "wbr"})

    def __init__(self, text: str) -> None:
        super().__init__()
        self.headings: list[int] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.addresses: list[str] = []
        self.unlabelled: list[str] = []
        self.open: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        if re.fullmatch("h[1-6]", tag):
            self.headings.append(int(tag[1]))
        self.ids += [found["id"] or ""] if "id" in found else []
        self.links += [found["href"] or ""] if tag == "a" else []
        self.addresses += [found[key] or "" for key in ("src", "href", "action", "srcset") if key in found]
        if (tag == "img" and "alt" not in found) or (tag == "svg" and not ({"aria-label", "aria-hidden"} & set(found))):
            self.unlabelled.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in self.VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag


def section_of(text: str, name: str) -> str:
    found = re.search(rf'<section id="{name}".*?</section>', text, re.DOTALL)
    assert found is not None, name
    return found[0]


def test_page_has_every_section_with_its_content(report: dict[str, Any]) -> None:
    text = page.render(report)
    assert [name for name in Outline(text).ids if name in {entry[0] for entry in SECTIONS}] == [
        entry[0] for entry in SECTIONS
    ]
    assert all('class="missing"' not in section_of(text, name) for name, *_ in SECTIONS)


def test_the_spans_that_were_read_are_named_with_the_statistics(report: dict[str, Any]) -> None:
    spans = [{"number": number, "version": 1, "path": "", "name": f"{number}/v1"} for number in (2, 10)]
    report["window"] = {"pattern": "field/{SPAN}/v{VERSION}", "spans": spans}
    text = re.sub(r"<[^>]+>", "", section_of(page.render(report), "statistics"))
    assert "Read: 2 spans of field/{SPAN}/v{VERSION}, oldest first: 2/v1, 10/v1." in text
    report["window"]["spans"] = [{"number": 0, "version": 0, "path": "chips", "name": ""}]
    assert "Read:" not in section_of(page.render(report), "statistics")


def test_markup_is_well_formed_with_headings_in_order_and_links_that_lead_somewhere(report: dict[str, Any]) -> None:
    outline = Outline(page.render(report))
    assert outline.open == []
    assert outline.headings[0] == 1
    assert all(after - before <= 1 for before, after in zip(outline.headings, outline.headings[1:], strict=False))
    assert len(outline.ids) == len(set(outline.ids))
    assert all(link.startswith("#") and link[1:] in outline.ids for link in outline.links)
    assert outline.unlabelled == []


def test_page_asks_nothing_of_the_network_and_has_no_script(report: dict[str, Any]) -> None:
    text = page.render(report)
    assert all(address.startswith(("#", "data:")) for address in Outline(text).addresses)
    assert "<script" not in text
    assert not re.search(r"url\((?!#)", text)
    assert "@import" not in text


def test_page_shows_the_verdict_and_the_figures_of_the_report(report: dict[str, Any]) -> None:
    text = page.render(report)
    assert "Blessed" in section_of(text, "verdict")
    assert report["verdict"]["sentence"] in section_of(text, "verdict")
    assert section_of(text, "verdict").count("passed") == 4
    found = report["metrics"]["metrics"]["accuracy"]
    assert f"{found['low']:.3f} to {found['high']:.3f}" in section_of(text, "key-figures")
    assert section_of(text, "classes").count("<img") == len(report["application"]["classes"])
    assert section_of(text, "errors").count('src="data:image/jpeg;base64,') == len(report["metrics"]["worst_errors"])
    assert "3,182 J (estimate)" in section_of(text, "time")
    assert "augment:" in section_of(text, "configuration")
    assert "Europe only" in section_of(text, "card")
    assert "2 cores, 4.0 GiB memory" in section_of(text, "software")


def test_file_names_cannot_become_markup(report: dict[str, Any]) -> None:
    evil = "<script>alert(1)</script>\"'&"
    report["metrics"]["worst_errors"][0]["origin"] = evil
    report["metrics"]["per_class"][0]["label"] = evil
    report["application"]["classes"][0] = evil
    report["verdict"]["sentence"] = evil
    report["statistics"]["features"][-1]["splits"]["test"]["top"] = [[evil, 3]]
    report["run"]["stages"][0]["error"] = evil
    report["configuration"]["train"]["model"] = evil
    text = page.render(report)
    assert "<script" not in text
    assert "&lt;script&gt;alert(1)" in section_of(text, "quarantine")
    assert Outline(text).open == []


def test_pictures_that_are_not_images_are_not_shown(report: dict[str, Any]) -> None:
    sha256 = report["metrics"]["worst_errors"][0]["sha256"]
    for address in (
        "https://example.org/a.png",
        "javascript:alert(1)",
        'data:image/png;base64,"onerror="x',
        "data:text/html;base64,AAAA",
    ):
        report["pictures"]["items"][sha256] = address
        assert address not in page.render(report)
    assert "picture not kept" in section_of(page.render(report), "errors")


def test_same_report_gives_the_same_bytes(report: dict[str, Any]) -> None:
    again = json.loads(json.dumps(report))
    assert page.render(report) == page.render(again)


def test_report_of_a_failed_run_says_what_stopped_it_in_every_section_that_is_missing() -> None:
    stages = [
        {"name": "ingest", "state": "done", "wall_s": 3.0},
        {
            "name": "train",
            "state": "failed",
            "error": "the loss is NaN in epoch 3; lower train.learning_rate.",
            "wall_s": 8.0,
        },
        {"name": "bless", "state": "waiting"},
    ]
    text = page.render({"application": {"name": "satellite/landcover"}, "run": {"state": "failed", "stages": stages}})
    assert "The stage train failed: the loss is NaN in epoch 3; lower train.learning_rate." in text
    assert "The stage train failed, so this part was not made." in section_of(text, "training")
    assert "The run stopped before bless: the stage train failed." in section_of(text, "verdict")
    assert "The stage ingest ended, but its result cannot be read" in section_of(text, "quarantine")
    assert Outline(text).open == []


def test_empty_report_has_every_section_and_a_sentence_in_each() -> None:
    text = page.render({})
    for name, *_ in SECTIONS:
        assert 'class="missing"' in section_of(text, name), name


@pytest.mark.parametrize(
    "key", ["verdict", "metrics", "statistics", "anomalies", "audit", "quarantine", "training", "serving_check"]
)
def test_part_that_is_missing_leaves_the_others_whole(report: dict[str, Any], key: str) -> None:
    report[key] = None
    text = page.render(report)
    ids = [name for name, _, needs, _ in SECTIONS if needs == key]
    assert [name for name, *_ in SECTIONS if 'class="missing"' in section_of(text, name)] == ids


def test_parts_with_gaps_are_drawn_without_them(report: dict[str, Any]) -> None:
    report["metrics"]["baseline"], report["metrics"]["slices"], report["metrics"]["worst_errors"] = None, [], []
    report["metrics"]["per_class"][0]["recall"] = {"value": None, "low": None, "high": None}
    report["metrics"]["calibration"]["bins"] = []
    report["training"]["epochs"] = [{"epoch": 1, "loss": float("nan"), "val_loss": None}]
    report["audit"]["random_split_gap"] = None
    report["baseline"] = {"reason": "no version to compare with"}
    text = page.render(report)
    assert "There was no earlier version to compare with (no version to compare with)." in section_of(text, "baseline")
    assert "No test item was answered wrongly." in section_of(text, "errors")
    assert "nan" not in re.sub(r"data:image[^\"]*", "", text).lower().replace("unanswered", "")


def test_a_comparison_on_part_of_the_test_items_says_so(report: dict[str, Any]) -> None:
    baseline = report["metrics"]["baseline"]
    baseline["compared_items"] = report["metrics"]["items"] - 14
    baseline["candidate"] = {name: {"value": 0.4321, "low": 0.4, "high": 0.5} for name in baseline["difference"]}
    text = section_of(page.render(report), "baseline")
    assert "The other 14 test items are left out: the earlier version has learnt from them" in text
    assert text.count("0.432") == len(baseline["difference"])


def test_a_baseline_that_was_not_compared_comes_with_the_reason(report: dict[str, Any]) -> None:
    report["metrics"]["baseline"] = None
    report["metrics"]["baseline_note"] = "the earlier model (version 3) knows other classes"
    assert "The earlier model (version 3) knows other classes." in section_of(page.render(report), "baseline")


def test_rendering_imports_neither_tensorflow_nor_a_plotting_library() -> None:
    code = (
        "import sys; from evaluation.report import page, collect; page.render({});"
        "print([name for name in ('tensorflow', 'tfx', 'apache_beam', 'matplotlib', 'PIL') if name in sys.modules])"
    )
    root = Path(page.__file__).parents[2]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


@pytest.mark.skipif(CHROMIUM is None, reason="needs Chromium: apt-get install chromium")
@pytest.mark.parametrize("width", [360, 1280])
def test_browser_shows_every_figure_and_nothing_wider_than_the_screen(
    report: dict[str, Any], tmp_path: Path, width: int
) -> None:
    (tmp_path / "report.html").write_text(page.render(report), encoding="utf-8")
    (tmp_path / "probe.html").write_text(PROBE.format(width=width), encoding="utf-8")
    command = [str(CHROMIUM), *FLAGS, f"--user-data-dir={tmp_path / 'profile'}", "--window-size=1400,900", "--dump-dom"]
    done = subprocess.run(
        [*command, f"file://{tmp_path}/probe.html"], capture_output=True, text=True, timeout=60, check=True
    )
    found = re.search(r'<pre id="out">(.*?)</pre>', done.stdout, re.DOTALL)
    assert found is not None, done.stderr[-2000:]
    seen = json.loads(found[1])
    assert seen["scroll"] <= seen["width"] == width
    assert seen["figures"] > 80
    assert seen["empty"] == 0
    assert seen["broken"] == 0
    assert set(seen["sections"]) == {name for name, *_ in SECTIONS}
    assert all(letters > 40 and height > 60 for letters, height in seen["sections"].values())
    assert "CONSOLE" not in done.stderr, [line for line in done.stderr.splitlines() if "CONSOLE" in line]


def test_page_of_a_usual_report_stays_small(report: dict[str, Any]) -> None:
    assert len(page.render(report).encode()) < 1_500_000
