from __future__ import annotations

import pytest

from serving.model_server.data_plane import ModelRef
from serving.model_server.errors import Code, ServingError
from serving.model_server.rest.paths import Route, is_ours, route


@pytest.mark.parametrize(
    ("method", "target", "found"),
    [
        ("POST", "/v1/models/m:predict", Route(ModelRef("m"), "predict")),
        ("POST", "/v1/models/m/versions/3:classify", Route(ModelRef("m", 3), "classify")),
        ("POST", "/v1/models/m/labels/stable:regress", Route(ModelRef("m", None, "stable"), "regress")),
        ("POST", "/V1/MODELS/m:predict", Route(ModelRef("m"), "predict")),
        ("POST", "/v1/models/a%2Fb%20c:predict", Route(ModelRef("a/b c"), "predict")),
        ("POST", "/v1/models/..%2f..%2fetc:predict", Route(ModelRef("../../etc"), "predict")),
        ("POST", "/v1/models/m/labels/a%3Ab:predict", Route(ModelRef("m", None, "a:b"), "predict")),
        ("GET", "/v1/models/m", Route(ModelRef("m"), "status")),
        ("GET", "/v1/models/m/versions/3", Route(ModelRef("m", 3), "status")),
        ("GET", "/v1/models/m/labels/stable", Route(ModelRef("m", None, "stable"), "status")),
        ("GET", "/v1/models/m/metadata", Route(ModelRef("m"), "metadata")),
        ("GET", "/v1/models/m/versions/3/metadata", Route(ModelRef("m", 3), "metadata")),
        ("GET", "/v1/models/m?x=1", Route(ModelRef("m?x=1"), "status")),
    ],
)
def test_paths_are_read(method, target, found):
    assert route(method, target) == found


@pytest.mark.parametrize(
    ("method", "target"),
    [
        ("GET", "/v1/models/m:predict"),
        ("POST", "/v1/models/m"),
        ("POST", "/v1/models/m:PREDICT"),
        ("POST", "/v1/models/m:predict/"),
        ("POST", "/v1/models/m:predict?x=1"),
        ("POST", "/v1/models/m:explain"),
        ("POST", "/v1/models/m/versions/x:predict"),
        ("POST", "/v1/models/m/versions/1/labels/x:predict"),
        ("POST", "/v1/models/../m:predict"),
        ("GET", "/v1/models/m/versions/"),
        ("PUT", "/v1/models/m:predict"),
        ("HEAD", "/v1/models/m"),
        ("GET", "/v1/"),
    ],
)
def test_what_stands_for_nothing_is_a_malformed_request(method, target):
    with pytest.raises(ServingError) as error:
        route(method, target)
    assert (error.value.code, str(error.value)) == (Code.INVALID_ARGUMENT, f"Malformed request: {method} {target}")


def test_a_model_must_be_named():
    with pytest.raises(ServingError, match="^Missing model name in request.$"):
        route("GET", "/v1/models")


@pytest.mark.parametrize("version", ["9223372036854775808", "9" * 5000])
def test_a_version_beyond_64_bits_is_refused(version):
    with pytest.raises(ServingError, match="^Failed to convert version: 9[0-9]+ to numeric.$"):
        route("POST", f"/v1/models/m/versions/{version}:predict")


def test_only_v1_is_ours():
    assert is_ours("/v1/anything")
    assert is_ours("/V1/")
    assert not is_ours("/v1")
    assert not is_ours("/v2/models/m")
