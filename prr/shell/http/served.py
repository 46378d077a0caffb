"""What HTTP itself has to do: counted for the metrics."""

from collections import Counter
from collections.abc import Callable, Iterator

from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, Metric


class Served:
    """Counts of one binder's HTTP server."""

    def __init__(self) -> None:
        self.answers: Counter[int] = Counter()
        """By status."""
        self.dropped: Counter[str] = Counter()
        """Connections that were ended, by why."""
        self.connections: Callable[[], int] = int
        self.watchers: Callable[[], int] = int

    def drop(self, why: str) -> None:
        """A connection is ended."""
        self.dropped[why] += 1

    def families(self) -> Iterator[Metric]:
        """All of it, for Prometheus."""
        answers = CounterMetricFamily("prr_http_responses", "by status", labels=["code"])
        for status, count in sorted(self.answers.items()):
            answers.add_metric([str(status)], count)
        dropped = CounterMetricFamily(
            "prr_http_connections_dropped", "by what was wrong with them", labels=["reason"]
        )
        for reason, count in sorted(self.dropped.items()):
            dropped.add_metric([reason], count)
        yield answers
        yield dropped
        yield GaugeMetricFamily(
            "prr_http_connections", "open now, watchers not counted", value=self.connections()
        )
        yield GaugeMetricFamily("prr_http_watchers", "who watch now", value=self.watchers())
