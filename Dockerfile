# Images, all pinned by requirements.lock:
#   docker build --target worker   -t REGION-docker.pkg.dev/PROJECT/wals/worker:0.1.0 .
#   docker build --target template -t REGION-docker.pkg.dev/PROJECT/wals/template:0.1.0 .
#   docker build --target trainer  -t REGION-docker.pkg.dev/PROJECT/wals/trainer:0.1.0 .
#   docker build --target server   -t REGION-docker.pkg.dev/PROJECT/wals/server:0.1.0 .
#   docker build --target trainer --build-arg TENSORFLOW='tensorflow[and-cuda]' -t ...trainer:0.1.0-gpu .

# Dataflow's workers (dataflow.container_image): all packages are there, so that a worker starts in seconds. It submits
# the jobs too, as a Cloud Run job or from Composer: python -m pipeline.preprocess --config ...
FROM apache/beam_python3.11_sdk:2.77.0 AS worker
WORKDIR /app
COPY requirements.lock setup.py pyproject.toml README.md LICENSE ./
COPY configs configs
COPY pipeline pipeline
COPY trainer trainer
COPY cloud cloud
COPY nightly nightly
COPY report report
COPY serving serving
RUN pip install --no-cache-dir "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)" \
    && uv pip install --system --no-cache --compile-bytecode --constraint requirements.lock . \
    && pip check

# The launcher of a Dataflow Flex Template (docs/gcp.md): the same packages, and Google's program that starts launch.py.
FROM worker AS template
COPY --from=gcr.io/dataflow-templates-base/python311-template-launcher-base:latest \
     /opt/google/dataflow/python_template_launcher /opt/google/dataflow/python_template_launcher
COPY flex_template flex_template
ENV FLEX_TEMPLATE_PYTHON_PY_FILE=/app/flex_template/launch.py

# Vertex AI's machines (vertex.image): no Beam, no TF-Transform.
FROM python:3.11-slim AS trainer
ARG TENSORFLOW=tensorflow
WORKDIR /app
COPY requirements.lock setup.py pyproject.toml README.md LICENSE ./
COPY configs configs
COPY trainer trainer
RUN pip install --no-cache-dir "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)" \
    && uv pip install --system --no-cache --compile-bytecode --constraint requirements.lock \
       "$TENSORFLOW" google-cloud-storage google-crc32c numba numpy optuna orjson pyarrow pydantic pyyaml rich scipy \
       threadpoolctl \
    && pip uninstall --yes --quiet uv pip \
    && useradd --create-home --uid 10001 wals
# Nothing in here needs root. Numba keeps what it compiled in the home of the user.
USER wals
ENTRYPOINT ["python", "-m", "trainer.task"]

# The server: the newest version in /models, for whoever reaches the port. No Beam, no trainer, no root.
#   docker run --rm -p 127.0.0.1:8501:8501 -v "$PWD/data/serving:/models:ro" ...server:0.1.0
FROM python:3.11-slim AS server
WORKDIR /app
COPY requirements.lock ./
RUN pip install --no-cache-dir "$(sed -n 's/^\(uv==[^ ]*\).*/\1/p' requirements.lock)" \
    && uv pip install --system --no-cache --compile-bytecode --constraint requirements.lock \
       fastapi google-crc32c httptools numpy orjson prometheus-client pydantic pyyaml tensorflow uvicorn uvloop
COPY configs configs
COPY serving serving
USER 10001:10001
EXPOSE 8501
HEALTHCHECK CMD ["python", "-c", "import urllib.request as r; r.urlopen('http://127.0.0.1:8501/healthz', timeout=3)"]
ENTRYPOINT ["python", "-m", "serving.server", "--config", "configs/local.yaml"]
CMD ["--host", "0.0.0.0", "--directory", "/models"]
