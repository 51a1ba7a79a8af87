"""Sections for Google Cloud's services: BigQuery, Dataflow and Vertex AI."""

from __future__ import annotations

from pydantic import Field, PositiveFloat, PositiveInt

from configs.settings.section import Section


class BigQuerySettings(Section):
    """BigQuery, used if source.input, source.query or prediction.table names it."""

    project: str | None = None
    """Project that runs the jobs and pays for them; unset takes cloud.project, then the credentials'."""
    location: str | None = None
    """Location in which jobs run, e.g. EU; unset takes the location of the tables."""
    maximum_bytes_billed: PositiveInt | None = None
    """Most bytes that a run may read of tables and in queries; a larger read is refused before it costs anything."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of the jobs, to tell their cost apart; added to those of cloud.labels."""
    temp_dataset: str | None = None
    """PROJECT.DATASET for a query's result; unset creates a dataset for the run and deletes it. A table needs none."""
    retry_seconds: PositiveFloat = 120
    """Seconds during which a request is repeated after errors of the service."""
    endpoint: str | None = None
    """URL of the REST service, e.g. of a private connection."""
    storage_endpoint: str | None = None
    """Address of the Storage Read API, e.g. of a private connection; http:// means without TLS."""


class CloudSettings(Section):
    """Values that Google Cloud's services share. A run that uses none of the services reads none of them."""

    project: str | None = None
    """Project of the jobs; BigQuery's too, unless bigquery.project is set."""
    region: str | None = None
    """Region of Dataflow and Vertex AI, e.g. europe-west1."""
    temp_location: str | None = Field(None, pattern=r"^gs://")
    """gs:// directory in that region for the files that jobs stage."""
    service_account: str | None = None
    """E-mail of the service account that Dataflow's workers and the training run as."""
    subnetwork: str | None = None
    """Subnetwork of Dataflow's workers, as regions/REGION/subnetworks/NAME."""
    network: str | None = None
    """Network of Vertex AI's training, as projects/NUMBER/global/networks/NAME."""
    kms_key: str | None = None
    """Customer-managed key (CMEK) that encrypts the files and tables that the jobs keep."""
    labels: dict[str, str] = Field(default_factory=dict)
    """Labels of all jobs, BigQuery's included."""


class DataflowSettings(Section):
    """Dataflow, used if beam.runner is DataflowRunner. Options that are not here belong under beam."""

    machine_type: str | None = None
    """Machine type of the workers, e.g. n2-highmem-4; unset lets Dataflow choose."""
    workers: PositiveInt | None = None
    """Number of workers at the start; unset lets Dataflow choose."""
    max_workers: PositiveInt = 20
    """Largest number of workers that autoscaling may start."""
    disk_gb: int | None = Field(None, ge=10)
    """Disk of each worker in GB; unset takes Dataflow's default."""
    private_ips: bool = False
    """Start workers without public addresses; the subnetwork then needs Private Google Access."""
    container_image: str | None = None
    """Image of the workers, built from target worker of deploy/docker/Dockerfile; unset installs setup.py on each
    worker, which takes minutes."""


class VertexSettings(Section):
    """Vertex AI, which runs the training as a custom job if vertex.image is set."""

    image: str | None = None
    """Image of the training, built from target trainer of deploy/docker/Dockerfile; unset trains on this machine."""
    machine_type: str = "n2-highmem-16"
    """Machine type of each machine that trains."""
    accelerator_type: str | None = None
    """Accelerator of each machine, e.g. NVIDIA_L4; unset trains on processors."""
    accelerator_count: PositiveInt = 1
    """Accelerators of each machine, if accelerator_type is set."""
    replicas: PositiveInt = 1
    """Number of machines that share the training."""
    disk_gb: int = Field(100, ge=100)
    """Disk of each machine in GB."""
    spot: bool = False
    """Use cheaper machines that Google may take away; training then continues from its last checkpoint."""
    timeout_hours: PositiveFloat = 12
    """Hours after which Vertex AI stops the job."""
    register_as: str | None = None
    """Name under which the Model Registry gets the model; unset registers no model."""
    serving_image: str = "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest"
    """Image that serves a registered model on Vertex AI."""
    poll_seconds: PositiveFloat = 15
    """Seconds between two requests for the state of a job."""
    endpoint: str | None = None
    """Address of the service; unset takes the region's, REGION-aiplatform.googleapis.com."""
