"""What the overall metrics are called in every table, and what they mean."""

from __future__ import annotations

METRICS = {
    "jaccard": ("Jaccard", "mean over texts of |y ∩ ŷ| / |y ∪ ŷ|, 1 where both sets are empty"),
    "micro_f1": ("micro-F1", "F1 of all (text, label) cells together"),
    "macro_f1": ("macro-F1", "mean over labels of the label's F1, 0 where it is undefined"),
    "macro_ap": ("macro AP", "mean over labels of the average precision, without any threshold"),
    "rare_ap": ("rare AP", "the same over labels that under a tenth of the training texts have"),
    "hamming_loss": ("Hamming loss", "share of wrong (text, label) cells; lower is better"),
    "subset_accuracy": ("subset accuracy", "share of texts whose whole label set is right"),
    "micro_precision": ("micro-precision", "precision of all cells together"),
    "micro_recall": ("micro-recall", "recall of all cells together"),
    "macro_precision": ("macro-precision", "mean over labels of the label's precision"),
    "macro_recall": ("macro-recall", "mean over labels of the label's recall"),
    "brier": ("Brier score", "mean squared difference of probability and label; lower is better"),
    "ece": (
        "ECE",
        (
            "expected calibration error of the label probabilities, 15 equal-width bins, mean over "
            "labels; lower is better"
        ),
    ),
}
"""Title and definition of each overall metric, in the order of the tables."""
TITLES = {metric: title for metric, (title, _) in METRICS.items()}
