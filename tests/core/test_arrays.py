"""Array data: batches, checks, the stateless order, windows and the cache."""

import tracemalloc
from dataclasses import replace

import numpy as np
import pytest
import torch

from core.batches import Batch
from core.data.arrays import TABLE, ArrayData, indices_of_step, order, permuted, windows
from core.data.cache import cached, content_hash
from core.errors import FourfoldError
from core.spaces import Continuous, Discrete

PIXELS = Continuous(shape=(1, 2, 2), levels=17)
TOKENS = Discrete(length=5, vocab=7, eos=0)


def pixels(n=10, dtype=np.uint8):
    return ArrayData(PIXELS, np.random.default_rng(0).integers(0, 17, (n, 1, 2, 2)).astype(dtype),
                     {"label": np.arange(n) % 3, "size": np.linspace(0, 1, 2 * n).reshape(n, 2)})


def tokens():
    x = np.array([[1, 2, 0, 0, 0], [3, 0, 0, 0, 0], [4, 5, 6, 1, 0]], dtype=np.uint16)
    return ArrayData(TOKENS, x, lengths=np.array([3, 2, 5]))


def test_levels_become_minus_one_to_one():
    data = pixels()
    batch = data.batch([3, 1, 1])
    assert batch.x.dtype == torch.float32 and batch.x.shape == (3, 1, 2, 2)
    levels = np.linspace(-1, 1, 17)
    np.testing.assert_allclose(batch.x.numpy(), levels[data.x[[3, 1, 1]]], atol=1e-6)
    assert batch.condition["label"].tolist() == [0, 1, 1] and batch.condition["label"].dtype == torch.int64
    assert batch.condition["size"].dtype == torch.float32


def test_floats_pass_unchanged():
    x = np.random.default_rng(0).normal(size=(4, 3))
    assert torch.equal(ArrayData(Continuous(shape=(3,)), x).batch([2]).x, torch.tensor(x[[2]], dtype=torch.float32))


def test_variable_lengths_are_trimmed_and_masked():
    batch = tokens().batch([0, 1])
    assert batch.x.tolist() == [[1, 2, 0], [3, 0, 0]] and batch.x.dtype == torch.int64
    assert batch.mask.tolist() == [[True, True, True], [True, True, False]]
    assert tokens().batch([2]).x.shape == (1, 5)


def test_batches_visit_every_example_once():
    data = pixels(10)
    sizes = [len(batch) for batch in data.batches(4)]
    assert sizes == [4, 4, 2]
    assert torch.equal(torch.cat([b.x for b in data.batches(4)]), data.batch(range(10)).x)


def test_subset_takes_all_arrays_along():
    sub = tokens().subset([2, 0])
    assert sub.batch([0]).x.tolist() == [[4, 5, 6, 1, 0]] and sub.lengths.tolist() == [5, 3]
    sliced = pixels(10).subset(slice(2, 5))
    assert len(sliced) == 3 and sliced.batch([0]).condition["label"].tolist() == [2]


def test_windows_are_views():
    stream = np.arange(100, dtype=np.uint16)
    view = windows(stream, 10, 5)
    assert view.shape == (19, 10) and np.shares_memory(view, stream) and view[3].tolist() == list(range(15, 25))
    assert windows(stream, 30).shape == (3, 30)
    with pytest.raises(FourfoldError, match="100 tokens: one window needs 101"):
        windows(stream, 101)


@pytest.mark.parametrize("x, message", [
    (np.array([[0.0, 1.0], [np.nan, 1.0]]), "example 1 holds values that are not a number"),
    (np.array([[0.0, np.inf], [1.0, 1.0]], dtype=np.float32), "example 0 holds .*infinite"),
    (np.zeros((3, 3)), "shape .3, 3.: its space needs .N, 2."),
    (np.array([["a", "b"]]), "needs numbers"),
    (np.zeros((3, 2), dtype=np.uint8), "levels"),
])
def test_bad_arrays_are_named(x, message):
    with pytest.raises(FourfoldError, match=message):
        ArrayData(Continuous(shape=(2,)), x)


def test_bad_tokens_conditions_and_lengths_are_named():
    good = np.ones((2, 5), dtype=np.int64)
    with pytest.raises(FourfoldError, match=r"example 1 holds values that are outside \[0, 7\)"):
        ArrayData(TOKENS, np.array([[1] * 5, [7] * 5]))
    with pytest.raises(FourfoldError, match="needs integers"):
        ArrayData(TOKENS, good.astype(float))
    with pytest.raises(FourfoldError, match="'label' has 3 entries for 2"):
        ArrayData(TOKENS, good, {"label": np.zeros(3)})
    with pytest.raises(FourfoldError, match="'logp' of example 1"):
        ArrayData(TOKENS, good, {"logp": np.array([0, np.nan])})
    with pytest.raises(FourfoldError, match="lengths. go from 0 to 5"):
        ArrayData(TOKENS, good, lengths=np.array([0, 5]))


def test_large_arrays_are_checked_batch_by_batch(monkeypatch):
    monkeypatch.setattr("core.data.arrays.CHECKED_AT_ONCE", 4)
    data = ArrayData(Continuous(shape=(2,)), np.array([[0, 0], [0, 0], [0, np.nan]]))
    data.batch([0, 1])
    with pytest.raises(FourfoldError, match="example 2"):
        data.batch([1, 2])


def test_batches_vary_with_the_seed_alone():
    def noisy(batch: Batch, generator: torch.Generator) -> Batch:
        return replace(batch, x=batch.x + torch.rand(batch.x.shape, generator=generator))

    data = ArrayData(Continuous(shape=(3,)), np.zeros((4, 3), np.float32), vary=noisy)
    assert data.batch([0, 1], seed=5).x.equal(data.batch([0, 1], seed=5).x)
    assert not data.batch([0, 1], seed=5).x.equal(data.batch([0, 1], seed=6).x)
    assert data.subset(slice(2)).vary is noisy


def test_order_is_a_stateless_permutation():
    first = order(3, 0, 1000)
    assert sorted(first.tolist()) == list(range(1000))
    order.cache_clear()
    assert np.array_equal(first, order(3, 0, 1000))
    assert not np.array_equal(first, order(3, 1, 1000)) and not np.array_equal(first, order(4, 0, 1000))
    # Neither sorted nor nearly so: the mean step between neighbours of a random permutation is n / 3.
    assert abs(np.abs(np.diff(first)).mean() - 1000 / 3) < 30


@pytest.mark.parametrize("batch_size, n", [(32, 100), (7, 7), (50, 8), (3, 1)])
def test_steps_cover_epochs_without_gaps(batch_size, n):
    steps = -(-3 * n // batch_size)
    seen = np.concatenate([indices_of_step(0, step, batch_size, n) for step in range(steps)])
    assert all(len(indices_of_step(0, step, batch_size, n)) == batch_size for step in range(steps))
    for epoch in range(3):
        assert sorted(seen[epoch * n : (epoch + 1) * n].tolist()) == list(range(n))


def test_steps_bring_examples_of_one_size_together():
    sizes = np.random.default_rng(0).integers(1, 60, 5000)
    steps = [indices_of_step(7, step, 16, 5000, sizes) for step in range(300)]
    assert sorted(np.concatenate(steps[:256])) == sorted(
        np.concatenate([indices_of_step(7, step, 16, 5000) for step in range(256)]))
    spread = np.mean([np.ptp(sizes[step]) for step in steps])
    assert spread < 3 < 40 < np.mean([np.ptp(sizes[indices_of_step(7, step, 16, 5000)]) for step in range(300)])
    first = [sizes[step].mean() for step in steps[:64]]
    assert abs(np.corrcoef(first, range(64))[0, 1]) < 0.4, "short batches do not come before long ones"
    assert np.array_equal(steps[77], indices_of_step(7, 77, 16, 5000, sizes))


def test_conditions_are_trimmed_to_their_longest():
    data = ArrayData(Discrete(length=4, vocab=9, eos=8), np.full((3, 4), 8), {"source": np.full((3, 6), 8)},
                     np.array([1, 2, 4]), condition_lengths={"source": np.array([2, 5, 1])})
    assert [data.batch(rows).condition["source"].shape[1] for rows in ([0, 2], [1])] == [2, 5]
    assert data.sizes.tolist() == [3, 7, 5] and data.subset([1]).sizes.tolist() == [7]


def test_no_examples_is_an_error():
    with pytest.raises(FourfoldError, match="empty"):
        indices_of_step(0, 0, 4, 0)


@pytest.fixture
def cache(tmp_path, monkeypatch):
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path))
    return tmp_path


def test_cached_makes_once_and_maps(cache):
    calls = []

    def make():
        calls.append(1)
        return {"x": np.arange(5000), "names": np.array(["ä", "b"]), "none": np.zeros((0, 3))}

    for _ in range(2):
        arrays = cached("test", 1, [], make)
        assert isinstance(arrays["x"], np.memmap) and arrays["x"].sum() == 4999 * 2500
        assert arrays["names"].tolist() == ["ä", "b"] and arrays["none"].shape == (0, 3)
    cached("test", 2, [], make)
    assert len(calls) == 2
    assert not list(cache.rglob(".tmp-*"))


def test_damaged_cache_is_made_again(cache):
    cached("damaged", 1, [], lambda: {"x": np.arange(5000)})
    (file,) = cache.rglob("x.npy")
    file.write_bytes(file.read_bytes()[:10000])
    assert cached("damaged", 1, [], lambda: {"x": np.arange(5000)})["x"][-1] == 4999


def test_unwritable_cache_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").touch()
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "file" / "cache"))
    with pytest.raises(FourfoldError, match="FOURFOLD_CACHE"):
        cached("x", 1, [], lambda: {"x": np.arange(3)})


def test_errors_of_making_stay_themselves(cache):
    def make():
        raise FileNotFoundError("gone")

    with pytest.raises(FileNotFoundError, match="gone"):
        cached("y", 1, [], make)


def test_content_hash_follows_contents(tmp_path):
    (tmp_path / "a.txt").write_text("one")
    first = content_hash(tmp_path, 1, "b", np.arange(3))
    assert first == content_hash(tmp_path, 1, "b", np.arange(3))
    assert first != content_hash(tmp_path, 1, "b", np.arange(4))
    (tmp_path / "a.txt").write_text("two")
    assert first != content_hash(tmp_path, 1, "b", np.arange(3))


@pytest.mark.parametrize("n", [2, 3, 5, 1000, 1024, 1025, 4097, 100_003])
def test_the_order_without_a_table_is_a_permutation(n: int) -> None:
    for epoch in range(3):
        assert np.array_equal(np.sort(permuted(5, epoch, n, np.arange(n))), np.arange(n))


def test_the_order_without_a_table_is_well_mixed() -> None:
    n = 3_000_017  # not near a power of two
    found = permuted(1, 0, n, np.arange(n))
    assert len(np.unique(found)) == n
    # Of a random permutation: where numbers land in 60 parts is uniform (chi-square of 59 x 59 degrees of freedom),
    # neighbours are unrelated, few stay, and half of them rise.
    table = np.histogram2d(np.arange(n), found, bins=60)[0]
    chi_square = ((table - n / 3600) ** 2 / (n / 3600)).sum()
    assert abs(chi_square - 3481) < 5 * np.sqrt(2 * 3481)
    for lag in (1, 2, 64, 1024, 4096):
        assert abs(np.corrcoef(found[:-lag], found[lag:])[0, 1]) < 5 / np.sqrt(n)
    assert (found == np.arange(n)).sum() < 10 and abs((np.diff(found) > 0).mean() - 0.5) < 0.002
    assert abs(np.corrcoef(found % 2, np.arange(n) % 2)[0, 1]) < 5 / np.sqrt(n)
    others = [permuted(1, 1, n, np.arange(n)), permuted(2, 0, n, np.arange(n)), permuted(-1, 0, n, np.arange(n))]
    for other in others:
        assert (found == other).sum() < 10 and abs(np.corrcoef(found, other)[0, 1]) < 5 / np.sqrt(n)


def test_a_thousand_million_examples_need_no_table() -> None:
    n = 10**9
    tracemalloc.start()
    first = [indices_of_step(3, step, 64, n) for step in range(20)]
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**20 and np.concatenate(first).max() > 0.99 * n and len(np.unique(first)) == 20 * 64
    last = indices_of_step(3, n // 64, 64, n)  # the end of one epoch and the beginning of the next
    assert np.array_equal(last[: n % 64], permuted(3, 0, n, np.arange(n - n % 64, n)))
    assert np.array_equal(last[n % 64 :], permuted(3, 1, n, np.arange(64 - n % 64)))


def test_small_data_keep_their_order() -> None:
    assert np.array_equal(indices_of_step(9, 1, 8, TABLE), order(9, 0, TABLE)[8:16])
    assert indices_of_step(7, 3, 4, 1000).tolist() == [63, 764, 1, 828]
