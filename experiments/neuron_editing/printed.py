"""The numbers that neuron editing's paper prints, as rows beside ours."""

from __future__ import annotations

from experiments._lib import published
from experiments.neuron_editing import names

METHODS = {
    "neuron_editing": names.EDITING,
    "gan": "GAN",
    "cyclegan": "CycleGAN",
    "resnetgan": "ResnetGAN",
    "regae": "regularised autoencoder",
    "constant_shift": "constant shift of neurons",
    "cca": "CCA",
    "mnn": "MNN",
    "combat": "ComBat",
    "limma": "limma",
}
METRICS = {"fid": "FID", "r_median_change": "r medians", "r_means": "r means", "r_variances": "r variances"}


def rows(*tables: str) -> list[dict]:
    """Return the numbers of tables: the method as it is called here, the metric, the number, and its deviation."""
    if not tables:
        return []
    found: dict[tuple[str, str, str], dict[str, float]] = {}
    for line in published.read("neuron_editing"):
        if line["table"] in tables:
            key = line["table"], METHODS[line["method"]], METRICS[line["metric"]]
            found.setdefault(key, {})[line["statistic"]] = float(line["value"])
    return [
        {"printed_in": table, "method": method, "metric": metric}
        | {"published": told.get("value", told.get("mean")), "published_sd": told.get("std")}
        for (table, method, metric), told in found.items()
    ]
