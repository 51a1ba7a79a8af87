"""The pipeline's work on a table, in DuckDB; Parquet both ways.

python benchmarks/pipeline/peer_duckdb.py SOURCE TARGET
"""

import sys

import duckdb

source, target = sys.argv[1:]
run = duckdb.connect(config={"threads": 2, "temp_directory": target}).execute
run(f"""
    CREATE TABLE pairs AS
    SELECT visitorId, contentId, sum(duration_ms) AS dwell FROM read_parquet('{source}/*')
    GROUP BY ALL HAVING dwell > 0""")  # noqa: S608
for name, index in (("visitorId", "userId"), ("contentId", "itemId")):
    run(f"""
        CREATE TABLE {index}s AS
        SELECT id, row_number() OVER (ORDER BY n DESC, id DESC) - 1 AS index
        FROM (SELECT {name} AS id, count(*) AS n FROM pairs GROUP BY id)""")  # noqa: S608
    run(f"COPY (SELECT id FROM {index}s ORDER BY index) TO '{target}/{index}.csv'")  # noqa: S608
run("""
    CREATE TABLE ratings AS
    SELECT u.index AS userId, i.index AS itemId,
           least(1, 0.3 * dwell / (SELECT median(dwell) FROM pairs))::FLOAT AS rating
    FROM pairs JOIN userIds u ON u.id = visitorId JOIN itemIds i ON i.id = contentId""")
for key, other in (("userId", "itemId"), ("itemId", "userId")):
    ordered = f"SELECT {key}, {other}, rating FROM ratings ORDER BY {key}, {other}"  # noqa: S608
    run(f"COPY ({ordered}) TO '{target}/{key}.parquet'")
print(run("SELECT count(*) FROM ratings").fetchone()[0])
