"""The page of all metrics, from their registry."""

from __future__ import annotations

from boneseg.evaluation.metrics import DIAGONAL, METRICS, columns
from scripts.reference.markdown import escaped, table


def metrics() -> str:
    """The page of all metrics."""
    lines = [
        "# Metrics",
        "",
        "This page is generated from the registered metrics. P is the prediction and T the truth, "
        "as sets of pixels. [The policy](../explanation/metrics.md) says how they are averaged.",
        "",
    ]
    rows = []
    for name in columns():
        one = METRICS[name]
        direction = "higher" if one.higher_is_better else "lower"
        alone = "diagonal of the image" if one.one_empty == DIAGONAL else f"{one.one_empty:g}"
        words = escaped(one.description.rstrip("."))
        rows.append((f"`{name}`", words, direction, f"{one.both_empty:g}", alone))
    lines += table(("name", "meaning", "better", "both masks empty", "one empty"), rows)
    return "\n".join(lines) + "\n"
