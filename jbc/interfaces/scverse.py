"""The scverse face of every method."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from jbc.data.io.columns import METADATA
from jbc.errors import InputError, listing, warn
from jbc.interfaces import expression
from jbc.methods.registry import to_json
from jbc.validation import checks
from jbc.validation.alignment import aligned
from jbc.validation.dense import densify

if TYPE_CHECKING:
    from pathlib import Path

    import pandas as pd
    from anndata import AnnData

    from jbc.methods.base import Method
    from jbc.methods.prepare import Mixtures
    from jbc.model import Model
    from jbc.model.gaps import Fill

# Metrics, where they are asked for, look at this many random rows: enough for two digits, at any size of table.
JUDGED = 3000


def correct(
    adata: AnnData,
    method: Method | None = None,
    *,
    batch_key: str,
    labels_key: str | None = None,
    treatment_key: str | None = None,
    unit_key: str | None = None,
    covariate_keys: Sequence[str] = (),
    order_key: str | None = None,
    control: Any = None,
    layer: str | None = None,
    use_rep: str | None = None,
    key_added: str = "X_jbc",
    metrics: bool = False,
    copy: bool = False,
    steps: int | None = None,
    random_state: Any = 0,
    composition: Mixtures = "estimate",
    fill: Fill | None = None,
    checkpoints: str | Path | None = None,
    verbose: bool = True,
) -> AnnData | None:
    """Correct annotated data for the batch of their rows.

    Parameters
    ----------
    adata
        The data; its rows are never reordered.
    method
        What to fit; :class:`~jbc.JointCalibration` when None.
    batch_key, labels_key, treatment_key, unit_key
        Columns of ``obs`` with batch, class (unknown as :func:`jbc.validation.names.unknown` tells), condition and
        subject.
    covariate_keys
        Columns of ``obs`` with what differs between rows for reasons of its own, and must be kept: numbers, or levels
        where they are texts or categories.
    order_key
        Column of ``obs`` with the place of the row in the run: a number, or a time.
    control
        Rows of the same material in every batch: a mask, or comparisons of columns of ``obs`` such as
        ``"Metadata_Compound == 'DMSO'"``, read as `jbc.interfaces.expression.rows` tells and never run as code.
    layer, use_rep
        Take the measurements from a layer, or from ``obsm``, instead of ``X``. Sparse ones are made dense
        chunk by chunk, and refused when they do not fit into memory.
    key_added
        Where in ``obsm`` the result goes. The other fields have this name without ``X_``. What an earlier call has
        written under these names is replaced, and anything else that is there is refused.
    metrics
        Measure how visible batches and classes are, before and after; this takes much longer than a correction in
        closed form.
    copy
        Return a changed copy.
    steps, random_state, composition, fill, checkpoints, verbose
        As for :class:`jbc.Corrector`. Missing values (NaN) stay missing, unless ``fill="centre"``.

    Returns
    -------
    AnnData or None
        Depending on ``copy``, returns or updates ``adata`` with the following fields.

        ``.obsm[key_added]``
            Latent codes of the rows; for methods without codes, the corrected measurements.
        ``.layers["jbc"]``
            Corrected measurements (``.obsm["X_jbc_features"]`` when they came from ``use_rep``).
        ``.obs["jbc_label"]``, ``.obs["jbc_probability"]``
            Most likely class, and its probability, if there are labels and the method classifies.
        ``.uns["jbc"]``
            Configuration, seed, steps, target if there is one; and ``metrics`` before and after, where asked for.

    Examples
    --------
    >>> import jbc
    >>> adata = jbc.datasets.load("simulated-plates")
    >>> jbc.correct(adata, jbc.Standardise(), batch_key="domain", labels_key="label")
    >>> adata.obsm["X_jbc"].shape == adata.layers["jbc"].shape == adata.shape
    True
    """
    from jbc.cohort import Cohort
    from jbc.cohort.columns import COLUMNS
    from jbc.interfaces.estimator import seed_of
    from jbc.methods.base import Classifies, Encodes, can
    from jbc.methods.joint import JointCalibration
    from jbc.model import fit

    method, base = JointCalibration() if method is None else method, key_added.removeprefix("X_")
    classified = labels_key is not None and can(method, Classifies)
    _not_taken(adata, key_added, base, use_rep, classified)
    if not adata.obs_names.is_unique:
        twice = adata.obs_names[adata.obs_names.duplicated()].unique()
        warn(
            f"Names of rows that occur more than once: {listing(twice)}. Rows are corrected by position, but other "
            "tools pair them by name: adata.obs_names_make_unique() makes the names different."
        )
    if copy:
        adata = adata.copy()
    found, names = _measurements(adata, layer, use_rep)
    x = densify(found)
    if use_rep is None:
        _no_metadata(adata)
    columns = {"domain": batch_key, "label": labels_key, "treatment": treatment_key, "unit": unit_key}
    columns["order"] = order_key
    groups: dict[str, Any] = {role: _column(adata, key) for role, key in columns.items() if key is not None}
    if covariate_keys:
        groups["covariates"] = {key: _column(adata, key) for key in covariate_keys}
    beside = {column.cohort: groups.get(column.cohort) for column in COLUMNS if column.new_rows}
    label = groups.pop("label", None)
    if label is not None:
        # Words that are taken for unknown are reported here, and not again by the metrics.
        label = checks.known_labels(label, len(label))
    if isinstance(control, str):
        control = expression.controls(control, {key: adata.obs[key] for key in adata.obs.columns})
    control = aligned(adata.obs, control=control)["control"]
    cohort = Cohort.from_arrays(x, label=label, control=control, features=names, **groups)
    model = fit(
        method,
        cohort,
        seed=seed_of(random_state),
        steps=steps,
        composition=composition,
        checkpoints=checkpoints,
        verbose=verbose,
    )
    corrected = model.transform(x, **beside, fill=fill)
    adata.obsm[key_added] = model.encode(x, **beside) if can(method, Encodes) else corrected
    if use_rep is None:
        adata.layers[base] = corrected
    else:
        adata.obsm[f"{key_added}_features"] = corrected
    if classified and model.names.labels:
        probability = model.predict_proba(x, **beside)
        adata.obs[f"{base}_label"] = _categories(model.classes, probability.argmax(axis=1))
        adata.obs[f"{base}_probability"] = probability.max(axis=1)
    adata.uns[base] = _receipt(model, columns, covariate_keys)
    if metrics:
        adata.uns[base] |= _judged(model, x, corrected, groups, label)
    return adata if copy else None


def _not_taken(adata: AnnData, key_added: str, base: str, use_rep: str | None, classified: bool) -> None:
    """Refuse to replace what is there, unless an earlier call has written it."""
    receipt = adata.uns.get(base)
    if isinstance(receipt, Mapping) and receipt.keys() >= {"method", "seed", "steps", "columns"}:
        return
    written = [("obsm", key_added), ("uns", base)]
    written += [("layers", base)] if use_rep is None else [("obsm", f"{key_added}_features")]
    written += [("obs", f"{base}_label"), ("obs", f"{base}_probability")] if classified else []
    taken = [f"{field}: {name}" for field, name in written if name in getattr(adata, field)]
    if taken:
        raise InputError(
            "The data have fields by the names of the results, and no earlier call has written them",
            which=taken,
            why="What they hold would be lost.",
            fix="Rename or remove them, or choose other names by key_added.",
            code="taken-fields",
        )


def _measurements(adata: AnnData, layer: str | None, use_rep: str | None) -> tuple[Any, list[str]]:
    """Return the measurements, and the names of their columns."""
    if layer is not None and use_rep is not None:
        raise InputError(
            "Both layer and use_rep are given",
            which=[layer, use_rep],
            why="Only one table can be corrected.",
            fix="Pass one of them.",
            code="layer-and-rep",
        )
    for name, home, fields in (("layer", "layers", adata.layers), ("use_rep", "obsm", adata.obsm)):
        key = layer if name == "layer" else use_rep
        if key is not None:
            if key not in fields:
                raise InputError(
                    f"{name} is not in .{home}",
                    which=[key],
                    why="The measurements are taken from there.",
                    fix=f"Use one of {', '.join(map(repr, fields)) or 'those that you add first'}.",
                    code="missing-field",
                )
            found: Any = fields[key]
            names = adata.var_names if name == "layer" else _names_in(found, key)
            return found.to_numpy() if hasattr(found, "to_numpy") else found, _different(names)
    if adata.X is None:
        raise InputError(
            "The data have no .X",
            why="The measurements are taken from there.",
            fix="Name a layer (layer=) or an embedding (use_rep=).",
            code="no-measurements",
        )
    return adata.X[:] if adata.isbacked else adata.X, _different(adata.var_names)


def _names_in(embedding: Any, key: str) -> Iterable[Any]:
    """Return the names of the columns of an embedding, numbered where it has none."""
    if hasattr(embedding, "columns"):
        return embedding.columns
    return (f"{key}{i}" for i in range(embedding.shape[1]))


def _different(names: Iterable[Any]) -> list[str]:
    """Return names as texts; those that occur more than once, as symbols of genes do, with their positions."""
    names = list(map(str, names))
    count = Counter(names)
    return [name if count[name] == 1 else f"{name} (column {i})" for i, name in enumerate(names)]


def _no_metadata(adata: AnnData) -> None:
    """Refuse tables of pycytominer that were taken for measurements as a whole."""
    metadata = [name for name in adata.var_names if name.startswith(METADATA)]
    if metadata:
        raise InputError(
            "Columns of metadata are among the measurements",
            which=metadata,
            why=f"What is named {METADATA}… tells about a row, and is no feature of it.",
            fix="Move them to .obs, and keep the other columns in .X.",
            code="metadata-in-x",
        )


def _column(adata: AnnData, key: str) -> np.ndarray:
    if key not in adata.obs:
        raise checks.missing_column(key, list(adata.obs.columns))
    return adata.obs[key].to_numpy(dtype=object)


def _categories(classes: np.ndarray, code: np.ndarray) -> Any:
    import pandas as pd

    return pd.Categorical.from_codes(code, categories=[str(each) for each in classes])


def _receipt(model: Model, columns: dict[str, str | None], covariates: Sequence[str]) -> dict[str, Any]:
    """Return the configuration, in types that h5ad can hold."""
    return {
        "method": json.dumps(to_json(model.method)),
        "seed": model.record.seed,
        "steps": model.record.steps,
        "target": model.record.target,
        "columns": {role: key for role, key in columns.items() if key is not None},
        "covariates": list(covariates),
        "domains": list(model.names.domains),
    }


def _judged(
    model: Model, x: np.ndarray, corrected: np.ndarray, groups: dict[str, Any], label: Any
) -> dict[str, Any]:
    """Return metrics before and after, or why there are none."""
    some = np.sort(np.random.default_rng(0).permutation(len(x))[:JUDGED])
    domain, unit = groups["domain"][some], groups["unit"][some] if "unit" in groups else None
    label = None if label is None else label[some]
    try:
        _, observed = checks.values(x[some], model.names.features, new=True)
        if observed is not None:
            raise checks.incomplete(observed, model.names.features, "The evaluation")
        return {"metrics": _metrics(x[some], corrected[some], domain, label, unit)}
    except InputError as error:  # too few rows or units to judge are no reason to lose the correction
        return {"unjudged": str(error)}


def _metrics(x: np.ndarray, corrected: np.ndarray, domain: Any, label: Any, unit: Any) -> pd.DataFrame:
    import pandas as pd

    from jbc.metrics import bandwidth_ladder, evaluate

    ladder = bandwidth_ladder(x)
    rows = [
        {"table": when} | row
        for when, table in (("before", x), ("after", corrected))
        for row in evaluate(table, domain, label, unit, bandwidths=ladder)
    ]
    metrics = pd.DataFrame(rows)
    text, numbers = ["table", "metric", "domain", "other", "label"], ["value", "sd", "reference"]
    metrics[text] = metrics[text].fillna("").astype(str)
    metrics[numbers] = metrics[numbers].astype(np.float64)
    metrics.index = metrics.index.astype(str)
    return metrics
