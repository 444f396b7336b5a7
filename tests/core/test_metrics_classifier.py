"""The classifier whose features serve distances: it learns, repeats, is cached, and tells sets apart."""

import numpy as np
import pytest
from sklearn.datasets import load_digits

from core.errors import FourfoldError
from core.metrics import classifier as module
from core.metrics.classifier import train_classifier
from core.metrics.frechet import frechet_distance


@pytest.fixture(scope="module")
def digits():
    bunch = load_digits()
    x = bunch.images.astype(np.float32)[:, None] / 8 - 1
    order = np.random.default_rng(0).permutation(len(x))
    return x[order], bunch.target[order]


@pytest.fixture(autouse=True)
def cache(tmp_path_factory, monkeypatch):
    """One cache for these tests, so that each classifier is trained once."""
    home = tmp_path_factory.getbasetemp() / "classifier-cache"
    monkeypatch.setenv("FOURFOLD_CACHE", str(home))
    return home


def of_digits(digits, shape, **settings):
    x, y = digits
    x = x.reshape(-1, *shape)
    return train_classifier(x[:1300], y[:1300], x[1300:], y[1300:], steps=150, **settings)


@pytest.mark.parametrize(("shape", "accuracy"), [((1, 8, 8), 0.96), ((8, 8), 0.93), ((64,), 0.93)])
def test_it_learns_images_sequences_and_vectors(digits, shape, accuracy):
    x, y = digits
    trained = of_digits(digits, shape)
    assert trained.test_accuracy >= accuracy and trained.classes == 10
    assert trained.test_accuracy == trained.accuracy(x[1300:].reshape(-1, *shape), y[1300:])
    assert trained.features(x.reshape(-1, *shape)).shape == (1797, 64)
    np.testing.assert_allclose(trained.probabilities(x[:9].reshape(-1, *shape)).sum(axis=1), 1, rtol=1e-5)


def test_its_features_tell_good_samples_from_bad(digits):
    x, _ = digits
    trained = of_digits(digits, (1, 8, 8))
    real = trained.features(x[:800])
    good = frechet_distance(real, trained.features(x[800:1600]))
    noisy = x[800:1600] + np.random.default_rng(0).normal(0, 0.3, (800, 1, 8, 8)).astype(np.float32)
    noise = np.random.default_rng(0).uniform(-1, 1, (800, 1, 8, 8))
    middling, bad = (frechet_distance(real, trained.features(x)) for x in (noisy, noise))
    assert good < 0.3 * middling < bad


def test_it_is_cached_by_data_and_settings(digits, cache, monkeypatch):
    x, _ = digits
    first = of_digits(digits, (64,)).features(x.reshape(-1, 64))
    assert 0.9 < of_digits(digits, (64,)).test_accuracy <= 1
    monkeypatch.setattr(module, "_train", None)  # a second training would fail
    np.testing.assert_array_equal(of_digits(digits, (64,)).features(x.reshape(-1, 64)), first)
    with pytest.raises(TypeError):
        of_digits(digits, (64,), seed=1)


@pytest.mark.parametrize("file", ["0.weight.npy", "scale.npy", "accuracy.npy"])
def test_training_repeats_exactly_and_a_damaged_cache_is_replaced(digits, cache, file):
    x, _ = digits
    first = of_digits(digits, (64,)).features(x.reshape(-1, 64))
    for path in cache.glob(f"arrays/*/{file}"):
        content = path.read_bytes()
        path.write_bytes(content[:-3] + bytes([content[-3] ^ 16]) + content[-2:])
    np.testing.assert_allclose(of_digits(digits, (64,)).features(x.reshape(-1, 64)), first, rtol=1e-4, atol=1e-4)
    assert of_digits(digits, (64,)).test_accuracy > 0.9


def test_training_leaves_the_callers_random_state(digits):
    torch = pytest.importorskip("torch")
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    of_digits(digits, (64,), seed=5)
    assert torch.rand(1) == expected


@pytest.mark.parametrize("shape", [(2, 5, 9), (1, 28, 28), (3, 40, 12), (7, 33), (2, 3)])
def test_any_size_of_array(shape):
    x = np.random.default_rng(0).normal(size=(12, *shape)).astype(np.float32)
    trained = train_classifier(x, np.arange(12) % 3, x, np.arange(12) % 3, steps=2, features=10)
    assert trained.features(x).shape == (12, 10)


X, Y = np.zeros((6, 4), np.float32), np.array([0, 1] * 3)
BAD = [
    (lambda: train_classifier(X, Y, np.zeros((6, 5), np.float32), Y), r"test examples have shape \(5,\)"),
    (lambda: train_classifier(X, Y[:3], X, Y), "6 examples with 3 classes"),
    (lambda: train_classifier(X, Y * 0, X, Y), "need at least two"),
    (lambda: train_classifier(X + np.nan, Y, X, Y), "not finite"),
    (lambda: train_classifier(X.astype(int), Y, X, Y), "a classifier takes floats"),
    (lambda: train_classifier(X, Y, X, Y, steps=2).features(X[:, :3]), r"takes arrays of shape \(4,\): got \(3,\)"),
]


@pytest.mark.parametrize(("call", "line"), BAD)
def test_bad_data_are_refused_in_one_line(call, line):
    with pytest.raises(FourfoldError, match=line):
        call()
