"""Rows per second from a BigQuery table by the Storage Read API: our source next to Beam's ReadFromBigQuery.

    python -m benchmarks.pipeline.bigquery_read [--rows 1000000] [--rounds 5]

Both read the same table of pairs (visitorId, contentId, amount, time_ms; made data, seed 1) from bqemulator on
this machine, in turns within a minute or two, by Beam's in-process runner: ours to Arrow batches with the account
of every row, Beam's (DIRECT_READ) to a dict a row, counted. Beam's source has no setting for where the service is: its
clients are led to the emulator by hand. The emulator keeps the table in memory, so that its own work is small.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from functools import partial
from pathlib import Path

import apache_beam as beam
import grpc
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from apache_beam.internal.http_client import get_new_http
from apache_beam.io.gcp import bigquery as beam_bigquery
from apache_beam.io.gcp import bigquery_tools
from apache_beam.options.pipeline_options import PipelineOptions
from google.auth.credentials import AnonymousCredentials
from google.cloud import bigquery, bigquery_storage_v1
from google.cloud.bigquery_storage_v1.services.big_query_read.transports import BigQueryReadGrpcTransport

from benchmarks.support import machine
from configs.settings import Settings
from pipeline.sources import inputs
from pipeline.sources.select import source_of
from pipeline.sources.source import Source
from tests.support.bigquery_server import PROJECT, Server, serving

_FIELD = bigquery.SchemaField
SCHEMA = [
    _FIELD("visitorId", "STRING"),
    _FIELD("contentId", "STRING"),
    _FIELD("amount", "FLOAT"),
    _FIELD("time_ms", "INTEGER"),
]
_FLAGS = ["--runner=FnApiRunner"]


def make(server: Server, rows: int) -> None:
    rng = np.random.default_rng(1)
    visitors = rng.integers(0, rows // 10 + 1, rows)
    table = pa.table(
        {
            "visitorId": pa.array([f"{3_000_000_000_000_000_000 + visitor}" for visitor in visitors]),
            "contentId": pa.array([f"{item}" for item in rng.zipf(1.3, rows) % 20_000]),
            "amount": rng.exponential(60_000, rows),
            "time_ms": rng.integers(1_704_067_200_000, 1_706_659_200_000, rows),
        }
    )
    pq.write_table(table, server.bucket / "pairs.parquet")
    with server.client as client:
        client.create_dataset("bench")
        client.create_table(bigquery.Table(f"{PROJECT}.bench.pairs", SCHEMA))
        config = bigquery.LoadJobConfig(schema=SCHEMA, source_format="PARQUET")
        client.load_table_from_uri("gs://pairs.parquet", f"{PROJECT}.bench.pairs", job_config=config).result(
            timeout=300
        )


def _count(source: Source, stream: str) -> int:
    return sum(source.extract(raw, stream).table.num_rows for raw in source.read(stream))


def ours(server: Server) -> int:
    source = {
        "kind": "table",
        "input": f"bq://{PROJECT}.bench.pairs",
        "duration_column": "amount",
        "time_column": "time_ms",
    }
    settings = Settings.model_validate({"source": source, "bigquery": server.settings()})
    with inputs.opened(settings) as found, tempfile.TemporaryDirectory() as folder:
        source = source_of(settings.source, settings.rating, settings.split, found.read)
        with beam.Pipeline(options=PipelineOptions(_FLAGS)) as pipeline:
            counts = pipeline | beam.Create(found.files) | beam.Map(partial(_count, source))
            counts | beam.CombineGlobally(sum) | beam.Map(lambda count: Path(folder, "count").write_text(str(count)))
        return int(Path(folder, "count").read_text())


def beams(server: Server) -> int:
    with tempfile.TemporaryDirectory() as folder:
        with beam.Pipeline(options=PipelineOptions([*_FLAGS, f"--project={PROJECT}"])) as pipeline:
            rows = pipeline | beam.io.ReadFromBigQuery(
                table=f"{PROJECT}:bench.pairs", method=beam.io.ReadFromBigQuery.Method.DIRECT_READ
            )
            counts = rows | beam.combiners.Count.Globally()
            counts | beam.Map(lambda count: Path(folder, "count").write_text(str(count)))
        return int(Path(folder, "count").read_text())


def lead_beam_to(server: Server) -> None:
    """Put clients of the emulator where Beam makes its own."""
    channel = grpc.insecure_channel(server.storage.removeprefix("http://"))
    storage = bigquery_storage_v1.BigQueryReadClient(transport=BigQueryReadGrpcTransport(channel=channel))
    beam_bigquery.bq_storage.BigQueryReadClient = lambda *args, **kwargs: storage
    options = {"api_endpoint": server.rest}
    make_client = bigquery_tools.gcp_bigquery.Client
    bigquery_tools.gcp_bigquery.Client = lambda *args, **kwargs: make_client(
        PROJECT, AnonymousCredentials(), client_options=options
    )
    bigquery_tools.BigQueryWrapper._bigquery_client = staticmethod(
        lambda options: bigquery_tools.bigquery.BigqueryV2(
            url=f"{server.rest}/bigquery/v2/", http=get_new_http(), get_credentials=False, response_encoding="utf8"
        )
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder, serving(Path(folder)) as server:
        make(server, args.rows)
        lead_beam_to(server)
        sides = {"ours": ours, "beam": beams}
        seconds: dict[str, list[float]] = {name: [] for name in sides}
        for _ in range(args.rounds):
            for name, side in sides.items():
                if not server.datasets():  # Beam's source removed them: the emulator ignores the filter of its clean-up
                    make(server, args.rows)
                started = time.perf_counter()
                count = side(server)
                seconds[name].append(time.perf_counter() - started)
                if count != args.rows:
                    sys.exit(f"{name} read {count:,} rows of {args.rows:,}")
    print(machine.describe())
    rates = {name: args.rows / statistics.median(some) for name, some in seconds.items()}
    ratios = [b / a for a, b in zip(seconds["ours"], seconds["beam"], strict=True)]
    for name, rate in rates.items():
        print(f"{name:8}{rate:12,.0f} rows a second")
    print(f"ours is {statistics.median(ratios):.1f} times as fast ({min(ratios):.1f} to {max(ratios):.1f})")
    ratio = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    machine.save("bigquery_read", {"seed": 1, "rows": args.rows, "rows_per_second": rates, "ratio": ratio})


if __name__ == "__main__":
    main()
