"""Scores of a corrected table whose populations are known: whether like lies with like, and what a correction costs.

A score is computed on the columns that it is given, or, where these are more than 50, on `spaces.space` of them.
Compare methods on that of every table, so that features count alike. ``line`` is the true population of a row.
"""

from __future__ import annotations

from typing import Any, Literal

import numpy as np
from threadpoolctl import threadpool_limits

from experiments.composition.spaces import nearest, points
from jbc import metrics

NEAR = 15  # neighbours that vote
AROUND, PERPLEXITY = 90, 30.0  # of the inverse Simpson index, as published
Model = Literal["logistic", "boosting"]
FEW = 5  # groups of fewer rows are not looked at alone


def elsewhere(domain: np.ndarray, line: np.ndarray) -> np.ndarray:
    """Return which rows have their line in another domain as well."""
    homes = {name: np.unique(domain[line == name]) for name in np.unique(line)}
    return np.array([len(homes[name]) > 1 for name in line])


# Like with like


def same_line(x: np.ndarray, domain: np.ndarray, line: np.ndarray) -> dict[str, float]:
    """Return how many of the nearest rows of other domains are of the same line.

    Only rows whose line occurs in another domain count. ``same_line`` looks at the nearest row, ``same_line_15`` at
    the mean over 15; ``balanced`` is the mean over lines of the first, and ``worst`` its least value over all domains
    and lines of 5 rows or more.
    """
    x, counts = points(x), elsewhere(domain, line)
    share = np.full((len(x), 2), np.nan)
    for name in np.unique(domain):
        mine, others = domain == name, np.flatnonzero(domain != name)
        _, found = nearest(x[others], x[mine], NEAR)
        same = line[others][found] == line[mine][:, None]
        share[mine] = np.stack([same[:, 0], same.mean(axis=1)], axis=1)
    if not counts.any():
        return dict.fromkeys(("same_line", "same_line_15", "balanced", "worst"), np.nan)
    by_line = [share[counts & (line == name), 0].mean() for name in np.unique(line[counts])]
    _, cell = np.unique(np.stack([domain, line]), axis=1, return_inverse=True)
    cells = [counts & (cell.reshape(-1) == k) for k in range(cell.max() + 1)]
    each = [share[rows, 0].mean() for rows in cells if rows.sum() >= FEW]
    one, many = share[counts].mean(axis=0)
    found = {
        "same_line": one,
        "same_line_15": many,
        "balanced": np.mean(by_line),
        "worst": min(each, default=np.nan),
    }
    return {name: float(value) for name, value in found.items()}


def ilisi(
    x: np.ndarray, domain: np.ndarray, neighbours: int = AROUND, perplexity: float = PERPLEXITY
) -> np.ndarray:
    r"""Return the inverse Simpson index of the domains around every row, (n,), between 1 and their number.

    .. math:: \Bigl(\sum_g p_g^2\Bigr)^{-1}, \qquad p_g = \sum_{j \in g} w_j, \quad w_j \propto e^{-\beta d_j}

    over the nearest rows, with :math:`\beta` for which the weights have this perplexity (Korsunsky et al. 2019).
    Around few rows both numbers are smaller, in their proportion.
    """
    x = points(x)
    k = min(neighbours, len(x) - 1)
    distance, found = nearest(x, x, k + 1)
    weight = weights(distance[:, 1:], perplexity * k / neighbours)
    _, code = np.unique(domain, return_inverse=True)
    share = np.stack([(weight * (code[found[:, 1:]] == g)).sum(axis=1) for g in range(code.max() + 1)])
    return 1 / np.square(share).sum(axis=0)


def weights(distance: np.ndarray, perplexity: float) -> np.ndarray:
    """Return weights of neighbours that add up to 1, whose entropy is the logarithm of the perplexity."""
    distance = distance - distance.min(axis=1, keepdims=True)
    distance = distance / np.maximum(distance.mean(axis=1, keepdims=True), 1e-300)
    low, high = np.full((2, len(distance), 1), [[[-20.0]], [[20.0]]])  # logarithms of beta
    for _ in range(60):
        middle = (low + high) / 2
        weight = np.exp(-np.exp(middle) * distance)
        weight /= weight.sum(axis=1, keepdims=True)
        entropy = -(weight * np.log(np.maximum(weight, 1e-300))).sum(axis=1, keepdims=True)
        wide = entropy > np.log(perplexity)
        low, high = np.where(wide, middle, low), np.where(wide, high, middle)
    return weight


def mixing(x: np.ndarray, domain: np.ndarray, line: np.ndarray) -> dict[str, float]:
    """Return medians of the inverse Simpson index of domains over the rows whose line occurs in several.

    ``ilisi`` looks at the nearest rows of any line, ``within`` at those of the same line only, which wrong
    neighbours cannot raise. ``possible`` is what a line has that is mixed perfectly and lies by itself, in the shares
    of its domains. ``alone`` is that of the other rows, best 1: they have no counterpart to be mixed with; where
    domains hold hardly more rows than are looked at, it is larger whatever the correction. ``pure`` is the share of
    the same line among the 15 nearest rows of any domain, mean over all rows.
    """
    x, counts = points(x), elsewhere(domain, line)
    index, (_, around) = ilisi(x, domain), nearest(x, x, NEAR + 1)
    within, possible = np.full((2, len(x)), np.nan)
    for name in np.unique(line[counts]):
        rows = line == name
        _, sizes = np.unique(domain[rows], return_counts=True)
        possible[rows] = 1 / np.square(sizes / sizes.sum()).sum()
        if rows.sum() > FEW:
            within[rows] = ilisi(x[rows], domain[rows])
    return {
        "ilisi": median(index[counts]),
        "within": median(within[counts]),
        "possible": median(possible[counts]),
        "alone": median(index[~counts]),
        "pure": float(np.mean(line[around[:, 1:]] == line[:, None])),
    }


def median(values: np.ndarray) -> float:
    """Return the median of the numbers that there are, or NaN."""
    found = values[~np.isnan(values)]
    return float(np.median(found)) if len(found) else np.nan


# Labels


def classifiers() -> dict[str, Any]:
    """Return the classifiers that labels are carried by."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.neighbors import KNeighborsClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    linear = make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000))
    return {"logistic": linear, "nearest": KNeighborsClassifier(NEAR)}


def learn(model: Any, x: np.ndarray, line: np.ndarray) -> Any:
    """Fit a classifier; neighbours are at most the rows that there are."""
    if hasattr(model, "n_neighbors"):
        model.set_params(n_neighbors=min(NEAR, len(x)))
    with threadpool_limits(1):
        return model.fit(x, line)


def carried(x: np.ndarray, domain: np.ndarray, line: np.ndarray, frm: str) -> dict[str, float]:
    """Return how well the lines of one domain name those of the others, over rows whose line it knows.

    Accuracy and F of logistic regression and of 15 neighbours; F is the mean over the lines that occur, and
    ``known`` the share of the other rows that count. NaN where the domain has a single line.
    """
    x, mine = points(x), domain == frm
    asked = ~mine & np.isin(line, line[mine])
    out = {"known": float(asked.sum() / max(1, (~mine).sum()))}
    teaches = asked.any() and len(np.unique(line[mine])) > 1
    for name, model in classifiers().items():
        accuracy = f_score = np.nan
        if teaches:
            guess = learn(model, x[mine], line[mine]).predict(x[asked])
            accuracy = metrics.accuracy(line[asked], guess)
            f_score = macro_f(line[asked], guess)
        out |= {f"{name}_accuracy": float(accuracy), f"{name}_f": float(f_score)}
    return out


def macro_f(line: np.ndarray, guess: np.ndarray) -> float:
    """Return the mean F over the lines that occur in the truth."""
    names = np.unique(line)
    return float(np.mean([metrics.f_score(line == k, guess == k, classes=[False, True]) for k in names]))


def called(x: np.ndarray, domain: np.ndarray, line: np.ndarray, of: str, as_: str) -> dict[str, float]:
    """Return for every domain that has the line ``of`` which share of it the other domains call ``as_``.

    By the vote of the 15 nearest rows of the other domains.
    """
    x, out = points(x), {}
    for name in np.unique(domain[line == of]):
        others, asked = domain != name, (domain == name) & (line == of)
        model = learn(classifiers()["nearest"], x[others], line[others])
        out[str(name)] = float(np.mean(model.predict(x[asked]) == as_))
    return out


def class_auc(
    x: np.ndarray,
    y: np.ndarray,
    groups: np.ndarray,
    model: Model = "logistic",
    unit: np.ndarray | None = None,
) -> dict[str, float]:
    """Return the AUC of classes within groups (five folds, by unit) and of groups that the others teach.

    Means over groups with two classes; only rows of the classes that a model has seen count.
    """
    x, unit = points(x), np.arange(len(x)) if unit is None else unit
    within, across = [], []
    for name in np.unique(groups):
        mine = groups == name
        within.append(folded_auc(x[mine], y[mine], unit[mine], model))
        across.append(auc_of(model, x[~mine], y[~mine], x[mine], y[mine]))
    return {"within": mean(within), "across": mean(across)}


def folded_auc(x: np.ndarray, y: np.ndarray, unit: np.ndarray, model: Model) -> float:
    """Return the mean AUC over five folds of units, stratified by class."""
    from sklearn.model_selection import StratifiedGroupKFold

    classes, sizes = np.unique(y, return_counts=True)
    some = np.isin(y, classes[sizes >= FEW])
    x, y, unit = x[some], y[some], unit[some]
    if len(np.unique(y)) < 2:
        return np.nan
    folds = StratifiedGroupKFold(5, shuffle=True, random_state=0).split(x, y, unit)
    return mean([auc_of(model, x[seen], y[seen], x[held], y[held]) for seen, held in folds])


def auc_of(model: Model, x: np.ndarray, y: np.ndarray, asked: np.ndarray, truth: np.ndarray) -> float:
    """Return the AUC of rows by a model of other rows, or NaN where either has fewer than two classes in common."""
    from sklearn.ensemble import HistGradientBoostingClassifier

    both = np.intersect1d(y, truth)
    if len(both) < 2:
        return np.nan
    seen, held = np.isin(y, both), np.isin(truth, both)
    learners = classifiers() | {"boosting": HistGradientBoostingClassifier(random_state=0)}
    fitted = learn(learners[model], x[seen], y[seen])
    with threadpool_limits(1):
        return metrics.auc(truth[held], probability=fitted.predict_proba(asked[held]), classes=both.tolist())


# What a correction changes


def units_of(x: np.ndarray, domain: np.ndarray) -> np.ndarray:
    """Return the pooled standard deviation of every feature within domains."""
    parts = [x[domain == name] for name in np.unique(domain)]
    squares = sum(np.square(part - part.mean(axis=0)).sum(axis=0) for part in parts)
    return np.sqrt(squares / (len(x) - len(parts)))


def moved(before: np.ndarray, after: np.ndarray, domain: np.ndarray) -> float:
    """Return how far rows have moved: the mean root mean square over features, in units within domains before."""
    before, after = np.asarray(before, np.float64), np.asarray(after, np.float64)
    unit = units_of(before, domain)
    varies = unit > 1e-9 * np.maximum(1, np.abs(before).max(axis=0))
    z = (after - before)[:, varies] / unit[varies]
    return float(np.sqrt(np.square(z).mean(axis=1)).mean())


def domain_effect(x: np.ndarray, domain: np.ndarray, line: np.ndarray) -> float:
    """Return how far the centres of one line lie apart in two domains, by how far those of two lines in one domain.

    The ratio of the medians, over lines and domains of 5 rows or more; NaN where no two can be compared.
    """
    x, centre = points(x), {}
    for g, name in {*zip(domain.tolist(), line.tolist(), strict=True)}:
        rows = (domain == g) & (line == name)
        if rows.sum() >= FEW:
            centre[g, name] = x[rows].mean(axis=0)
    pairs = [(a, b) for a in centre for b in centre if a < b]
    domains = [np.linalg.norm(centre[a] - centre[b]) for a, b in pairs if a[1] == b[1]]
    lines = [np.linalg.norm(centre[a] - centre[b]) for a, b in pairs if a[0] == b[0]]
    return float(np.median(domains) / np.median(lines)) if domains and lines else np.nan


def mean(values: list[float]) -> float:
    """Return the mean of the numbers that there are, or NaN."""
    found = [value for value in values if not np.isnan(value)]
    return float(np.mean(found)) if found else np.nan
