"""Groups of equal and nearly equal items: nothing is missed, and no group takes all."""

import logging
import time

import numpy as np
import pytest
from scipy.sparse.csgraph import connected_components

from core.data.near_copies import groups_of, groups_of_texts, plain, told
from core.data.splits import split


def by_all_pairs(arrays: np.ndarray, tolerance: float) -> np.ndarray:
    flat = arrays.reshape(len(arrays), -1).astype(int)
    _, labels = connected_components(np.abs(flat[:, None] - flat[None]).mean(-1) <= tolerance)
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    return first[inverse]


@pytest.mark.parametrize("shape", [(2,), (3, 5), (12, 12, 3)])
@pytest.mark.parametrize("tolerance", [0.5, 3.0, 8.0])
def test_groups_are_those_of_all_pairs(shape: tuple[int, ...], tolerance: float) -> None:
    random = np.random.default_rng(len(shape))
    kinds = random.integers(0, 256, (100, *shape))
    noise = random.normal(size=(300, *shape)) * random.choice([0.3, 1, 3], (300, *[1] * len(shape))) * tolerance
    arrays = (kinds[random.integers(0, 100, 300)] + noise).round().clip(0, 255).astype(np.uint8)
    expected = by_all_pairs(arrays, tolerance)
    assert 20 < len(set(expected.tolist())) < 300
    np.testing.assert_array_equal(groups_of(arrays, tolerance), expected)


def test_thousands_of_pictures_take_seconds() -> None:
    random = np.random.default_rng(0)
    pictures = random.integers(0, 256, (6000, 4, 4, 3), dtype=np.uint8).repeat(8, 1).repeat(8, 2)
    pictures[1000:1200] = pictures[:200]
    pictures[2000:2300] = np.clip(pictures[3000:3300].astype(int) + random.integers(-12, 13, (300, 32, 32, 3)), 0, 255)
    start = time.process_time()
    groups = groups_of(pictures)
    assert time.process_time() - start < 10  # alone, a second
    assert (groups[1000:1200] == np.arange(200)).all() and (groups[3000:3300] == np.arange(2000, 2300)).all()
    assert len(np.unique(groups)) == 5500
    assert told(groups, "images") == ["1,000 of 6,000 images are copies or near copies of each other, in 500 groups of "
                                      "up to 2; a group lies in one split"]


def test_a_group_of_most_items_is_taken_apart_but_for_equal_ones(caplog: pytest.LogCaptureFixture) -> None:
    pictures = np.zeros((200, 8, 8), np.uint8)
    pictures[np.arange(200), np.arange(200) % 50 // 8, np.arange(200) % 8] = 200  # 3 levels from black
    with caplog.at_level(logging.WARNING):
        groups = groups_of(pictures)
    assert "200 near copies among 200 items is taken apart" in caplog.text
    assert np.bincount(groups).max() <= 40
    assert (groups == by_all_pairs(pictures, 0)).all(), "equal ones stay together"


def test_without_copies_each_item_is_a_group() -> None:
    pictures = np.random.default_rng(0).integers(0, 256, (12, 6, 6), dtype=np.uint8)
    assert groups_of(pictures).tolist() == list(range(12)) and told(range(12), "images") == []


def test_drafts_are_of_one_group() -> None:
    random = np.random.default_rng(0)
    words = [f"word{i}" for i in range(500)]
    essays = [". ".join(" ".join(random.choice(words, 9)) for _ in range(30)) + "." for _ in range(40)]
    changed = essays[7].split(". ")
    changed[::4] = ["entirely another sentence here, number " + str(i) for i in range(len(changed[::4]))]
    shouted = essays[9].upper().replace(". ", " !\n\n")
    groups = groups_of_texts([*essays, ". ".join(changed), shouted])
    assert groups.tolist() == [*range(40), 7, 9]


def test_a_common_notice_makes_no_group(caplog: pytest.LogCaptureFixture) -> None:
    notice = "This is a notice that all files carry.\nIt has a few sentences, all of them equal.\n"
    texts = [f"{notice}only this line is the own one of number {i}\n" for i in range(60)]
    assert groups_of_texts(texts).tolist() == list(range(60))
    with caplog.at_level(logging.WARNING):
        groups = groups_of_texts([*texts[:30], texts[3]])  # fewer files than make a phrase common
    assert groups.tolist() == [*range(30), 3] and "31 of 31 texts share many sentences" in caplog.text


def test_words_are_what_counts() -> None:
    assert plain(" Hello,\u2028WORLD!\n") == "hello world" and plain("?!") == "?!" != plain("...")


def test_a_group_of_many_is_never_held_out() -> None:
    for seed in range(20):
        keys = [*range(70), *[-1] * 30]
        parts = split(keys, test=0.1, validation=0.05, seed=seed)
        assert set(range(70, 100)) <= set(parts.train.tolist()) and len(parts.test) == 7
