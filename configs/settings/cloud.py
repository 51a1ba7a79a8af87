"""Google Cloud's services."""

from __future__ import annotations

from pydantic import Field

from configs.settings.section import Section


class BigQuerySettings(Section):
    """BigQuery, where source.input, source.query or prediction.table names it."""

    project: str | None = Field(None, description="Project that runs the jobs and pays; none is the credentials' own.")
    location: str | None = Field(None, description="Where jobs run, e.g. EU; none is where the tables lie.")
    maximum_bytes_billed: int | None = Field(None, ge=1, description="A query that would read more is refused.")
    labels: dict[str, str] = Field(default_factory=dict, description="Of the jobs, to tell their cost apart.")
    temp_dataset: str | None = Field(
        None, description="PROJECT.DATASET for a query's result; none makes one for the run, and removes it."
    )
    retry_seconds: float = Field(120, gt=0, description="How long errors of the service are tried again.")
    endpoint: str | None = Field(None, description="URL of the REST service, e.g. of a private connection.")
    storage_endpoint: str | None = Field(None, description="The same for the Storage Read API; http:// for no TLS.")


class CloudSettings(Section):
    """What Google Cloud's services have in common; where a run needs none of them, nothing of it is read."""

    project: str | None = Field(None, description="Project of the jobs; BigQuery's too, unless it names its own.")
    region: str | None = Field(None, description="Of Dataflow and Vertex AI, e.g. europe-west1.")
    temp_location: str | None = Field(
        None, pattern=r"^gs://", description="gs:// directory in that region for what jobs stage."
    )
    service_account: str | None = Field(None, description="E-mail of the account that workers and training run as.")
    subnetwork: str | None = Field(None, description="regions/REGION/subnetworks/NAME of Dataflow's workers.")
    network: str | None = Field(None, description="projects/NUMBER/global/networks/NAME, for Vertex AI's training.")
    kms_key: str | None = Field(None, description="Key (CMEK) that encrypts what the jobs keep.")
    labels: dict[str, str] = Field(default_factory=dict, description="Of the jobs; BigQuery's too.")


class DataflowSettings(Section):
    """Dataflow, where beam.runner is DataflowRunner; options that are not here go under beam."""

    machine_type: str | None = Field(None, description="Of the workers, e.g. n2-highmem-4.")
    workers: int | None = Field(None, ge=1, description="To begin with; none lets Dataflow choose.")
    max_workers: int = Field(20, ge=1, description="Autoscaling never goes beyond.")
    disk_gb: int | None = Field(None, ge=10, description="Of each worker.")
    private_ips: bool = Field(False, description="No public addresses; the subnetwork needs Private Google Access.")
    container_image: str | None = Field(
        None,
        description="Image of the Dockerfile's target worker; unset installs setup.py on each worker, in minutes.",
    )


class VertexSettings(Section):
    """Vertex AI, where the trainer runs as a custom job."""

    image: str | None = Field(None, description="Of the deploy/docker/Dockerfile's target trainer.")
    machine_type: str = Field("n2-highmem-16", description="Of each machine.")
    accelerator_type: str | None = Field(None, description="E.g. NVIDIA_L4; none trains on processors.")
    accelerator_count: int = Field(1, ge=1, description="Of each machine, where there is an accelerator_type.")
    replicas: int = Field(1, ge=1, description="Machines that share the training.")
    disk_gb: int = Field(100, ge=100, description="Of each machine.")
    spot: bool = Field(False, description="Cheaper machines that may be taken away; training goes on where it was.")
    timeout_hours: float = Field(12, gt=0, description="After which the job is stopped.")
    register_as: str | None = Field(None, description="Name in the Model Registry; none registers no model.")
    serving_image: str = Field(
        "us-docker.pkg.dev/vertex-ai/prediction/tf2-cpu.2-15:latest", description="That serves a registered model."
    )
    poll_seconds: float = Field(15, gt=0, description="How often to ask how a job is doing.")
    endpoint: str | None = Field(None, description="Of the service, where it is not the region's own.")
