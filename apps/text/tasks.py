"""What people come for: writing on from a prompt, filling gaps, scoring a text."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from core.runs.model import Model

from apps.text.codec import TextCodec
from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.families.autoregressive import Autoregressive
from core.families.diffusion import MaskedDiffusion
from core.families.gan import LatentGAN
from core.families.lengths import lengths
from core.families.vae import VAE
from core.seeds import derive

DECODED_AT_ONCE = 64  # tokens of a text that is written
GAP = re.compile(r"\[MASK(?::([^\]]*))?\]")


def generate(
    model: Model, prompt: str = "", n: int = 1, *, length: int | None = None, seed: int = 0, stop: Sequence[str] = (),
    stream: Callable[[str], None] | None = None, **settings: Any,
) -> list[str]:
    """`n` texts that begin with `prompt` and go on for `length` tokens (default: to the end of a window).

    Autoregressive models write on beyond their window, from its second half; masked diffusion fills the
    window after the prompt. A VAE or a GAN draws whole windows and takes no prompt.

    Args:
        stop: a text ends before the first of these that is written after the prompt (autoregressive).
        stream: told the text of a single one piece by piece as it is written, the prompt first (autoregressive).
        settings: sample settings: temperature, top_k, top_p, min_p, repetition_penalty.

    Raises:
        Unsupported: a prompt, a length, stop or stream that this family cannot honour.
        FourfoldError: n or length below 1, a refused setting, a prompt that leaves no room, an empty stop.
    """
    codec = _codec(model)
    if n < 1 or (length is not None and length < 1):
        raise FourfoldError(f"asked for {n} texts of {length} tokens: both must be at least 1")
    if not all(stop):
        raise FourfoldError("stop is an empty text: every text would end before it began")
    if stream is not None and n != 1:
        raise FourfoldError(f"asked to stream {n} texts: one at a time can be read")
    if codec.source_length:
        raise Unsupported("this model was trained on pairs: use `translate` or `summarize`")
    tokens = codec.tokens(prompt)
    total = len(tokens) + (codec.length - len(tokens) % codec.length if length is None else length)
    if codec.histogram is not None and len(tokens) >= codec.length:
        raise FourfoldError(f"the prompt has {len(tokens)} tokens: this model's lines have up to {codec.length - 1}")
    if isinstance(model.family, Autoregressive):
        written = _Written(codec, prompt, n, tuple(stop), stream)
        _write_on(model, tokens, n, total, seed, settings, written)
        return written.texts()
    if stop or stream is not None:
        raise Unsupported(f"a {type(model.family).__name__} does not write from left to right: it takes no stop and "
                          "cannot stream")
    if len(tokens) and not isinstance(model.family, MaskedDiffusion):
        raise Unsupported(f"a {type(model.family).__name__} takes no prompt: use an autoregressive or diffusion model")
    if total > codec.length:
        raise Unsupported(f"the prompt has {len(tokens)} tokens and the text {total}: this model's window has "
                          f"{codec.length}; an autoregressive model writes on beyond it")
    if len(tokens):
        known = torch.full((n, codec.length), -1)
        known[:, : len(tokens)] = torch.from_numpy(tokens)
        if length is not None and codec.histogram is not None:
            known[:, total:] = codec.end
        drawn = model.fill(known, seed=seed, **settings)
    else:
        drawn = model.sample_batch(n, seed=seed, **settings).x
    return codec.decode(Batch(drawn[:, :total]))


@dataclass
class _Written:
    """Texts while they are written: tokens by row, where they stop, and who is told of them."""

    codec: TextCodec
    prompt: str
    n: int
    stop: tuple[str, ...]
    stream: Callable[[str], None] | None
    told: int = 0

    def __post_init__(self) -> None:
        self.rows: list[list[int]] = [[] for _ in range(self.n)]
        self.decoded = [("", 0)] * self.n  # the beginning of each text, and how many tokens it stands for
        if self.stream is not None:
            self.stream(self.prompt)

    def __call__(self, chosen: torch.Tensor) -> bool:
        """Take the next `[n]` tokens; whether all texts have met a stop."""
        for row, token in zip(self.rows, chosen.tolist(), strict=True):
            row.append(token)
        if self.stream is None and not self.stop:
            return False
        cut = [self._cut(index) for index in range(self.n)]
        done = all(stopped for _, stopped in cut)
        if self.stream is not None:
            self._tell(cut[0][0], last=done)
        return done

    def texts(self) -> list[str]:
        """The texts, prompt and all."""
        if self.stream is not None:
            self._tell(self._cut(0)[0], last=True)
        return [self.prompt + self._cut(index)[0] for index in range(self.n)]

    def _text(self, index: int) -> str:
        """What follows the prompt. What was decoded before is not again: a long text would take ever longer."""
        row, (begun, count) = self.rows[index], self.decoded[index]
        if self.codec.histogram is not None:  # a line is short
            return self.codec.text(row[: row.index(self.codec.end)] if self.codec.end in row else row)
        rest = self.codec.text(row[count:])
        if len(row) - count > DECODED_AT_ONCE:
            head, last = self.codec.text(row[count:-1]), self.codec.text(row[-1:])
            # Where a character of several tokens is cut, one side or both show it.
            if head + last == rest and not head.endswith("\ufffd"):
                self.decoded[index] = begun + head, len(row) - 1
        return begun + rest

    def _cut(self, index: int) -> tuple[str, bool]:
        """What follows the prompt, up to a stop, and whether there is one."""
        text = self._text(index)
        ends = [at for at in map(text.find, self.stop) if at >= 0]
        return (text[: min(ends)], True) if ends else (text, False)

    def _tell(self, text: str, last: bool) -> None:
        # A character may be cut in its middle, and a stop may have begun.
        ready = len(text) if last else len(text.rstrip("\ufffd")) - max(map(len, self.stop), default=1) + 1
        if self.stream is not None and ready > self.told:
            self.stream(text[self.told : ready])
            self.told = ready


def _write_on(
    model: Model, tokens: np.ndarray, n: int, total: int, seed: int, settings: dict[str, Any], written: _Written
) -> None:
    """Write up to `total` tokens: windows that overlap by half, each begun with the end of the text so far."""
    codec, family = _codec(model), model.family
    assert isinstance(family, Autoregressive)
    text = torch.from_numpy(np.tile(tokens, (n, 1))).to(model.device)
    generator = torch.Generator(model.device).manual_seed(derive(seed, 0))
    family.eval()
    stopped = False

    def watch(chosen: torch.Tensor) -> bool:
        nonlocal stopped
        stopped = written(chosen) or len(written.rows[0]) + len(tokens) == total
        return stopped

    while not stopped:
        kept = text if text.shape[1] < codec.length else text[:, -(codec.length // 2) :]
        with model.sampling_precision():
            drawn = family.sample(n, settings=model.settings(**settings), generator=generator,
                                  prefix=kept if kept.shape[1] else None, watch=watch)
        text = torch.cat([text, drawn.x[:, kept.shape[1] :]], dim=1)
        stopped = stopped or codec.histogram is not None  # a line ends within its window


def infill(model: Model, text: str, n: int = 1, *, seed: int = 0, **settings: Any) -> list[str]:
    """`n` versions of `text` with each gap, "[MASK:8]", filled by that many tokens (1 without a number).

    Raises:
        Unsupported: the model is no masked diffusion.
        FourfoldError: no gap, a malformed one, or a text longer than the model's window.
    """
    codec = _codec(model)
    if n < 1:
        raise FourfoldError(f"asked for {n} texts: must be at least 1")
    row: list[int] = []
    at = 0
    for gap in GAP.finditer(text):
        size = gap[1] if gap[1] is not None else "1"
        if not size.isdecimal() or int(size) < 1:
            raise FourfoldError(f"the gap {gap[0]!r} has no size: write [MASK:8] for eight tokens")
        row += codec.tokens(text[at : gap.start()]).tolist() + [-1] * min(int(size), codec.length + 1)
        at = gap.end()
    if not at:
        raise FourfoldError(f"nothing to fill in {text[:60]!r}: write a gap of eight tokens as [MASK:8]")
    row += codec.tokens(text[at:]).tolist()
    size = len(row)
    if codec.histogram is not None:
        row.append(codec.end)
    if len(row) > codec.length:
        raise FourfoldError(f"the text has {size} tokens with its gaps: the model's window takes "
                            f"{codec.length - len(row) + size}")
    # What follows the text in its window of a stream is made up too, and cut off: the model knows whole windows only.
    known = torch.full((n, codec.length), -1)
    known[:, : len(row)] = torch.tensor(row)
    return [codec.text(filled[:size]) for filled in model.fill(known, seed=seed, **settings).tolist()]


@dataclass(frozen=True)
class Score:
    """How well a model predicts a text: `kind` is "exact" or "bound", `bytes` and `tokens` are the text's.

    `perplexity` is per token, so that it compares between models of one tokenizer only; bits per byte always do.
    """

    bits_per_byte: float
    perplexity: float
    kind: str
    bytes: int
    tokens: int


def score(model: Model, text: str, *, seed: int = 0, batch_size: int = 128) -> Score:
    """How well a text is predicted, in windows that do not overlap: each is predicted from nothing before it.

    A model of lines scores each line that is not blank by itself, its end included.

    Raises:
        Unsupported: the model has no likelihood (a GAN), or was trained on pairs.
        FourfoldError: the text is empty, or a line longer than a model of lines takes.
    """
    codec = _codec(model)
    if codec.source_length:
        raise Unsupported("this model predicts a target from its source, not a text: use `evaluate`")
    if codec.histogram is None:
        tokens = codec.tokens(text)
        whole = len(tokens) // codec.length * codec.length
        rows = torch.from_numpy(tokens[:whole].reshape(-1, codec.length))
        parts = [Batch(part) for part in (*rows.split(batch_size), torch.from_numpy(tokens[whole:])[None])]
        size = len(text.encode())
    else:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        parts = [codec.encode(lines[start : start + batch_size]) for start in range(0, len(lines), batch_size)]
        size = sum(len(line.encode()) for line in lines)
    parts = [part for part in parts if part.x.numel()]
    if not parts:
        raise FourfoldError("the text is empty: nothing to score")
    model.family.eval()
    nats = 0.0
    for index, part in enumerate(parts):
        generator = torch.Generator(model.device).manual_seed(derive(seed, index))
        nats += float(model.family.bound(part.to(model.device), generator=generator).double().sum())
    count = sum(int(lengths(part).sum()) for part in parts)
    return Score(nats / (np.log(2) * size), float(np.exp(nats / count)), model.family.likelihood, size, count)


def translate(
    model: Model, texts: Sequence[str], *, beams: int = 4, length_penalty: float = 1.0, cut: bool = False,
    batch_size: int = 64,
) -> list[str]:
    """What a model of pairs makes of each text, by beam search: its translation, its summary.

    Args:
        cut: read only the beginning of a text that is longer than the model reads, instead of refusing it.

    Raises:
        Unsupported: the model is not autoregressive, or was not trained on pairs.
        FourfoldError: an empty text, one that is too long, beams below 1.
    """
    codec, family = _codec(model), model.family
    if not isinstance(family, Autoregressive):
        raise Unsupported(f"a {type(family).__name__} cannot search: use an autoregressive model")
    if "source" not in codec.conditions:
        raise Unsupported("this model goes on from a text, it was not trained on pairs: use `generate`")
    if beams < 1 or batch_size < 1:
        raise FourfoldError(f"beams is {beams} and batch_size {batch_size}: both must be at least 1")
    sources = codec.encode_sources(texts, cut=cut)
    counts = (sources != codec.end).sum(1)
    family.eval()
    made = [""] * len(texts)
    # Those of one length together: a batch is as wide as its longest.
    for rows in counts.argsort(stable=True).split(batch_size):
        batch = sources[rows, : int(counts[rows].max())].to(model.device)
        with model.sampling_precision():
            found = family.likeliest({"source": batch}, beams=beams, length_penalty=length_penalty)
        for row, text in zip(rows.tolist(), codec.decode(found.to("cpu")), strict=True):
            made[row] = text
    return made


def summarize(model: Model, texts: Sequence[str], *, beams: int = 4, length_penalty: float = 1.0) -> list[str]:
    """A summary of each text, of whose beginning the model reads as much as it was trained to; see `translate`."""
    return translate(model, texts, beams=beams, length_penalty=length_penalty, cut=True)


def reconstruct(model: Model, texts: Sequence[str], *, seed: int = 0, **settings: Any) -> list[str]:
    """Each text as the decoder of a VAE or a latent GAN tells it from its latent; by the likeliest tokens by default.

    Raises:
        Unsupported: the model is neither.
        FourfoldError: a text that is empty or longer than the model takes.
    """
    family, batch = _vae(model), _codec(model).encode(texts).to(model.device)
    generator = torch.Generator(model.device).manual_seed(derive(seed, 0))
    made = family.reconstruct(batch, settings=model.settings(**_likeliest(settings)), generator=generator)
    return _codec(model).decode(made.to("cpu"))


def interpolate(
    model: Model, first: str, second: str, steps: int = 7, *, seed: int = 0, **settings: Any
) -> list[str]:
    """`steps` texts on the arc between the latents of two.

    A VAE, whose latents hold a few nats, tells both ends in its own words; a latent GAN's autoencoder keeps them.

    Raises:
        Unsupported: the model is neither.
        FourfoldError: fewer than two steps, or a text that is empty or longer than the model takes.
    """
    if steps < 2:
        raise FourfoldError(f"steps is {steps}: must be at least 2")
    codec, family = _codec(model), _vae(model)
    a, b = (codec.encode([text]).to(model.device) for text in (first, second))
    generator = torch.Generator(model.device).manual_seed(derive(seed, 0))
    made = family.interpolate(a, b, steps, settings=model.settings(**_likeliest(settings)), generator=generator)
    return codec.decode(made.to("cpu"))


def _likeliest(settings: dict[str, Any]) -> dict[str, Any]:
    return settings if any(value is not None for value in settings.values()) else {"top_k": 1}


def _vae(model: Model) -> VAE:
    family = model.family.autoencoder if isinstance(model.family, LatentGAN) else model.family
    if not isinstance(family, VAE):
        raise Unsupported(f"a {type(family).__name__} has no latents to go back through: use a VAE or a latent GAN")
    return family


def _codec(model: Model) -> TextCodec:
    codec: Any = model.codec
    return codec
