"""Text: plays, code, pairs of sentences, your own files; generate, fill gaps, score, translate, summarize.

    from apps import text

    model = text.load("runs/text/shakespeare-autoregressive")
    print(text.generate(model, "ROMEO:\\n", length=400, top_p=0.9)[0])
    print(text.score(model, "To be, or not to be").bits_per_byte)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.text.codec import TextCodec
    from apps.text.domain import DOMAIN, load
    from apps.text.generation import generate, infill, reply
    from apps.text.latents import interpolate, reconstruct
    from apps.text.learning import train
    from apps.text.metrics import bits_per_byte, divergences
    from apps.text.pairs import summarize, translate
    from apps.text.scoring import Score, score
    from apps.text.text_data import TextData

__all__ = [
    "DOMAIN", "Score", "TextCodec", "TextData", "bits_per_byte", "divergences", "generate", "infill", "interpolate",
    "load", "reconstruct", "reply", "score", "summarize", "train", "translate",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.text.domain",
    "Score": "apps.text.scoring",
    "TextCodec": "apps.text.codec",
    "TextData": "apps.text.text_data",
    "bits_per_byte": "apps.text.metrics",
    "divergences": "apps.text.metrics",
    "generate": "apps.text.generation",
    "infill": "apps.text.generation",
    "interpolate": "apps.text.latents",
    "load": "apps.text.domain",
    "reconstruct": "apps.text.latents",
    "reply": "apps.text.generation",
    "score": "apps.text.scoring",
    "summarize": "apps.text.pairs",
    "train": "apps.text.learning",
    "translate": "apps.text.pairs",
})
