"""Metrics of any domain: distances between sets of features, memorization, intervals, and simple baselines."""

from core.lazy import lazy

__all__ = [
    "Classifier", "FittedGaussian", "Histogram", "NGramModel", "bootstrap", "floor", "frechet_distance",
    "kernel_distance", "kernel_distances", "memorization_test", "nearest", "ngram_counts", "ngram_divergence", "prdc",
    "train_classifier", "wilson",
]

_MODULES = {
    "classifier": ("Classifier", "train_classifier"),
    "features": ("nearest",),
    "frechet": ("frechet_distance",),
    "gaussian": ("FittedGaussian", "Histogram"),
    "intervals": ("bootstrap", "floor", "wilson"),
    "kernel": ("kernel_distance", "kernel_distances"),
    "memorization": ("memorization_test",),
    "ngrams": ("NGramModel", "ngram_counts", "ngram_divergence"),
    "precision_recall": ("prdc",),
}

__getattr__ = lazy(__name__, {name: f"core.metrics.{module}" for module, names in _MODULES.items() for name in names})
