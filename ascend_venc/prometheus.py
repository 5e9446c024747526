# SPDX-License-Identifier: Apache-2.0
"""The process's encoders as a collector of prometheus_client's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from . import stats

if TYPE_CHECKING:
    from collections.abc import Iterator

_PREFIX = "ascend_venc_"


class Collector:
    """Counters of all open encoders of the process, read anew for each scrape: `REGISTRY.register(Collector())`.

    The families, samples and labels are those of `ascend_venc.stats.prometheus`. It holds nothing, and keeps no encoder
    alive; `collect` may be called from any thread.

    Raises
    ------
    ImportError
        prometheus_client is not installed: pip install 'ascend-venc[prometheus]'.
    """

    def __init__(self) -> None:
        try:
            from prometheus_client import core
        except ImportError as error:
            raise ImportError(
                f"the collector needs prometheus_client: pip install 'ascend-venc[prometheus]' ({error}); without it "
                "ascend_venc.stats.prometheus() gives the text"
            ) from None
        self._core: Any = core

    def collect(self) -> Iterator[Any]:
        """Yield the metric families, as prometheus_client asks for them."""
        rows = list(stats.labels_and_stats())
        names = ("encoder", "name", "backend", "codec", "size")
        families = (
            (stats.COUNTERS, self._core.CounterMetricFamily),
            (stats.GAUGES, self._core.GaugeMetricFamily),
        )
        for table, kind in families:
            for name, attribute, text in table:
                family = kind(_PREFIX + name, text, labels=names)
                for labels, found in rows:
                    family.add_metric(list(labels.values()), getattr(found, attribute))
                yield family
        name, _, text = stats.DROPPED_FAMILY
        dropped = self._core.CounterMetricFamily(_PREFIX + name, text, labels=(*names, "reason"))
        for labels, found in rows:
            for reason, count in found.dropped.items():
                dropped.add_metric([*labels.values(), reason], count)
        yield dropped
        for name, attribute, text in stats.HISTOGRAMS:
            histogram = self._core.HistogramMetricFamily(_PREFIX + name, text, labels=names)
            for labels, found in rows:
                buckets, total = stats.cumulative(getattr(found, attribute))
                histogram.add_metric(list(labels.values()), buckets, total)
            yield histogram
