"""Writing on from a prompt, and filling gaps."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Unpack

import numpy as np
import torch
from torch import Tensor

from apps.text.chats import ASSISTANT, USER, Message, chat_text, turn
from apps.text.codec import TextCodec
from apps.text.data import TextModel
from core.batches import Batch
from core.errors import FourfoldError, Unsupported
from core.families.family import SettingChanges
from core.runs.tasks import Progress

DECODED_AT_ONCE = 64  # tokens of a text that is written
GAP = re.compile(r"\[MASK(?::([^\]]*))?\]")


def generate(
    model: TextModel, prompt: str = "", n: int = 1, *, length: int | None = None, label: str | None = None,
    seed: int = 0, stop: Sequence[str] = (), stream: Callable[[str], None] | None = None,
    progress: Progress | None = None, **settings: Unpack[SettingChanges],
) -> list[str]:
    """`n` texts that begin with `prompt` and go on for `length` tokens (default: to the end of a window).

    Autoregressive models and masked diffusion write on beyond their window, from its second half. A model of lines
    ends with its line. A VAE or a GAN draws whole windows and takes no prompt.

    Args:
        label: of documents with labels, the class to write.
        stop: a text ends before the first of these that is written after the prompt (autoregressive).
        stream: is given a single text piece by piece as it is written, the prompt first (autoregressive).
        settings: sample settings: temperature, top_k, top_p, min_p, repetition_penalty.

    Raises:
        Unsupported: a prompt, a length, stop or stream that this family cannot honour.
        FourfoldError: n or length below 1, a refused setting, a prompt that leaves no room, an empty stop.
    """
    codec = model.codec
    if n < 1 or (length is not None and length < 1):
        raise FourfoldError(f"asked for {n} texts of {length} tokens: both must be at least 1")
    if not all(stop):
        raise FourfoldError("stop is an empty text: every text would end before it began")
    if stream is not None and n != 1:
        raise FourfoldError(f"asked to stream {n} texts: one at a time can be read")
    if codec.source_length:
        raise Unsupported("this model was trained on pairs: use `translate` or `summarize`")
    tokens = codec.tokens(prompt)
    begun, prefix = len(tokens), torch.from_numpy(np.tile(tokens, (n, 1)))
    if codec.histogram is not None and begun >= codec.length:
        raise FourfoldError(f"the prompt has {begun} tokens: this model's lines have up to {codec.length - 1}")
    total = begun + (codec.length - begun % codec.length if length is None else length)
    writing = Writing(codec, prompt, n, stop, stream) if stop or stream is not None else None
    condition = codec.parse_conditions({"label": label}, n)
    try:
        if codec.histogram is None:
            drawn = model.write_on(prefix, total, seed=seed, watch=writing, progress=progress, **settings)
        else:
            limit = None if length is None else total
            drawn = model.continue_prefix(prefix, length=limit, seed=seed, condition=condition, watch=writing,
                                          **settings).x
    except Unsupported:
        if begun or writing is not None or total > codec.length:
            raise
        # A family that draws whole windows.
        drawn = model.sample_batch(n, seed=seed, condition=condition, progress=progress, **settings).x[:, :total]
    texts = [before_stop(text, stop)[0] for text in codec.decode(Batch(drawn[:, begun:]))]
    if writing is not None:
        writing.show(texts[0], last=True)
    return [prompt + text for text in texts]


def reply(
    model: TextModel, messages: str | Sequence[Message], *, length: int = 256, seed: int = 0,
    stream: Callable[[str], None] | None = None, **settings: Unpack[SettingChanges],
) -> str:
    """What a model of chats answers: the assistant's next message, of up to `length` tokens.

    Args:
        messages: what the user says, or the chat so far; see `apps.text.chats` for the text it becomes.
        stream: is given the answer piece by piece (autoregressive).

    Raises:
        Unsupported: the model continues no prompt.
        FourfoldError: a malformed chat, or a refused setting.
    """
    chat = [{"role": USER, "content": messages}] if isinstance(messages, str) else messages
    prompt = f"{chat_text(chat)}\n{turn(ASSISTANT)}"
    shown = 0

    def pass_on(text: str) -> None:
        nonlocal shown
        if shown and stream is not None:  # the prompt comes first
            stream(text)
        shown += len(text)

    # A chat that ends is followed by another, whose first message begins on a line of its own.
    stops = [f"\n{turn(role)}" for role in (USER, ASSISTANT, "system")]
    written = generate(model, prompt, length=length, seed=seed, stop=stops, stream=None if stream is None else pass_on,
                       **settings)
    return written[0][len(prompt) :].strip()


def before_stop(text: str, stop: Sequence[str]) -> tuple[str, bool]:
    """A text up to the first of the texts `stop`, and whether there is one."""
    places = [place for place in map(text.find, stop) if place >= 0]
    return (text[: min(places)], True) if places else (text, False)


@dataclass
class Writing:
    """`n` texts while they are written: where they stop, and the first of them, piece by piece, for `stream`."""

    codec: TextCodec
    prompt: str
    n: int
    stop: Sequence[str]
    stream: Callable[[str], None] | None

    def __post_init__(self) -> None:
        self.rows: list[list[int]] = [[] for _ in range(self.n)]
        self.decoded = [("", 0)] * self.n  # the beginning of each text, and how many tokens it stands for
        self.shown = 0  # characters

    def __call__(self, drawn: Tensor) -> bool:
        """Take the next `[n]` tokens; whether all texts have met a stop."""
        if self.stream is not None and not self.rows[0]:
            self.stream(self.prompt)
        for row, token in zip(self.rows, drawn.tolist(), strict=True):
            row.append(token)
        texts = [before_stop(self.text(index), self.stop) for index in range(self.n)]
        self.show(texts[0][0])
        return all(stopped for _, stopped in texts)

    def text(self, index: int) -> str:
        """What follows the prompt. What was decoded before is not again: a long text would take ever longer."""
        row, (begun, count) = self.rows[index], self.decoded[index]
        if self.codec.histogram is not None:  # a line is short
            return self.codec.decode(Batch(torch.tensor([row])))[0]
        rest = self.codec.text(row[count:])
        if len(row) - count > DECODED_AT_ONCE:
            head, last = self.codec.text(row[count:-1]), self.codec.text(row[-1:])
            # A character of several tokens that is cut is an incomplete one on one side or both.
            if head + last == rest and not head.endswith("\ufffd"):
                self.decoded[index] = begun + head, len(row) - 1
        return begun + rest

    def show(self, text: str, last: bool = False) -> None:
        """Give the stream what is new in the first text; at its end all of it."""
        # A character may be cut in its middle, and a stop may have begun.
        ready = len(text) if last else len(text.rstrip("\ufffd")) - max(map(len, self.stop), default=1) + 1
        if self.stream is not None and ready > self.shown:
            self.stream(text[self.shown : ready])
            self.shown = ready


def infill(
    model: TextModel, text: str, n: int = 1, *, seed: int = 0, **settings: Unpack[SettingChanges]
) -> list[str]:
    """`n` versions of `text` with each gap, "[MASK:8]", filled by that many tokens (1 without a number).

    Raises:
        Unsupported: the model is no masked diffusion.
        FourfoldError: no gap, a malformed one, or a text longer than the model's window.
    """
    codec = model.codec
    if n < 1:
        raise FourfoldError(f"asked for {n} texts: must be at least 1")
    row: list[int] = []
    end = 0
    for gap in GAP.finditer(text):
        size = gap[1] if gap[1] is not None else "1"
        if not size.isdecimal() or int(size) < 1:
            raise FourfoldError(f"the gap {gap[0]!r} has no size: write [MASK:8] for eight tokens")
        row += codec.tokens(text[end : gap.start()]).tolist() + [-1] * min(int(size), codec.length + 1)
        end = gap.end()
    if not end:
        raise FourfoldError(f"nothing to fill in {text[:60]!r}: write a gap of eight tokens as [MASK:8]")
    row += codec.tokens(text[end:]).tolist()
    count = len(row)
    if codec.histogram is not None:
        row.append(codec.end)
    if len(row) > codec.length:
        raise FourfoldError(f"the text has {count} tokens with its gaps: the model's window takes "
                            f"{codec.length - len(row) + count}")
    # What follows the text in its window of a stream is made up too, and cut off: the model knows whole windows only.
    known = torch.full((n, codec.length), -1)
    known[:, : len(row)] = torch.tensor(row)
    return [codec.text(filled[:count]) for filled in model.fill(known, seed=seed, **settings).x.tolist()]
