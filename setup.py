"""The packages and what they need. Dataflow's workers install this file (--setup_file)."""

import re
from pathlib import Path

from setuptools import find_packages, setup

HERE = Path(__file__).parent
VERSION = re.search(r'__version__ = "(.+)"', (HERE / "configs" / "__init__.py").read_text()).group(1)
ROOMS = ("artifacts", "configs", "deploy", "nightly", "pipeline", "ranking", "report", "serving", "trainer")

setup(
    name="wals-recommender",
    version=VERSION,
    description="Recommendations from Google Analytics by weighted alternating least squares, every night",
    long_description=(HERE / "README.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.11,<3.12",
    packages=find_packages(include=[f"{room}{inside}" for room in ROOMS for inside in ("", ".*")]),
    package_data={room: ["py.typed"] for room in ROOMS}
    | {
        "configs": ["*.yaml", "py.typed"],
        "report": ["page.*", "py.typed"],
        "serving": ["http/page.*", "py.typed"],
    },
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
        "serving": [
            "fastapi>=0.160",
            "httptools>=0.6",
            "prometheus-client>=0.21",
            "starlette>=1",
            "uvicorn>=0.30",
            "uvloop>=0.21",
        ],
        "tuning": ["optuna>=4", "sqlalchemy>=2"],
        "docs": ["mkdocs-material>=9.6", "mkdocstrings[python]>=0.29"],
        "nightly": ["prometheus-client>=0.21"],
        "report": ["jinja2>=3.1", "scikit-learn>=1.5"],
        "dev": [
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
