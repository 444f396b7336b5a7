"""Text: plays, code, pairs of sentences, your own files; generate, fill gaps, score, translate, summarize.

    from apps import text

    model = text.load("runs/shakespeare-autoregressive")
    print(text.generate(model, "ROMEO:\\n", length=400, top_p=0.9)[0])
    print(text.score(model, "To be, or not to be").bits_per_byte)
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from core.lazy import lazy

if TYPE_CHECKING:
    from apps.text.codec import TextCodec
    from apps.text.data import TextData
    from apps.text.domain import DOMAIN, load
    from apps.text.metrics import bits_per_byte, divergences
    from apps.text.tasks import Score, generate, infill, interpolate, reconstruct, score, summarize, translate

__all__ = [
    "DOMAIN", "Score", "TextCodec", "TextData", "bits_per_byte", "divergences", "generate", "infill", "interpolate",
    "load", "reconstruct", "score", "summarize", "translate",
]

__getattr__ = lazy(__name__, {
    "DOMAIN": "apps.text.domain",
    "Score": "apps.text.tasks",
    "TextCodec": "apps.text.codec",
    "TextData": "apps.text.data",
    "bits_per_byte": "apps.text.metrics",
    "divergences": "apps.text.metrics",
    "generate": "apps.text.tasks",
    "infill": "apps.text.tasks",
    "interpolate": "apps.text.tasks",
    "load": "apps.text.domain",
    "reconstruct": "apps.text.tasks",
    "score": "apps.text.tasks",
    "summarize": "apps.text.tasks",
    "translate": "apps.text.tasks",
})
