"""The curated schemas agree with the specs, and synthetic and real items fit them."""

from __future__ import annotations

import numpy as np
import pytest

from applications import discovery
from schemas import features

KEYS = {
    features.IMAGE,
    features.LABEL,
    features.LABEL_ID,
    features.GROUP,
    features.ORIGIN,
    features.SHA256,
    features.PERCEPTUAL_HASH,
    features.HEIGHT_PX,
    features.WIDTH_PX,
    features.BRIGHTNESS,
    features.CONTRAST,
    features.BRIGHTNESS_BAND,
}


@pytest.fixture(scope="module")
def tfdv():
    return pytest.importorskip("tensorflow_data_validation")


def load_schema(tfdv, name):
    return tfdv.load_schema_text(discovery.load(name).schema_path)


def anomalies(tfdv, schema, records, environment="TRAINING"):
    from tensorflow_data_validation.statistics import stats_impl
    from tfx_bsl.coders import example_coder

    batch = example_coder.ExamplesToRecordBatchDecoder().DecodeBatch(records)
    statistics = stats_impl.generate_statistics_in_memory(batch, tfdv.StatsOptions(schema=schema))
    found = tfdv.validate_statistics(statistics, schema, environment=environment).anomaly_info
    return {name: info.description for name, info in found.items()}


def records(source, application, path, most=400, change=lambda _: None):
    """Serialized Examples of the good files, as ingest would store them."""
    from applications.formats.image_files import FileReader
    from applications.formats.image_folder import list_files
    from applications.formats.source import Item
    from components.ingest.records import make_example

    reader = FileReader(str(path), application, lambda _: "group")
    made = []
    for file in list(list_files(str(path)))[:: max(1, source.inspect(str(path)).items // most)]:
        item = reader.read(file)
        if isinstance(item, Item):
            example = make_example(item, source.content(str(path), item.address))
            change(example.features.feature)
            made.append(example.SerializeToString())
    return made


@pytest.mark.parametrize("name", discovery.names())
def test_a_schema_names_every_feature_and_the_classes_of_its_spec(tfdv, name):
    schema = load_schema(tfdv, name)
    application = discovery.load(name)
    by_name = {feature.name: feature for feature in schema.feature}
    assert set(by_name) == KEYS
    assert tuple(by_name["label"].string_domain.value) == application.classes
    assert by_name["label_id"].int_domain.max == len(application.classes) - 1
    assert set(schema.default_environment) == {"TRAINING", "SERVING"}


@pytest.mark.parametrize("name", discovery.names())
def test_synthetic_items_fit_the_schema(tfdv, name, tmp_path):
    application = discovery.load(name)
    source = discovery.source(application)
    source.synthesize(str(tmp_path / "data"), items=120, seed=4)
    assert anomalies(tfdv, load_schema(tfdv, name), records(source, application, tmp_path / "data")) == {}


@pytest.mark.parametrize(
    ("name", "folder"), [("satellite/landcover", "eurosat_rgb"), ("ocean/debris_material", "trashnet")]
)
def test_real_items_fit_the_schema(tfdv, shared_data, name, folder):
    application = discovery.load(name)
    source = discovery.source(application)
    assert anomalies(tfdv, load_schema(tfdv, name), records(source, application, shared_data / folder)) == {}


def test_an_unknown_class_a_wrong_scale_and_a_missing_hash_are_anomalies(tfdv, tmp_path):
    application = discovery.load("satellite/landcover")
    source = discovery.source(application)
    source.synthesize(str(tmp_path / "data"), items=60, seed=4)

    def spoil(values):
        values["label"].bytes_list.value[0] = b"Glacier"
        values["width_px"].int64_list.value[0] = 4096
        values["brightness"].float_list.value[0] = np.float32(1.5)
        del values["perceptual_hash"]

    found = anomalies(
        tfdv, load_schema(tfdv, application.name), records(source, application, tmp_path / "data", change=spoil)
    )
    assert set(found) == {"label", "width_px", "brightness", "perceptual_hash"}


def test_a_request_needs_the_image_alone(tfdv, tmp_path):
    application = discovery.load("satellite/landcover")
    source = discovery.source(application)
    source.synthesize(str(tmp_path / "data"), items=60, seed=4)

    def keep_image(values):
        for key in [key for key in values if key != "image"]:
            del values[key]

    made = records(source, application, tmp_path / "data", change=keep_image)
    assert anomalies(tfdv, load_schema(tfdv, application.name), made, environment="SERVING") == {}
