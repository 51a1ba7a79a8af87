"""The pipeline's work on a table, in pandas; Parquet both ways.

python benchmarks/pipeline/peer_pandas.py SOURCE TARGET
"""

import sys

import pandas as pd

source, target = sys.argv[1:]
pairs = pd.read_parquet(source).groupby(["visitorId", "contentId"], as_index=False).duration_ms.sum()
pairs = pairs[pairs.duration_ms > 0]
for name, index in (("visitorId", "userId"), ("contentId", "itemId")):
    counts = pairs[name].value_counts().rename_axis("id").reset_index(name="n")
    order = counts.sort_values(["n", "id"], ascending=False).id.reset_index(drop=True)
    pairs[index] = pairs[name].map(pd.Series(order.index, index=order))
    order.to_csv(f"{target}/{index}.csv", index=False)
pairs["rating"] = (0.3 * pairs.duration_ms / pairs.duration_ms.median()).clip(upper=1).astype("float32")
for key, other in (("userId", "itemId"), ("itemId", "userId")):
    pairs.sort_values([key, other])[[key, other, "rating"]].to_parquet(f"{target}/{key}.parquet")
print(len(pairs))
