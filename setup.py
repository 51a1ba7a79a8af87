"""The packages and what they need, and how they become a wheel.

An installed wheel has one top-level package, wals, with all rooms inside it: wals.pipeline, wals.trainer, wals.configs
and so on. So it does not shadow a project's own `configs` or `report`. The build puts each room there and rewrites the
imports of our own rooms; nothing else differs from the clone, whose rooms are at the top.

Dataflow's workers install this file, too (--setup_file). They must find the names that the clone pickled, so an sdist
that is built with WALS_ROOMS_AT_TOP set, as pipeline/beam/options.py does, installs the rooms at the top.
"""

import os
import re
import sys
from pathlib import Path

from setuptools import find_packages, setup
from setuptools.command.build_py import build_py
from setuptools.command.sdist import sdist

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "configs" / "__init__.py").read_text()).group(1)
ROOMS = ("artifacts", "configs", "deploy", "nightly", "pipeline", "ranking", "report", "serving", "trainer")
DATA = {
    "configs": ["*.yaml"],
    "deploy": ["environment.sh", "vertex_pipeline/*.yaml"],
    "report": ["page.*"],
    "serving": ["http/page/page.*", "site/*"],
}
MARK = "rooms-at-top"  # a file that only an sdist for Dataflow has
AT_TOP = (HERE / MARK).exists() or "editable_wheel" in sys.argv
INSIDE = "" if AT_TOP else "wals."
PACKAGES = find_packages(include=[f"{room}{below}" for room in ROOMS for below in ("", ".*")])
# `from trainer.model import x`, `import pipeline.beam`; also as an example in a docstring.
IMPORT = re.compile(
    rf"^(\s*(?:>>> )?)(from|import) ((?:{'|'.join(ROOMS)})\b[\w.]*(?: import |\s*$|\s+#))", re.MULTILINE
)


def moved(code):
    """Return the code of a module with our rooms imported from the package wals."""
    return IMPORT.sub(r"\1\2 wals.\3", code)


class BuildPy(build_py):
    """Copy the modules, then let them import one another inside wals."""

    def run(self):
        """Copy and rewrite."""
        super().run()
        for path in map(Path, [] if AT_TOP else self.get_outputs(include_bytecode=False)):
            if path.suffix == ".py":
                path.write_text(moved(path.read_text(encoding="utf-8")), encoding="utf-8")


class Sdist(sdist):
    """Mark the sdist that Dataflow's workers install."""

    def make_release_tree(self, base_dir, files):
        """Copy the files, and add the mark."""
        super().make_release_tree(base_dir, files)
        if "WALS_ROOMS_AT_TOP" in os.environ:
            Path(base_dir, MARK).touch()


setup(
    name="wals-recommender",
    version=VERSION,
    description="Recommendations from Google Analytics by weighted alternating least squares, every night",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.14",
    packages=["wals", *(f"{INSIDE}{package}" for package in PACKAGES)],
    package_dir={f"{INSIDE}{room}": room for room in ROOMS},
    package_data={f"{INSIDE}{room}": [*DATA.get(room, ()), "py.typed"] for room in ROOMS} | {"wals": ["py.typed"]},
    cmdclass={"build_py": BuildPy, "sdist": Sdist},
    entry_points={"console_scripts": ["wals = wals.__main__:main"]},
    install_requires=[
        "apache-beam[gcp]==2.77.*",
        "fastavro>=1.9",
        "google-api-core>=2.19",
        "google-auth>=2.29",
        "google-cloud-aiplatform>=1.60",
        "google-cloud-bigquery>=3.20",
        "google-cloud-bigquery-storage>=2.25",
        "google-cloud-storage>=2.18",
        "google-crc32c>=1.5",
        "grpcio>=1.65",
        "isal>=1.7",
        "llvmlite>=0.43",
        "ml-dtypes>=0.4",
        "numba>=0.60",
        "numpy>=1.26",
        "orjson>=3.10",
        "protobuf>=5",
        "pyarrow>=18",
        "pydantic>=2.7",
        "pyyaml>=6",
        "requests>=2.32",
        "rich>=13",
        "scipy>=1.13",
        "tensorflow==2.21.*",
        "tensorflow-transform==1.21.*",
        "tfx-bsl==1.21.*",
        "threadpoolctl>=3.5",
    ],
    extras_require={
        "all": ["wals-recommender[gcp,nightly,opentelemetry,report,serving,tuning]"],
        "gcp": ["apache-beam[gcp]==2.77.*"],  # TF-Transform asks for it in any case
        "serving": [
            "fastapi>=0.160",
            "httptools>=0.6",
            "prometheus-client>=0.21",
            "redis>=5.2",
            "starlette>=1",
            "uvicorn>=0.30",
            "uvloop>=0.21",
        ],
        "tuning": ["optuna>=4", "sqlalchemy>=2"],
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"],
        "nightly": ["prometheus-client>=0.21"],
        "opentelemetry": [
            "opentelemetry-api>=1.30",
            "opentelemetry-exporter-otlp-proto-http>=1.30",
            "opentelemetry-sdk>=1.30",
        ],
        "report": ["jinja2>=3.1", "scikit-learn>=1.5"],
        "dev": [
            "axe-playwright-python",
            "bqemulator",
            "codespell",
            "coverage",
            "duckdb",
            "duckdb-extension-spatial",
            "duckdb-extensions",
            "gcp-storage-emulator",
            "httpx",
            "hypothesis",
            "import-linter",
            "ipykernel",
            "jupyter-client",
            "mypy",
            "nbclient",
            "nbformat",
            "packaging",
            "playwright",
            "pre-commit",
            "pytest",
            "pytest-xdist",
            "ranx",
            "ruff",
            "schemathesis",
            "setuptools",
            "trustme",
            "types-pyyaml",
            "uv",
        ],
    },
)
