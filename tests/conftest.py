"""Fixtures that several files of tests share, and hooks of pytest."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Generator
from typing import Any

import pytest
from hypothesis import HealthCheck, settings

from configs import cli
from tests.support import forkserver
from tests.support.kernel_cache import KernelCache

# The workers of the suite share the cores: a thread of scikit-learn or BLAS that spins takes them from another.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# No test cuts the power, so none waits for the disk; the processes that tests fork do not either.
os.fsync = lambda descriptor: None

# The time of an example is not a fault: other work may run on the machine. WALS_EXAMPLES asks for more of them.
settings.register_profile(
    "house",
    deadline=None,
    max_examples=int(os.environ.get("WALS_EXAMPLES", "50")),
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("house")

# A graph of TensorFlow or Beam is many objects, of which few are garbage: by default they are looked through too often.
gc.set_threshold(20_000, 10, 10)

_LONGEST = ("test_storage_end_to_end.py", "test_seven.py", "test_notebook.py")


# Keras 3 imports Matplotlib and scikit-learn; the jobs do without it (configs.cli.import_tensorflow).
os.environ.setdefault("TF_USE_LEGACY_KERAS", "1")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--processor-times", metavar="FILE", help="write the processor time of each test and fixture")


def pytest_configure(config: pytest.Config) -> None:
    path = config.getoption("processor_times")
    if path:
        from tests.support.processor_times import ProcessorTimes

        config.pluginmanager.register(ProcessorTimes(path))
    if hasattr(config, "workerinput"):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""  # a fork cannot use what CUDA set up before it
        forkserver.import_libraries(tensorflow_last=_begins_at_the_end(config))
        forkserver.fork_here()
    elif not config.option.collectonly:
        kernels = KernelCache()
        kernels.restore()
        config.add_cleanup(kernels.keep)


def _begins_at_the_end(config: pytest.Config) -> bool:
    """Return whether this worker imports modules from the other end: in a new clone it finds half of them compiled."""
    return getattr(config, "workerinput", {}).get("workerid", "gw0") != "gw0"


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report(collector: pytest.Collector) -> Generator[None, Any, Any]:
    report = yield
    if isinstance(collector, pytest.Directory) and _begins_at_the_end(collector.config):
        report.result.reverse()
    return report


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, Any, Any]:
    with cli.quiet_imports():
        return (yield)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest tests first, so that at the end no worker waits for another; all workers need one order."""
    items.sort(key=lambda item: (item.path.name not in _LONGEST, item.path))


def pytest_collection_finish() -> None:
    """Make the pipelines faster where a test imports Beam and TF-Transform."""
    if "apache_beam" in sys.modules:
        from tests.support import fast_beam

        fast_beam.install()
    if "tensorflow_transform.beam" in sys.modules:
        from tests.support import fast_tft

        fast_tft.install()


@pytest.fixture(scope="session")
def served_model(tmp_path_factory):
    """A directory with a made model of 1,000 visitors and 160 items, `model`; published in `served`; `dataset`."""
    from serving import publish
    from tests.support.served import write_model

    root = tmp_path_factory.mktemp("served")
    publish.publish(str(write_model(root, 1_000, 160)), str(root / "served"), "wals")
    return root


@pytest.fixture(scope="session")
def new_items_world(tmp_path_factory):
    """A model of topics with items that nobody has viewed, and 1,000 visitors."""
    from tests.support.new_items import World

    return World(tmp_path_factory.mktemp("new-items"))


@pytest.fixture(scope="session")
def odd_worlds():
    """The worlds of `odd_world`, since pytest forgets one where a test needs the other."""
    return {}


@pytest.fixture(scope="session", params=[(1, False), (3, True)], ids=["one shard", "three shards, gzip"])
def odd_world(request, tmp_path_factory, odd_worlds):
    """A directory with a `dataset` and a `model` of few visitors and items, whose ids are odd."""
    from tests.support.predicted import make_odd_world

    if request.param not in odd_worlds:
        odd_worlds[request.param] = tmp_path_factory.mktemp("odd")
        make_odd_world(odd_worlds[request.param], *request.param)
    return odd_worlds[request.param]


@pytest.fixture(scope="session")
def bigquery_server(tmp_path_factory):
    """An emulator of BigQuery, which needs six seconds to start; each test has datasets of its own."""
    from tests.support.bigquery_server import serving

    with serving(tmp_path_factory.mktemp("bucket")) as server:
        yield server


@pytest.fixture
def site(tmp_path):
    """A site on which many nights cost nothing."""
    from tests.support.nights import Site

    return Site(tmp_path)


@pytest.fixture
def without_graphs():
    """Trainings of the test, not those of its module's fixtures, write a SavedModel without graphs."""
    from tests.support import quick_export

    with quick_export.without_graphs():
        yield
