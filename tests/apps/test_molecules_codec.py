"""SMILES tokens: lossless on real drugs, strict on anything else; the codec as JSON, today's and version 0.1.0's."""

import json

import numpy as np
import pytest
import torch

from apps.molecules.codec import EOS, SmilesCodec, fit, from_version_0_1_0, merge_pair, merged_ids, numbered, tokenize
from core.batches import Batch
from core.conditions import VectorCondition
from core.errors import FourfoldError
from core.serialization import from_dict, to_dict

DRUGS = [
    "CC(=O)Oc1ccccc1C(=O)O",  # aspirin
    "CN1C=NC2=C1C(=O)N(C(=O)N2C)C",  # caffeine
    "C[C@H](N)C(=O)O",  # alanine, a stereocentre
    "CN1CC[C@]23c4c5ccc(O)c4O[C@H]2[C@@H](O)C=C[C@H]3[C@H]1C5",  # morphine
    "C/C(=C\\CO)/CC/C=C(/C)C",  # double bond geometry
    "[Na+].[O-]C(=O)c1ccccc1O",  # a salt
    "FC(F)(F)c1ccc(Br)cc1Cl",
    "C1CC%10CC1CC%10",  # two-digit ring bond
    "[2H]C([2H])([2H])S(=O)C",  # isotopes
    "c1ccc2[nH]c3ccccc3c2c1",
    "O=[N+]([O-])c1ccc(I)cc1",
    "B(O)(O)c1ccsc1",
    "C#CC1=CC=C[Se]1",
]


def codec_of(smiles: list[str], merges: int = 0, properties: VectorCondition | None = None) -> SmilesCodec:
    tokenized = [tokenize(s) for s in smiles]
    seen: dict[str, int] = {}
    tokens, pairs = fit(numbered(smiles, seen), seen, merges)
    counts = np.bincount([len(row) for row in merged_ids(tokenized, tokens, pairs)])[1:]
    histogram = tuple((counts / counts.sum()).tolist())
    return SmilesCodec(tokens=tokens, merges=pairs, length_histogram=histogram, properties=properties)


def test_tokens_join_to_the_string_and_keep_elements_whole() -> None:
    for smiles in DRUGS:
        assert "".join(tokenize(smiles)) == smiles
    assert tokenize("FC(F)(F)c1ccc(Br)cc1Cl").count("Br") == 1
    assert "Cl" in tokenize("FC(F)(F)c1ccc(Br)cc1Cl")
    assert tokenize("C[C@@H](N)O")[1] == "[C@@H]"
    assert "%10" in tokenize("C1CC%10CC1CC%10")


@pytest.mark.parametrize("bad", ["", "hello world", "CC!", "CC[NH", "C\n", "c1ccccc1é"])
def test_what_is_no_smiles_is_one_line(bad: str) -> None:
    with pytest.raises(FourfoldError) as error:
        tokenize(bad)
    assert "not a SMILES string" in str(error.value)
    assert "\n" not in str(error.value)


def test_round_trip_through_batches() -> None:
    codec = codec_of(DRUGS)
    batch = codec.encode(DRUGS)
    assert batch.x.dtype == torch.int64
    assert batch.mask is not None
    assert batch.mask.sum(1).tolist() == [len(tokenize(s)) + 1 for s in DRUGS]  # eos included
    assert codec.decode(batch) == DRUGS
    # Whatever lies behind the mask, or behind the first eos, does not count.
    noisy = batch.x.masked_fill(~batch.mask, 1)
    assert codec.decode(Batch(noisy, {}, batch.mask)) == DRUGS
    assert codec.strings(np.array([[1, EOS, 2, 2]])) == [codec.tokens[0]]


def test_histogram_counts_eos_and_sums_to_one() -> None:
    codec = codec_of(["CC", "CCO", "CCN"])
    assert codec.space.length_histogram == pytest.approx((0, 0, 1 / 3, 2 / 3))
    assert codec.space.vocab == 4  # C, N, O and eos
    assert codec.space.eos == EOS


def test_merging_pairs() -> None:
    flat = np.array([1, 1, 1, 0, 1, 1, 0, 2, 1, 2, 1, 0])
    assert merge_pair(flat, 1, 1, 9).tolist() == [9, 1, 0, 9, 0, 2, 1, 2, 1, 0]  # of a run every other pair
    assert merge_pair(flat, 2, 1, 9).tolist() == [1, 1, 1, 0, 1, 1, 0, 9, 9, 0]
    assert merge_pair(np.array([1, 1, 1, 1, 1, 0]), 1, 1, 9).tolist() == [9, 9, 1, 0]
    codec = codec_of(["CCO", "CCN", "CCF"], merges=10)
    assert codec.tokens == ("C", "F", "N", "O", "CC")  # what occurs once is never merged
    assert codec.merges == ((1, 1),)


def test_merged_tokens_round_trip_and_are_fewer() -> None:
    plain, merged = codec_of(DRUGS), codec_of(DRUGS, merges=40)
    assert len(merged.tokens) == len(plain.tokens) + len(merged.merges) > len(plain.tokens) + 20
    batch = merged.encode(DRUGS)
    assert merged.decode(batch) == DRUGS
    unmerged = plain.encode(DRUGS)
    assert batch.mask is not None and unmerged.mask is not None
    assert batch.mask.sum() < 0.75 * unmerged.mask.sum()
    # A molecule encodes to the same ids alone and among others.
    assert merged.encode(DRUGS[3:4]).x[0].tolist() == batch.x[3][batch.mask[3]].tolist()


def test_unknown_token_and_too_long_name_the_molecule() -> None:
    codec = codec_of(["CC", "CCO"])
    with pytest.raises(FourfoldError, match="molecule 2.*no 'Br'"):
        codec.encode(["CC", "CBr"])
    with pytest.raises(FourfoldError, match="has 4 tokens: this model takes at most 3"):
        codec.encode(["CCOC"])


def test_codec_as_json_is_the_same_and_damage_is_named() -> None:
    spec = VectorCondition(names=("logp", "qed"), mean=(2.4, 0.8), std=(0.9, 0.1))
    codec = codec_of(DRUGS, merges=20, properties=spec)
    assert codec.conditions == {"property": spec}
    value = json.loads(json.dumps(to_dict(codec)))
    assert from_dict(SmilesCodec, value, "codec") == codec
    for name, damaged in (
        ("length_histogram", []), ("length_histogram", ["x"]), ("tokens", None), ("properties", [1]),
        ("merges", [[1, 10_000]]), ("merges", [[1]]), ("merges", [[1, 1]] * len(codec.tokens)),
    ):
        with pytest.raises(FourfoldError, match=name):
            from_dict(SmilesCodec, value | {name: damaged}, "codec")


@pytest.mark.parametrize("conditional", [False, True])
def test_codec_of_version_0_1_0_is_read(conditional: bool) -> None:
    spec = {"names": ["logp"], "mean": [1.5], "std": [2.0]}
    old = {
        "tokens": ["C", "O", "CC"], "merges": [[1, 1]], "length": 3, "length_histogram": [0.0, 0.5, 0.5],
        "properties": {"property": spec} if conditional else {},
    }
    codec = from_dict(SmilesCodec, from_version_0_1_0(old), "codec")
    assert codec.space.length == 3 and codec.space.vocab == 4
    assert codec.decode(codec.encode(["CCO"])) == ["CCO"] and codec.encode(["CCO"]).x.tolist() == [[3, 2, 0]]
    expected = VectorCondition(names=("logp",), mean=(1.5,), std=(2.0,))
    assert codec.conditions == ({"property": expected} if conditional else {})
