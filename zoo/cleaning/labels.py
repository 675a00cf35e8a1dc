"""Labels that the pictures contradict: a classifier over frozen embeddings, and a model of noise.

Log-probabilities l (N, K) come from a linear discriminant that has not seen the photograph, nor a
copy of it. A label is that of the picture, or with the probability e it was drawn at random:

    p(y | x) = (1 - e) softmax(l / T)_y + e / K
    P(wrong | x, y) = (e / K) / p(y | x)

T and e maximize the likelihood of all labels, so no threshold is set by hand: a label is suspect
if it is more probably wrong than right. e is the estimated share of labels given at random.

Sources: linear discriminant with a shrunk covariance, Friedman, JASA 1989 (eq. 18); temperature,
Guo et al., ICML 2017 (eq. 9); uniform label noise, Natarajan et al., NeurIPS 2013 (sec. 2).
"""

from typing import NamedTuple

import numpy as np

SHRINKAGE = 0.2  # of the covariance, towards its mean variance
FOLDS = 5
FLOOR = -300.0  # of a log-probability


class Suspects(NamedTuple):
    """Rows with a suspect label, surest first; what each seems to be; P(wrong); and e of all."""

    rows: np.ndarray
    classes: np.ndarray
    chances: np.ndarray
    noise: float


def find_suspects(
    embeddings: np.ndarray, labels: np.ndarray, groups: np.ndarray, *, seed: int = 0
) -> Suspects | None:
    """The labels that are more probably wrong than right.

    None where the embeddings do not tell the classes apart: where the discriminant is not right
    more often, by two standard errors, than the commonest label alone. Every label would be as
    doubtful as any other.

    Args:
        embeddings: (N, D).
        labels: (N,) integers from 0 to K - 1.
        groups: (N,) integers; photographs of one group are in one fold, so that a copy with the
            same wrong label cannot confirm it.
        seed: of the division into five folds.
    """
    scores = _held_out_scores(embeddings, labels, groups, seed)
    if not _tells_apart(scores, labels):
        return None
    temperature, noise = _fit(scores, labels)
    own = _of_labels(scores, labels, temperature)
    wrong = _share(noise, scores) / _likelihood(own, noise, scores)
    others = scores.copy()
    others[np.arange(len(labels)), labels] = -np.inf
    rows = np.flatnonzero(wrong > 0.5)
    rows = rows[np.argsort(-wrong[rows], kind="stable")]
    return Suspects(rows, others.argmax(axis=1)[rows], wrong[rows], noise)


def _tells_apart(scores: np.ndarray, labels: np.ndarray) -> bool:
    right = (scores.argmax(axis=1) == labels).mean()
    commonest = np.bincount(labels).max() / len(labels)
    error = np.sqrt(max(right * (1 - right), commonest * (1 - commonest)) / len(labels))
    return bool(right > commonest + 2 * error)


def _fit(scores: np.ndarray, labels: np.ndarray) -> tuple[float, float]:
    """T and e of the greatest likelihood, from the best of a coarse grid on."""
    from scipy.optimize import minimize

    def loss(parameters) -> float:
        temperature, noise = np.exp(parameters[0]), 1 / (1 + np.exp(-parameters[1]))
        own = _of_labels(scores, labels, temperature)
        return -np.log(_likelihood(own, noise, scores)).mean()

    starts = [(np.log(t), np.log(e / (1 - e))) for t in (0.5, 2, 8) for e in (1e-3, 0.03, 0.3)]
    bounds = [(np.log(0.05), np.log(100)), (np.log(1e-6), 0)]
    found = minimize(loss, min(starts, key=loss), method="L-BFGS-B", bounds=bounds)
    return float(np.exp(found.x[0])), float(1 / (1 + np.exp(-found.x[1])))


def _of_labels(scores: np.ndarray, labels: np.ndarray, temperature: float) -> np.ndarray:
    """softmax(l / T) of each label, (N,)."""
    scaled = scores / temperature
    exponents = np.exp(scaled - scaled.max(axis=1, keepdims=True))
    return exponents[np.arange(len(labels)), labels] / exponents.sum(axis=1)


def _likelihood(own: np.ndarray, noise: float, scores: np.ndarray) -> np.ndarray:
    return (1 - noise) * own + _share(noise, scores)


def _share(noise: float, scores: np.ndarray) -> float:
    return noise / scores.shape[1]


def _held_out_scores(embeddings, labels, groups, seed) -> np.ndarray:
    """log p (N, K) of each photograph by a discriminant that has seen none of its group."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
    from sklearn.model_selection import StratifiedGroupKFold

    scores = np.full((len(labels), labels.max() + 1), FLOOR)
    folds = StratifiedGroupKFold(FOLDS, shuffle=True, random_state=seed)
    for learn, ask in folds.split(embeddings, labels, groups):
        found = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=SHRINKAGE)
        found.fit(embeddings[learn], labels[learn])
        part = found.predict_log_proba(embeddings[ask])
        scores[np.ix_(ask, found.classes_)] = np.maximum(part, FLOOR)
    return scores
