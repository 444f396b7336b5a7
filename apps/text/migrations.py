"""Recipes and codecs of earlier versions as today's; see `core.runs.migrations`."""

from __future__ import annotations

from core.serialization import Json


def codec_from_0_1_0(old: Json) -> Json:
    """0 -> 1: the tokenizer is an object of its own."""
    tokenizer = {"kind": old["tokenizer"].capitalize()}
    for name, was in (("alphabet", "alphabet"), ("proto", "sentencepiece")):
        if was in old:
            tokenizer[name] = old[was]
    return {"kind": "TextCodec", "tokenizer": tokenizer, "length": old["length"], "histogram": old.get("histogram"),
            "source_length": old.get("source_length", 0)}


def recipe_from_0_1_0(old: Json) -> Json:
    """0 -> 1: the encoder of a pair's source has a dropout of its own, which was that of the model."""
    family = old["family"]
    if old["data"].get("unit") != "pair" or "conditioning" not in family:
        return old
    conditioning = {**family["conditioning"], "source_dropout": family["model"].get("dropout", 0.0)}
    return {**old, "family": {**family, "conditioning": conditioning}}


def unchanged(old: Json) -> Json:
    """1 -> 2: nothing of text."""
    return old


def tokens_of_the_start(old: Json) -> Json:
    """2 -> 3: the tokenizer of a run that began with a trained model is that model's, without a word in the data."""
    return {**old, "data": {key: value for key, value in old["data"].items() if key != "tokenizer_of"}}


CODEC_MIGRATIONS = (codec_from_0_1_0,)
RECIPE_MIGRATIONS = (recipe_from_0_1_0, unchanged, tokens_of_the_start)
