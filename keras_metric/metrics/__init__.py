"""Metrics of embeddings (retrieval, verification, one-shot, clustering) and of boxes.

Functions evaluate a whole set exactly (`retrieval`, `verification`, `one_shot`, `clustering`);
classes are Keras metrics for `compile(metrics=[...])`, over batches; `EvaluateRetrieval` is a
callback that evaluates a held-out set during `fit`.
"""

from keras_metric.metrics.all_pairs import verification_of_embeddings
from keras_metric.metrics.at_rank import (
    map_at_k,
    map_at_r,
    mean_reciprocal_rank,
    ndcg_at_k,
    precision_at_k,
    r_precision,
    recall_at_k,
)
from keras_metric.metrics.callbacks import EvaluateRetrieval
from keras_metric.metrics.clusters import clustering
from keras_metric.metrics.detection import (
    Boxes,
    Detected,
    detected,
    detected_by_class,
    mean_average_precision,
)
from keras_metric.metrics.few_shot import one_shot, one_shot_accuracy
from keras_metric.metrics.in_batch import (
    MAPAtK,
    MAPAtR,
    MeanReciprocalRank,
    NDCGAtK,
    PrecisionAtK,
    RecallAtK,
    RPrecision,
)
from keras_metric.metrics.in_stream import (
    ROCAUC,
    BestThresholdAccuracy,
    EqualErrorRate,
    TARAtFAR,
)
from keras_metric.metrics.intervals import bootstrap, bootstrap_mean
from keras_metric.metrics.neighbours import Scores, retrieval
from keras_metric.metrics.verification_scores import (
    best_threshold,
    equal_error_rate,
    roc_auc,
    tar_at_far,
    verification,
)

__all__ = [
    "BestThresholdAccuracy",
    "Boxes",
    "Detected",
    "EqualErrorRate",
    "EvaluateRetrieval",
    "MAPAtK",
    "MAPAtR",
    "MeanReciprocalRank",
    "NDCGAtK",
    "PrecisionAtK",
    "ROCAUC",
    "RPrecision",
    "RecallAtK",
    "Scores",
    "TARAtFAR",
    "best_threshold",
    "bootstrap",
    "bootstrap_mean",
    "clustering",
    "detected",
    "detected_by_class",
    "equal_error_rate",
    "map_at_k",
    "map_at_r",
    "mean_average_precision",
    "mean_reciprocal_rank",
    "ndcg_at_k",
    "one_shot",
    "one_shot_accuracy",
    "precision_at_k",
    "r_precision",
    "recall_at_k",
    "retrieval",
    "roc_auc",
    "tar_at_far",
    "verification",
    "verification_of_embeddings",
]
