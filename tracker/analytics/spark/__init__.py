"""The same fold on Apache Spark, for logs that are too large for one machine.

::

    from tracker.analytics.spark import fold_events, read_kafka

    with fold_events(read_kafka(spark, "kafka://host:9092/tasks")) as folded:
        folded.statuses.write.parquet("statuses")
        folded.refused.show()

``python -m tracker.analytics.spark`` does that, or loads what was folded into a store that live workers go on with.
"""

from tracker.analytics.spark.folding import Folded, fold_events
from tracker.analytics.spark.reading import read_jsonl, read_kafka

__all__ = ["Folded", "fold_events", "read_jsonl", "read_kafka"]
