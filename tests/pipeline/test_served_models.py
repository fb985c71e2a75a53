import pytest

from applications.errors import UsageError
from pipeline import served_models


def pushed(folder, *versions):
    for version in versions:
        (folder / str(version)).mkdir(parents=True)
    return folder


def test_without_names_all_that_is_pushed_is_served(tmp_path):
    chips = pushed(tmp_path / "out/satellite/landcover/serving/satellite-landcover", 5, 12)
    traps = pushed(tmp_path / "out/wildlife/traps/serving/wildlife-traps", 1)
    (tmp_path / "out/wildlife/traps/serving/.incoming-9-1").mkdir()
    found = served_models.find([], tmp_path)
    assert found == {"satellite-landcover": chips, "wildlife-traps": traps}
    assert served_models.versions(chips) == [12, 5]


def test_a_name_is_an_application_a_models_folder_a_serving_folder_or_an_output_folder(tmp_path):
    model = pushed(tmp_path / "out/satellite/landcover/serving/satellite-landcover", 5)
    for name in (
        "satellite/landcover",
        "satellite-landcover",
        str(model),
        "out/satellite/landcover/serving",
        "out/satellite/landcover",
    ):
        assert served_models.find([name], tmp_path) == {"satellite-landcover": model}


def test_a_name_that_leads_to_no_model_says_what_to_do(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(
        UsageError, match="'empty' must lead to a model, .* neither versions nor models .*earthloop run"
    ):
        served_models.find(["empty"], tmp_path)
    with pytest.raises(UsageError, match="'nowhere' is neither; the applications are .*satellite/landcover"):
        served_models.find(["nowhere"], tmp_path)
    with pytest.raises(UsageError, match="Did you mean 'satellite/landcover'?"):
        served_models.find(["satelite/landcover"], tmp_path)
    with pytest.raises(
        UsageError, match="'ocean/debris_material' must lead .* no pushed model .*`earthloop run ocean/debris_material`"
    ):
        served_models.find(["ocean/debris_material"], tmp_path)
    with pytest.raises(UsageError, match="must be a pushed model below .*out, but there is none"):
        served_models.find([], tmp_path)


def test_two_models_of_one_name_are_refused(tmp_path):
    pushed(tmp_path / "a/m", 1)
    pushed(tmp_path / "b/m", 1)
    with pytest.raises(UsageError, match="both 'm'. Serve one of them"):
        served_models.find(["a", "b"], tmp_path)
    assert list(served_models.find(["a", "a/m"], tmp_path)) == ["m"]
