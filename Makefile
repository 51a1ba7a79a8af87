# The commands of this project; `make help` lists them in groups.
#
# The jobs take CONFIG=..., a file of settings (README.md). ARGS=... is passed on to the job, such as
# make pipeline ARGS="--source ga4 --input 'export/events_*' --replace"

CONFIG ?= configs/local.yaml
PYTHON ?=
ARGS ?=

VENV := .venv
AIRFLOW := .venv-airflow
AUDIT := .venv-audit
BENCH := .venv-bench
VERTEX := .venv-vertex-pipeline
DEPLOY := .venv-deploy
BIN := $(VENV)/bin
WALS := $(BIN)/python -m wals
SAMPLE := data/export
ENGINES := data/engines
DEBIAN := chromium fonts-dejavu-core redis-server

export TF_CPP_MIN_LOG_LEVEL ?= 2
unexport PYTHONDONTWRITEBYTECODE  # images set it; each process of the tests would compile the project again

.DEFAULT_GOAL := help
.PHONY: $(shell sed -n 's/^\([a-z-]*\):.*\#\# .*/\1/p' $(MAKEFILE_LIST)) with-jobs kernels split-dataset $(AIRFLOW) $(AUDIT) $(BENCH) $(VERTEX) $(DEPLOY)

help:  ## list the targets
	@sed -n -e 's/^##@ \(.*\)/\n\1:/p' -e 's/^\([a-z-]*\):.*## \(.*\)/  \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24


##@ Environments

ENVIRONMENT = @PYTHON="$(PYTHON)" sh deploy/environment.sh

setup: with-all  ## make .venv with all locked packages, by the newest Python that it finds; PYTHON=... names another

# .venv with what the jobs need, and the extras of setup.py that the target names. Nothing is done if it has them.
with-jobs:
	$(ENVIRONMENT)

with-%:
	$(ENVIRONMENT) $*

# Environments next to .venv, each with a lock.
LOCKS := deploy/airflow/requirements.lock tests/requirements/audit.lock benchmarks/requirements.lock \
  tests/requirements/fuzz.lock tests/requirements/deploy.lock deploy/vertex_pipeline/environment/requirements.lock
$(AIRFLOW): setup
	$(ENVIRONMENT) --directory $@ --lock deploy/airflow/requirements.lock --gigabytes 1.5

$(AUDIT): setup
	$(ENVIRONMENT) --directory $@ --lock tests/requirements/audit.lock --gigabytes 0.2

$(BENCH): setup
	$(ENVIRONMENT) --directory $@ --lock benchmarks/requirements.lock --gigabytes 1

$(VERTEX): setup
	$(ENVIRONMENT) --directory $@ --lock deploy/vertex_pipeline/environment/requirements.lock --gigabytes 0.1

$(DEPLOY): setup
	$(ENVIRONMENT) --directory $@ --lock tests/requirements/deploy.lock --gigabytes 0.1

install-scoring:  ## make .venv-scoring, for `wals score` and Python without TensorFlow and Beam (docs/install.md)
	$(ENVIRONMENT) --directory .venv-scoring --packages deploy/installs/scoring.in --gigabytes 0.6

install-serving:  ## make .venv-serving, for `wals serve` without Beam (docs/install.md)
	$(ENVIRONMENT) --directory .venv-serving --packages deploy/installs/serving.in --gigabytes 2.2

COMPILE = $(BIN)/uv pip compile --quiet $(UPGRADE) --universal --python-version 3.11 --generate-hashes --no-emit-index-url \
  --custom-compile-command "make lock"
EXTRAS := dev docs nightly report serving tuning

lock: setup  ## update the locks from setup.py and the .in files; UPGRADE=--upgrade resolves all versions again
	@$(COMPILE) $(EXTRAS:%=--extra %) --output-file requirements.lock setup.py
	@for lock in $(LOCKS); do \
	  $(COMPILE) --output-file $$lock $${lock%.lock}.in || exit 1; done

system:  ## install, as root, the Debian packages of some tests: a browser, and Redis
	@dpkg -s $(DEBIAN) >/dev/null 2>&1 || { apt-get update -qq && \
	  DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $(DEBIAN) >/dev/null; }

clean:  ## remove the environments; clean-data removes data/
	rm -rf $(VENV) $(BENCH) $(AUDIT) $(AIRFLOW) $(VERTEX) $(DEPLOY) .venv-scoring .venv-serving

clean-data:  ## remove data/, once you have typed yes
	@if [ -d data ]; then du -sh data && printf 'remove data/ and all that is in it? Type yes: ' && read answer && \
	  [ "$$answer" = yes ] && rm -rf data; else echo "data/ does not exist"; fi


##@ Jobs

run: with-jobs  ## sample export -> dataset -> model -> predictions, with an evaluation, and a look at them
	@$(MAKE) --no-print-directory --jobs=2 kernels split-dataset
	@$(WALS) train --config $(CONFIG) --replace
	@$(WALS) evaluate --config $(CONFIG)
	@$(WALS) predict --config $(CONFIG) --replace
	@$(WALS) show --config $(CONFIG)

# What training, evaluation and prediction compile at their first run; here on the core that the pipeline leaves idle.
kernels: with-jobs
	@$(BIN)/python -m deploy.kernels

split-dataset: $(SAMPLE)
	@$(WALS) preprocess --config $(CONFIG) --replace --split last_n $(ARGS)

$(SAMPLE): | with-jobs
	@$(WALS) sample --output_dir $@

sample: with-jobs  ## make a sample export in data/export
	@$(WALS) sample --output_dir $(SAMPLE) --replace $(ARGS)

inspect: with-jobs  ## look at an export: ARGS="'export/events_*' --write data/mine.yaml"
	@$(WALS) inspect $(ARGS)

pipeline: with-jobs  ## Google Analytics export -> dataset
	@$(WALS) preprocess --config $(CONFIG) $(ARGS)

train: with-jobs  ## dataset -> model, here or on Vertex AI (vertex.image in CONFIG)
	@$(WALS) train --config $(CONFIG) $(ARGS)

pipeline-then-train: pipeline train  ## pipeline, then train

evaluate: with-jobs  ## metrics of the model on the held-out interactions, evaluation.json in its directory
	@$(WALS) evaluate --config $(CONFIG) $(ARGS)

tune: with-tuning  ## search for better settings; data/model-tuning/best.yaml is a config for train
	@$(WALS) tune --config $(CONFIG) $(ARGS)

predict: with-jobs  ## model -> predictions
	@$(WALS) predict --config $(CONFIG) $(ARGS)

show: with-jobs  ## the history and the recommendations of five visitors
	@$(WALS) show --config $(CONFIG) $(ARGS)

report: with-report  ## one HTML file on the data, the model and its quality: data/model/report.html
	@$(WALS) report --config $(CONFIG) $(ARGS)

night: CONFIG = configs/nightly.yaml
night: with-nightly  ## all steps for one date, then live, on the sample: ARGS="--date 2024-01-06"
	@$(WALS) night --config $(CONFIG) $(ARGS)

publish: with-jobs  ## model -> the newest version in data/serving
	@$(WALS) publish --config $(CONFIG) $(ARGS)

serve: with-serving publish  ## serve the newest version on http://127.0.0.1:8501/ as TensorFlow Serving does, with a web page
	@$(WALS) serve --config $(CONFIG)

reference: with-jobs  ## print each setting with its default
	@$(WALS) reference


##@ Tests

test: setup  ## the test suite, about ten minutes on two cores
	@$(BIN)/python -m pytest -n 2 --dist worksteal $(ARGS)

quick-test: setup  ## the tests of settings, files, splits and ranking: a minute
	@$(BIN)/python -m pytest tests/artifacts tests/configs tests/pipeline/interactions tests/ranking $(ARGS)

lint: setup  ## style, types, import contracts, spelling and words
	@$(BIN)/ruff check .
	@$(BIN)/ruff format --check .
	@$(BIN)/mypy
	@$(BIN)/lint-imports --no-logo
	@$(BIN)/codespell
	@$(BIN)/python -m tests.kits.words

format: setup  ## rewrite the code in the project's style
	@$(BIN)/ruff check --fix --quiet .
	@$(BIN)/ruff format --quiet .

coverage: setup  ## the test suite with its coverage: data/coverage/html; fails below 95 %
	@rm -rf data/coverage && mkdir -p data/coverage
	@$(BIN)/coverage run -m pytest -n 2 --dist worksteal $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage html --quiet
	@$(BIN)/coverage report --skip-covered
	@$(BIN)/coverage report --include 'pipeline/*,trainer/*' --fail-under 95 | tail -1


##@ Long tests

kill-test: setup  ## kill preprocess, train and predict at 50 random moments, and start each again
	@$(BIN)/python -m tests.kits.kill_kit $(ARGS)

events-test: setup  ## kill the server, and Redis, at random moments while clients send events
	@$(BIN)/python -m tests.kits.events_kit $(ARGS)

night-test: setup  ## seven nights on a small sample, each with another disturbance, against seven quiet ones
	@WALS_SEVEN_NIGHTS=1 $(BIN)/python -m pytest tests/nightly/test_seven.py $(ARGS)

docs-test: setup  ## run the commands that README and docs print, ten minutes
	@$(BIN)/python -m tests.kits.docs_kit $(ARGS)

dist-test: dist  ## install wheel and sdist into an empty environment and run the main job there, some minutes
	@$(BIN)/python tests/kits/install_dist.py dist

mutation: setup $(AUDIT)  ## make the rules wrong, one change at a time; print the changes that pass the tests
	@$(BIN)/python -m tests.kits.mutation $(ARGS)

fuzz: setup $(ENGINES)/atheris  ## hostile exports: hypothesis with 2,000 examples per test, then atheris; Linux, an hour
	@WALS_FUZZ_EXAMPLES=2000 $(BIN)/python -m pytest -n 2 tests/pipeline/readers/test_fuzz_*.py tests/serving/test_fuzz.py
	@PYTHONPATH=$(ENGINES)/atheris $(BIN)/python -m tests.kits.fuzz_readers $(ARGS)

$(ENGINES)/atheris: tests/requirements/fuzz.lock | setup
	@$(BIN)/uv pip install --quiet --target $@ --require-hashes -r $<

fuzz-server: setup  ## Schemathesis against a running server (make serve), 200 examples per operation
	@$(BIN)/schemathesis run http://127.0.0.1:8501/openapi.json --max-examples 200 --exclude-checks positive_data_acceptance $(ARGS)

load-test: setup  ## wrk against the server for a minute while three versions roll over: requests/s, p50, p99, errors
	@command -v wrk >/dev/null || { echo "error: wrk is not installed; as root: apt-get install wrk"; exit 2; }
	@$(BIN)/python -m benchmarks.serving.load $(ARGS)

airflow-test: setup $(AIRFLOW)  ## the DAG of deploy/airflow/ in Airflow's harness against emulators, some minutes
	@$(AIRFLOW)/bin/python -m pytest -c /dev/null --rootdir=. --noconftest -p no:cacheprovider tests/kits/airflow_dag.py $(ARGS)

vertex-pipeline: setup $(VERTEX)  ## compile the pipeline of Vertex AI from the steps of a night: deploy/vertex_pipeline/night.yaml
	@$(VERTEX)/bin/python -m deploy.vertex_pipeline.pipeline

vertex-pipeline-test: setup $(VERTEX)  ## run that pipeline by kfp's local runner on a small sample, some minutes
	@$(VERTEX)/bin/python -m pytest -c /dev/null --rootdir=. --noconftest -p no:cacheprovider tests/kits/vertex_pipeline.py $(ARGS)

deploy-lint: setup $(DEPLOY)  ## Dockerfile, compose file, Kubernetes manifests and systemd unit against their own linters and schemas
	@$(DEPLOY)/bin/python -m tests.kits.deploy_lint

images-test: setup  ## build the images by buildah and run the compose file's commands in them; as root on Debian, a quarter of an hour
	@$(BIN)/python -m tests.kits.images $(ARGS)

BEAM = $(shell sed -n 's/^apache-beam\[*[a-z]*\]*==\([0-9.]*\).*/\1/p' requirements.lock)
FLINK_JAR := $(ENGINES)/flink/job-server.jar

$(ENGINES)/prism:
	@echo "building Prism $(BEAM) (Go; a minute) ..."
	@mkdir -p $(ENGINES) && GOBIN=$(abspath $(ENGINES)) go install github.com/apache/beam/sdks/v2/go/cmd/prism@v$(BEAM)

prism: setup $(ENGINES)/prism  ## both Beam jobs on Prism, with workers in separate processes; needs Go
	@WALS_PRISM=$(abspath $(ENGINES)/prism) $(BIN)/python -m pytest tests/pipeline/test_engines.py -k prism

$(FLINK_JAR): tests/support/flink/pom.xml
	@echo "downloading Beam's job server for Flink and its dependencies (150 Maven packages) ..."
	@mvn --quiet --batch-mode --file $< -Dengines=$(abspath $(@D)) dependency:copy-dependencies jar:jar

flink: setup $(FLINK_JAR)  ## both Beam jobs on a local Flink cluster; needs Java 17 and Maven
	@WALS_FLINK_JAR=$(abspath $(FLINK_JAR)) $(BIN)/python -m pytest tests/pipeline/test_engines.py -k flink

peers: setup $(BENCH)  ## the code of docs/moving.md against implicit and Spark; needs Java 17
	@WALS_PEERS=$(abspath $(BENCH)/bin/python) $(BIN)/python -m pytest -s tests/docs/test_moving.py -k itself $(ARGS)


##@ Benchmarks

bench: setup $(BENCH) bench-pipeline  ## speed and quality against implicit, Spark, pandas, DuckDB: two hours
	@$(BIN)/python -m benchmarks.wals.speed --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.scale --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.spark --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.quality --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.wals.neighbourhood --write
	@$(BIN)/python benchmarks/prediction/batch.py --peer $(BENCH)/bin/python
	@$(BIN)/python -m benchmarks.prediction.job
	@$(BIN)/python -m benchmarks.prediction.job --kind audiences
	@$(BIN)/python -m benchmarks.prediction.job --users 4096 16384 --items 1000000 --k 128
	@$(BIN)/python -m benchmarks.wals.million
	@$(BIN)/python -m benchmarks.wals.evaluate_scale
	@$(BIN)/python -m benchmarks.prediction.writers
	@$(BIN)/python -m benchmarks.wals.warm_start --nights 1
	@$(BIN)/python -m benchmarks.wals.warm_start --k 128
	@$(BIN)/python -m benchmarks.pipeline.before_signals
	@$(BIN)/python docs/generate.py

bench-pipeline: setup  ## the pipeline's speed and memory against pandas and DuckDB: half an hour
	@$(BIN)/python -m benchmarks.pipeline.preprocess_speed
	@$(BIN)/python -m benchmarks.pipeline.preprocess_speed --millions 50 --visitors 5000000 --sides ours duckdb --rounds 1 --name preprocess_50m
	@$(BIN)/python -m benchmarks.pipeline.hot_rows
	@$(BIN)/python -m benchmarks.pipeline.read_exports
	@$(BIN)/python -m benchmarks.pipeline.read_exports --signals --interactions 40000
	@$(BIN)/python -m benchmarks.pipeline.read_rows
	@$(BIN)/python -m benchmarks.pipeline.runners
	@$(BIN)/python -m benchmarks.pipeline.startup
	@$(BIN)/python -m benchmarks.pipeline.startup --stages
	@$(BIN)/python -m benchmarks.pipeline.plot
	@$(BIN)/python docs/generate.py


##@ Release

docs: setup  ## the documentation as a site: data/site/index.html
	@NO_MKDOCS_2_WARNING=1 $(BIN)/python -m mkdocs build --strict
	@echo "data/site/index.html; with its search: python3 -m http.server --directory data/site"

docs-look: docs  ## each page of the site in Chromium: axe-core, and nothing wider than the screen
	@$(BIN)/python -m tests.kits.site

dist: setup  ## wheel and sdist in dist/; configs/__init__.py has the version
	@rm -rf dist build
	@$(BIN)/uv build --quiet --python $(BIN)/python --no-build-isolation --out-dir dist
	@ls dist

OFFLINE ?= fail
# Known vulnerabilities that are accepted: --ignore-vuln ID for each, and here the reason and the date.
ACCEPTED :=

audit: licences vulnerabilities sbom  ## licences and known vulnerabilities of the locked packages, and their list

licences: setup $(AUDIT)  ## fail at a package whose licence pyproject.toml does not allow
	@$(AUDIT)/bin/pip-licenses --python $(BIN)/python --summary

vulnerabilities: $(AUDIT)  ## fail at a locked version with a known vulnerability; asks api.osv.dev
	@if $(AUDIT)/bin/python -c "import socket; socket.create_connection(('api.osv.dev', 443), 10)" 2>/dev/null; then \
	  for lock in requirements.lock $(LOCKS); do \
	    $(AUDIT)/bin/pip-audit --vulnerability-service osv --disable-pip --require-hashes --progress-spinner off \
	    $(ACCEPTED) --requirement $$lock || exit 1; done; \
	else \
	  echo "vulnerabilities: NOT CHECKED, api.osv.dev cannot be reached from here; OFFLINE=skip lets that pass"; test $(OFFLINE) = skip; \
	fi

sbom: setup $(AUDIT)  ## software bill of materials of .venv: dist/sbom.cdx.json (CycloneDX)
	@mkdir -p dist
	@$(AUDIT)/bin/cyclonedx-py environment --output-reproducible --validate --output-file dist/sbom.cdx.json $(BIN)/python
	@echo "dist/sbom.cdx.json"
