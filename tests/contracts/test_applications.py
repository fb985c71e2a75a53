"""What every application must keep to; a new folder is picked up by itself."""

from __future__ import annotations

import importlib
import json
import subprocess
import sys

import pytest

from applications import discovery
from pipeline import config as configuration
from schemas import features

NAMES = discovery.names()
CARD_HEADINGS = ("origin", "licence", "citation", "checksum", "units", "splits", "known gaps")

pytestmark = pytest.mark.parametrize("name", NAMES)


@pytest.fixture
def application(name):
    return discovery.load(name)


@pytest.fixture
def schema(application, project):
    text_format = importlib.import_module("google.protobuf.text_format")
    schema_pb2 = importlib.import_module("tensorflow_metadata.proto.v0.schema_pb2")
    return text_format.Parse((project / application.schema_path).read_text(encoding="utf-8"), schema_pb2.Schema())


def test_the_spec_loads_and_its_configuration_is_valid(application, name):
    assert application.name == name
    config = configuration.resolve(application)
    assert configuration.from_dict(configuration.to_dict(config)) == config


def test_the_dotted_names_lead_somewhere(application, project):
    assert discovery.source(application) is not None
    assert (project / f"trainer/{application.task}.py").is_file()
    assert (project / f"transform/{application.modality}.py").is_file()


def test_spec_and_source_import_nothing_heavy(name, project):
    probe = (
        "import json, sys; from applications import discovery;"
        f"discovery.source(discovery.load({name!r})); print(json.dumps(sorted(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", probe], cwd=project, capture_output=True, text=True, check=True)
    assert not {"tensorflow", "tfx", "apache_beam", "keras"} & set(json.loads(done.stdout))


def test_the_data_card_has_its_headings(name, project):
    card = (project / f"applications/{name}/README.md").read_text(encoding="utf-8")
    headings = [line.lstrip("# ").lower() for line in card.splitlines() if line.startswith("#")]
    missing = [word for word in CARD_HEADINGS if not any(word in heading for heading in headings)]
    assert missing == []


def test_the_schema_has_the_application_s_classes_and_known_features(application, schema):
    by_name = {feature.name: feature for feature in schema.feature}
    known = {value for key, value in vars(features).items() if key.isupper() and isinstance(value, str)}
    assert {features.IMAGE, features.LABEL, features.ORIGIN} <= set(by_name) <= known
    label = by_name[features.LABEL]
    domains = {domain.name: domain for domain in schema.string_domain}
    values = (domains[label.domain] if label.domain else label.string_domain).value
    assert sorted(values) == sorted(application.classes)


def test_every_slice_is_a_feature_of_the_schema(application, schema):
    names = {feature.name for feature in schema.feature}
    assert [feature for slice_ in application.slices for feature in slice_ if feature not in names] == []


def test_a_synthetic_sample_has_the_layout_that_is_read(application, tmp_path):
    source = discovery.source(application)
    source.synthesize(str(tmp_path / "a"), items=12 * len(application.classes), seed=4)
    inventory = source.inspect(str(tmp_path / "a"))
    assert tuple(inventory.items_by_class) == application.classes
    assert min(inventory.items_by_class.values()) >= 3
    assert json.loads((tmp_path / "a/truth.json").read_text())


def test_the_same_seed_gives_the_same_files(application, tmp_path):
    found = []
    for folder, seed in (("a", 4), ("b", 4), ("c", 5)):
        discovery.source(application).synthesize(str(tmp_path / folder), items=8 * len(application.classes), seed=seed)
        files = sorted(path for path in (tmp_path / folder).rglob("*") if path.is_file())
        found.append({str(path.relative_to(tmp_path / folder)): path.read_bytes() for path in files})
    assert found[0] == found[1]
    assert found[0] != found[2]
