"""The curated schema is checked before anything runs, and a proposal fits the data it came from."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tensorflow_metadata.proto.v0 import schema_pb2
from tfx.types import standard_artifacts

from applications import discovery
from applications.errors import ConfigError, DataError
from components import schema
from schemas import features

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path, chips: Any) -> Write:
    """Puts a text where the schema of the small application belongs; returns the root."""

    def put(text: str) -> Path:
        path = tmp_path / chips.schema_path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return tmp_path

    return put


def described(classes: tuple[str, ...], without: str = "", highest: int = 2) -> str:
    keys = (features.IMAGE, features.LABEL, features.LABEL_ID, features.SHA256, features.GROUP, features.ORIGIN)
    made = schema_pb2.Schema()
    for key in keys:
        if key != without:
            made.feature.add(name=key)
            if key == features.LABEL:
                made.feature[-1].string_domain.value.extend(classes)
            if key == features.LABEL_ID:
                made.feature[-1].int_domain.CopyFrom(schema_pb2.IntDomain(min=0, max=highest))
    return str(text_format.MessageToString(made))


def test_a_schema_that_matches_is_given_to_the_pipeline_as_it_is(write: Write, chips: Any) -> None:
    text = "# curated\n" + described(("water", "sand", "grass"))
    assert schema.read(chips, write(text)) == text


def test_a_missing_schema_says_how_to_propose_one(tmp_path: Path, chips: Any) -> None:
    with pytest.raises(ConfigError, match=r"schemas/test/chips\.pbtxt is missing.*earthloop schema infer test/chips"):
        schema.read(chips, tmp_path)


def test_a_schema_that_cannot_be_read_names_the_line(write: Write, chips: Any) -> None:
    root = write('feature {\n  name: "image"\n  typ: BYTES\n}\n')
    with pytest.raises(ConfigError, match=r"protobuf text, but it cannot be read at 3:3.*typ"):
        schema.read(chips, root)


def test_classes_that_differ_from_the_spec_are_named_with_a_guess(write: Write, chips: Any) -> None:
    root = write(described(("grass", "sand", "wather")))
    with pytest.raises(
        ConfigError, match=r"lacks water and lists wather.*Did you mean 'water'.*applications/test/chips/app\.py"
    ):
        schema.read(chips, root)


def test_a_missing_feature_is_named(write: Write, chips: Any) -> None:
    with pytest.raises(ConfigError, match="must describe the feature 'sha256'"):
        schema.read(chips, write(described(chips.classes, without="sha256")))


def test_label_ids_must_count_the_classes(write: Write, chips: Any) -> None:
    with pytest.raises(ConfigError, match="int_domain of 'label_id' must be 0 to 2, one per class, got 0 to 9"):
        schema.read(chips, write(described(chips.classes, highest=9)))


@pytest.mark.parametrize("name", discovery.names())
def test_every_application_has_a_schema_that_matches(name: str) -> None:
    application = discovery.load(name)
    node = schema.schema_importer(application)
    assert node.outputs["result"].type is standard_artifacts.Schema
    assert application.classes[0] in node.exec_properties["text"]


def test_the_node_writes_the_one_file_that_tfx_expects(tmp_path: Path) -> None:
    result = standard_artifacts.Schema()
    result.uri = str(tmp_path / "schema")
    executor = schema.CuratedSchema.EXECUTOR_SPEC.executor_class()
    executor.Do({}, {"result": [result]}, {"text": "# empty\n", "source": "schemas/a/b.pbtxt", "code_version": ""})
    assert [path.name for path in (tmp_path / "schema").iterdir()] == ["schema.pbtxt"]
    assert (tmp_path / "schema" / "schema.pbtxt").read_text() == "# empty\n"
    assert result.get_string_custom_property("source") == "schemas/a/b.pbtxt"


def test_a_proposal_knows_what_our_features_mean(chips_folder: Path, chips: Any, write: Write) -> None:
    text = schema.infer(chips, str(chips_folder))
    proposed = {feature.name: feature for feature in text_format.Parse(text, schema_pb2.Schema()).feature}
    assert "from 90 items" in text.splitlines()[0]
    assert tuple(proposed["label"].string_domain.value) == chips.classes
    assert proposed["image"].HasField("image_domain")
    assert proposed["brightness"].float_domain.max == 1.0
    assert not proposed["sha256"].domain
    assert list(proposed["image"].not_in_environment) == []
    assert list(proposed["group"].not_in_environment) == ["SERVING"]
    assert schema.read(chips, write(text)) == text


def test_nothing_readable_gives_no_proposal(chips_folder: Path, chips: Any) -> None:
    for path in chips_folder.glob("*/*"):
        path.write_bytes(b"")
    with pytest.raises(DataError, match="no item of .* can be read"):
        schema.infer(chips, str(chips_folder))
