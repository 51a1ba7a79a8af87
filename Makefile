# Everything a person or a nightly run does with this project. `make help` lists it.
#
# The jobs take CONFIG=...; what else they need stands in that file (see README.md). ARGS=... goes to the job,
# e.g. make pipeline ARGS="--source ga4 --input 'export/events_*' --replace"

CONFIG ?= configs/local.yaml
PYTHON ?= python3.11
ARGS ?=

VENV := .venv
BIN := $(VENV)/bin
READY := $(VENV)/.ready
SAMPLE := data/export
DEBIAN := chromium fonts-dejavu-core

export TF_CPP_MIN_LOG_LEVEL ?= 2

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST))

help:  ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/\1\t\2/p' $(MAKEFILE_LIST) | expand -t 22

setup: $(READY)  ## make .venv with the locked versions

$(READY): requirements.lock
	@command -v $(PYTHON) >/dev/null || { echo "error: $(PYTHON) is not installed; set PYTHON=... to a Python 3.11"; exit 2; }
	@echo "setting up $(VENV) (about 3 GB) ..."
	@$(PYTHON) -m venv --clear $(VENV)
	@$(BIN)/pip install --quiet --no-cache-dir --disable-pip-version-check "$$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)"
	@UV_CACHE_DIR=$(VENV)/cache $(BIN)/uv pip sync --quiet --compile-bytecode --python $(BIN)/python --require-hashes requirements.lock
	@rm -rf $(VENV)/cache
	@touch $@

run: setup $(SAMPLE)  ## sample export -> dataset -> model -> predictions, measured, and a look at them
	@$(BIN)/python -m pipeline.preprocess --config $(CONFIG) --replace --split last_n $(ARGS)
	@$(BIN)/python -m trainer.task --config $(CONFIG) --replace
	@$(BIN)/python -m trainer.evaluate --config $(CONFIG) --output_json data/evaluation.json
	@$(BIN)/python -m pipeline.batch_predict --config $(CONFIG) --replace
	@$(BIN)/python -m pipeline.show --config $(CONFIG)

$(SAMPLE): | setup
	@$(BIN)/python -m pipeline.sample --output_dir $@

sample: setup  ## make a sample export in data/export
	@$(BIN)/python -m pipeline.sample --output_dir $(SAMPLE) --replace $(ARGS)

pipeline: setup  ## Google Analytics export -> dataset
	@$(BIN)/python -m pipeline.preprocess --config $(CONFIG) $(ARGS)

train: setup  ## dataset -> model, here or on Vertex AI (vertex.image in CONFIG)
	@$(BIN)/python -m deploy.vertex.train --config $(CONFIG) $(ARGS)

evaluate: setup  ## how good the model is on what the dataset holds out: data/evaluation.json
	@$(BIN)/python -m trainer.evaluate --config $(CONFIG) --output_json data/evaluation.json $(ARGS)

tune: setup  ## look for better settings; data/tuning/best.yaml is a config for train
	@$(BIN)/python -m trainer.tune --config $(CONFIG) $(ARGS)

report: setup  ## one HTML file on the data, the model and its quality: data/report.html
	@$(BIN)/python -m report.page --config $(CONFIG) $(ARGS)

predict: setup  ## model -> predictions
	@$(BIN)/python -m pipeline.batch_predict --config $(CONFIG) $(ARGS)

publish: setup  ## model -> the newest version in data/serving
	@$(BIN)/python -m serving.publish --config $(CONFIG) $(ARGS)

serve: publish  ## serve the newest version on http://127.0.0.1:8501/, as TensorFlow Serving does, with a page for people
	@$(BIN)/python -m serving.server --config $(CONFIG)

fuzz-server: setup  ## Schemathesis on a server that runs (make serve), 200 examples an operation
	@$(BIN)/schemathesis run http://127.0.0.1:8501/openapi.json --max-examples 200 --exclude-checks positive_data_acceptance $(ARGS)

load-test: setup  ## the server under wrk for a minute while three versions roll over: requests/s, p50, p99, errors
	@command -v wrk >/dev/null || { echo "error: wrk is not installed; as root: apt-get install wrk"; exit 2; }
	@$(BIN)/python -m benchmarks.serving.load $(ARGS)

pipeline-then-train: pipeline train  ## both, one after the other

night: CONFIG = configs/nightly.yaml
night: setup  ## every step for one date, then live, on the sample: ARGS="--date 2024-01-06"
	@$(BIN)/python -m nightly.run --config $(CONFIG) $(ARGS)

show: setup  ## what five visitors read, and what is recommended to them
	@$(BIN)/python -m pipeline.show --config $(CONFIG) $(ARGS)

test: setup  ## the test suite
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

kill-test: setup  ## kill preprocess, train and predict at 50 random moments, and start each again
	@$(BIN)/python -m tests.kits.kill_kit $(ARGS)

fuzz: setup data/engines/atheris  ## hostile exports: hypothesis at 2,000 examples a test, then atheris on the readers; Linux, an hour
	@WALS_FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest -n 2 tests/pipeline/readers/test_fuzz.py
	@PYTHONPATH=data/engines/atheris $(BIN)/python -m tests.kits.fuzz_readers $(ARGS)

data/engines/atheris: tests/requirements/fuzz.lock | setup
	@$(BIN)/uv pip install --quiet --target $@ --require-hashes -r tests/requirements/fuzz.lock

night-test: setup  ## seven nights on a small sample, each disturbed in its own way, beside seven quiet ones
	@WALS_SEVEN_NIGHTS=1 $(BIN)/python -m pytest tests/nightly/test_seven.py $(ARGS)

lint: setup  ## style, imports, known traps, types
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy

coverage: setup  ## the test suite, and how much of the code it ran: data/coverage/html; fails below 95 %
	@rm -rf data/coverage && mkdir -p data/coverage
	@$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage report --skip-covered
	@$(BIN)/coverage report --include 'pipeline/*,trainer/*' --fail-under 95 | tail -1

format: setup  ## rewrite the code in the house style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

reference: setup  ## every setting with its default
	@$(BIN)/python -m configs.reference

docs: setup  ## the documentation as a site: data/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "data/site/index.html; with its search: python3 -m http.server --directory data/site"

docs-test: setup  ## run every command that README and docs print, as it stands; ten minutes
	@$(BIN)/python -m tests.kits.docs_kit $(ARGS)

dist: setup  ## wheel and sdist in dist/; the version stands in configs/__init__.py
	@rm -rf dist build
	@$(BIN)/uv build --quiet --python $(BIN)/python --no-build-isolation --out-dir dist
	@ls dist

dist-test: dist  ## install each of them into an empty environment and run the main job there, some minutes
	@$(BIN)/python tests/kits/install_dist.py dist

ENGINES := data/engines
BEAM = $(shell sed -n 's/^apache-beam\[*[a-z]*\]*==\([0-9.]*\).*/\1/p' requirements.lock)
FLINK_JAR := $(ENGINES)/flink/job-server.jar

$(ENGINES)/prism:
	@echo "building Prism $(BEAM) (Go; a minute) ..."
	@mkdir -p $(ENGINES) && GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

prism: setup $(ENGINES)/prism  ## both Beam jobs on Prism, workers in processes of their own; needs Go
	@WALS_PRISM=$(abspath $(ENGINES)/prism) $(BIN)/python -m pytest tests/pipeline/test_engines.py -k prism

$(FLINK_JAR): tests/support/flink/pom.xml
	@echo "getting Beam's job server for Flink and what it needs (150 packages of Maven's) ..."
	@mvn --quiet --batch-mode --file $< -Dengines=$(abspath $(@D)) dependency:copy-dependencies jar:jar

flink: setup $(FLINK_JAR)  ## the same on a local Flink cluster; needs Java 17 and Maven
	@WALS_FLINK_JAR=$(abspath $(FLINK_JAR)) $(BIN)/python -m pytest tests/pipeline/test_engines.py -k flink

BENCH := .venv-bench
BENCH_READY := $(BENCH)/.ready

$(BENCH_READY): benchmarks/requirements.lock | setup
	@echo "setting up $(BENCH), the peers of the benchmarks (about 1 GB) ..."
	@$(PYTHON) -m venv --clear $(BENCH)
	@UV_CACHE_DIR=$(BENCH)/cache $(BIN)/uv pip sync --quiet --python $(BENCH)/bin/python --require-hashes benchmarks/requirements.lock
	@rm -rf $(BENCH)/cache
	@touch $@

bench: setup $(BENCH_READY) bench-pipeline  ## our speed and quality beside implicit's and Spark's, pandas's and DuckDB's, two hours; JSON and plots in data/bench
	@$(BIN)/python -m benchmarks.wals.speed --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.scale --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.spark --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.quality --peer $(BENCH)/bin/python
	@$(BIN)/python benchmarks/prediction/batch.py --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.prediction.job
	@$(BIN)/python -m benchmarks.wals.evaluate_scale
	@$(BIN)/python -m benchmarks.prediction.writers

bench-pipeline: setup  ## the pipeline's speed and memory beside pandas and DuckDB, half an hour; JSON and plots in data/bench
	@$(BIN)/python -m benchmarks.pipeline.preprocess_speed
	@$(BIN)/python -m benchmarks.pipeline.preprocess_speed --millions 50 --visitors 5000000 --sides ours duckdb --rounds 1 --name preprocess_50m
	@$(BIN)/python -m benchmarks.pipeline.hot_rows
	@$(BIN)/python -m benchmarks.pipeline.read_exports
	@$(BIN)/python -m benchmarks.pipeline.read_rows
	@$(BIN)/python -m benchmarks.pipeline.runners
	@$(BIN)/python -m benchmarks.pipeline.startup
	@$(BIN)/python -m benchmarks.pipeline.startup --stages
	@$(BIN)/python -m benchmarks.pipeline.plot

AUDIT := .venv-audit
AUDIT_READY := $(AUDIT)/.ready
OFFLINE ?= fail
# Known vulnerabilities that are lived with: --ignore-vuln ID for each, and here the reason and the date.
ACCEPTED :=

$(AUDIT_READY): tests/requirements/audit.lock | setup
	@echo "setting up $(AUDIT), what checks packages and tests ..."
	@$(PYTHON) -m venv --clear $(AUDIT)
	@UV_CACHE_DIR=$(AUDIT)/cache $(BIN)/uv pip sync --quiet --python $(AUDIT)/bin/python --require-hashes tests/requirements/audit.lock
	@rm -rf $(AUDIT)/cache
	@touch $@

mutation: setup $(AUDIT_READY)  ## make the rules wrong, one change at a time: which change does no test notice?
	@$(BIN)/python -m tests.kits.mutation $(ARGS)

audit: licences vulnerabilities sbom  ## licences and known vulnerabilities of all locked packages, and their list

licences: setup $(AUDIT_READY)  ## fails at a package whose licence pyproject.toml does not allow
	@$(AUDIT)/bin/pip-licenses --python $(BIN)/python --summary

vulnerabilities: $(AUDIT_READY)  ## fails at a locked version with a known vulnerability; asks api.osv.dev
	@if $(AUDIT)/bin/python -c "import socket; socket.create_connection(('api.osv.dev', 443), 10)" 2>/dev/null; then \
	  for lock in requirements*.lock; do $(AUDIT)/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes --progress-spinner off \
	    $(ACCEPTED) --requirement $$lock || exit 1; done; \
	else \
	  echo "vulnerabilities: NOT CHECKED, api.osv.dev cannot be reached from here; OFFLINE=skip lets that pass"; test $(OFFLINE) = skip; \
	fi

sbom: setup $(AUDIT_READY)  ## software bill of materials of .venv: dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	@$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --validate --output-file dist/sbom.cdx.json $(BIN)/python
	@echo "dist/sbom.cdx.json"

peers: setup $(BENCH_READY)  ## the code of docs/moving.md beside implicit and Spark themselves; needs Java 17
	@WALS_PEERS=$(abspath $(BENCH)/bin/python) $(BIN)/python -m pytest -s tests/docs/test_moving.py -k itself $(ARGS)

AIRFLOW := .venv-airflow
AIRFLOW_READY := $(AIRFLOW)/.ready

$(AIRFLOW_READY): deploy/airflow/requirements.lock | setup
	@echo "setting up $(AIRFLOW), Airflow and its Google provider (about 1.5 GB) ..."
	@$(PYTHON) -m venv --clear $(AIRFLOW)
	@UV_CACHE_DIR=$(AIRFLOW)/cache $(BIN)/uv pip sync --quiet --python $(AIRFLOW)/bin/python --require-hashes deploy/airflow/requirements.lock
	@rm -rf $(AIRFLOW)/cache
	@touch $@

airflow-test: setup $(AIRFLOW_READY)  ## the DAG of deploy/airflow/ in Airflow's own harness against emulators, some minutes
	@$(AIRFLOW)/bin/python -m pytest -c /dev/null --rootdir=. --noconftest -p no:cacheprovider tests/kits/airflow_dag.py $(ARGS)

lock: setup  ## put what setup.py newly asks for into the locks; UPGRADE=--upgrade resolves all versions anew
	@$(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --extra dev --extra docs --extra nightly --extra report --extra serving --extra tuning --custom-compile-command "make lock" --output-file requirements.lock setup.py
	@$(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file benchmarks/requirements.lock benchmarks/requirements.in
	@$(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file tests/requirements/audit.lock tests/requirements/audit.in
	@$(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file deploy/airflow/requirements.lock deploy/airflow/requirements.in
	@$(BIN)/uv pip compile --quiet $(UPGRADE) --python-version 3.11 --generate-hashes --no-emit-index-url \
	  --custom-compile-command "make lock" --output-file tests/requirements/fuzz.lock tests/requirements/fuzz.in

system:  ## install, as root, the Debian packages that tests in a browser need
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; }

clean:  ## remove the environments and data
	rm -rf $(VENV) $(BENCH) $(AUDIT) $(AIRFLOW) data
