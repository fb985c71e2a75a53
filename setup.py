"""The distribution `earthloop`. Builds without TensorFlow; Beam ships it to its workers by --setup_file."""

from pathlib import Path

from setuptools import find_packages, setup

ROOT = Path(__file__).parent
PACKAGES = (
    "applications",
    "components",
    "evaluation",
    "pipeline",
    "schemas",
    "serving",
    "trainer",
    "transform",
)


def requirements(name: str) -> list[str]:
    """Returns the requirement lines of requirements/<name>.in, without comments and references to other files."""
    lines = (ROOT / "requirements" / f"{name}.in").read_text(encoding="utf-8").splitlines()
    return [line.strip() for line in lines if line.strip() and line.strip()[0] not in "#-"]


EXTRAS = {name: requirements(name) for name in ("pipeline", "serving", "develop")}

setup(
    name="earthloop",
    version="0.1.0",
    description="Pipelines from field images to blessed, checked and served models, on TFX",
    long_description=(ROOT / "README.md").read_text(encoding="utf-8") if (ROOT / "README.md").exists() else "",
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    package_dir={"": "."},  # makes the editable install a plain path: no import hook at each start of Python
    packages=find_packages(include=[pattern for name in PACKAGES for pattern in (name, f"{name}.*")]),
    package_data={
        "schemas": ["**/*.pbtxt"],
        "evaluation": ["report/templates/*"],
        "applications": ["**/README.md"],
    },
    install_requires=sorted(set(EXTRAS["pipeline"]) & set(EXTRAS["serving"])),
    extras_require=EXTRAS,
    entry_points={
        "console_scripts": [
            "earthloop = pipeline.cli.main:main",
            "earthloop-model-server = serving.model_server.main:main",
        ]
    },
)
