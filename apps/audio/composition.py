"""Four-part music of any length."""

from __future__ import annotations

from apps.audio.codec import ChoraleCodec
from apps.audio.data import AudioModel
from apps.audio.scores import Score
from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.runs.tasks import Progress
from core.seeds import derive

LONGEST = 1024  # beats


def compose(
    model: AudioModel, n: int = 4, *, beats: int | None = None, seed: int = 0, temperature: float | None = None,
    progress: Progress | None = None,
) -> list[Score]:
    """`n` four-part scores of `beats` quarter notes (by default the model's window).

    Longer scores are written a window at a time, each beginning with the second half of the one before:
    an autoregressive model continues it, a masked diffusion fills in the rest.

    Raises:
        FourfoldError: the model makes no scores, or cannot make them as long as asked for.
    """
    codec = model.codec
    if not isinstance(codec, ChoraleCodec):
        raise FourfoldError(f"{model.recipe.name} makes sounds, not scores: use `effect`")
    beats = codec.beats if beats is None else beats
    if not 1 <= beats <= LONGEST:
        raise FourfoldError(f"beats is {beats}: must be 1 to {LONGEST}")
    beat = 4 * codec.steps_per_beat  # in tokens
    tokens = model.sample_batch(n, seed=seed, temperature=temperature, progress=progress).x
    try:
        tokens = model.write_on(tokens, beats * beat, overlap=(codec.beats - codec.beats // 2) * beat,
                                seed=derive(seed, 1), temperature=temperature, progress=progress)
    except Unsupported as error:
        raise Unsupported(f"{error}, or ask for at most {codec.beats} beats") from None
    return codec.decode(Batch(tokens[:, : beats * beat]))
