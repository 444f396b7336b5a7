"""Decoding one position at a time: the key-value cache, and the transformer's blocks for a single new token.

Each new token reads all weights once, and starting an operation takes as long as its arithmetic. So the weights are
laid out in memory once for few rows, gains are multiplied in advance, and autocast is entered once a token.

Shapes: B rows, T positions so far, S positions of a source sequence, W width, H heads, D = W / H.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from functools import cache, partial

import torch
from torch import Tensor, nn
from torch.nn.functional import linear, pad, scaled_dot_product_attention, silu

from core.networks.attention import Block, LayerCondition
from core.networks.copying import Copied

Attend = Callable[[int, Tensor], Tensor]
"""(layer, one query for each head `[B * H, D]`) -> attention's output over the positions so far `[B * H, D]`."""


class KVCache:
    """What decoding computes once and reads at each later position.

    Attributes:
        keys, values: `[layers, B, H, length, D]`, written in place; in autocast's dtype where autocast is on.
        conditions, copied: the inputs of each block and of the copying head from the condition, set by the first call.
        step: the network for single positions, made at the second call; `length`: positions so far.
        int8: whether it reads its weights as int8; see `packed`.
    """

    def __init__(self, depth: int, batch: int, heads: int, length: int, head_width: int, device: torch.device,
                 int8: bool = False) -> None:
        autocast = torch.is_autocast_enabled(device.type)
        dtype = torch.get_autocast_dtype(device.type) if autocast else torch.float32
        # A head's keys are [D, length] in memory, which is the faster layout for one query.
        shape = depth, batch, heads
        self.keys = torch.zeros(*shape, head_width, length, dtype=dtype, device=device).transpose(3, 4)
        self.values = torch.zeros(*shape, length, head_width, dtype=dtype, device=device)
        # The same memory as embedding tables: a head's keys are D rows of `length` numbers, its values `length` of D.
        self.tables = list(zip(self.keys.mT.flatten(1, 3).unbind(), self.values.flatten(1, 3).unbind(), strict=True))
        self.key_rows = torch.arange(batch * heads * head_width, dtype=torch.int32, device=device)
        self.value_rows = torch.arange(batch * heads * length, dtype=torch.int32, device=device).view(-1, length)
        self.key_bags = self.key_rows[::head_width].contiguous()
        self.conditions: list[LayerCondition] | None = None
        self.copied: Copied | None = None
        self.step: Step | None = None
        self.length, self.int8 = 0, int8

    def keep(self, rows: Tensor) -> None:
        """Replace row i by row `rows[i]` (`[B]`), which must have the same condition: for beam search."""
        for part in (self.keys, self.values):
            part[:, :, :, : self.length] = part[:, rows, :, : self.length]

    def attention(self) -> Attend:
        """Softmax attention of one query for each head, already divided by sqrt(D), to the positions so far."""
        return self.attention_by_rows() if self.keys.device.type == "cpu" else self.attention_by_products()

    def attention_by_products(self) -> Attend:
        """`attention` by batched matrix products, for accelerators."""
        keys = self.keys.mT.flatten(1, 2)[..., : self.length]  # [layers, B * H, D, T]
        values = self.values.flatten(1, 2)[:, :, : self.length]  # [layers, B * H, T, D]

        def attend(layer: int, q: Tensor) -> Tensor:
            weights = torch.bmm(q[:, None].to(keys.dtype), keys[layer]).softmax(-1)  # [B * H, 1, T]
            return torch.bmm(weights, values[layer])[:, 0]

        return attend

    def attention_by_rows(self) -> Attend:
        """`attention` by weighted sums of rows (embedding bags), for CPUs, where products with one row are slower."""
        seen, weighted_sums = self.length, torch.embedding_bag
        value_rows = self.value_rows[:, :seen].flatten()
        value_bags = torch.arange(0, len(value_rows), seen, dtype=torch.int32, device=value_rows.device)

        def attend(layer: int, q: Tensor) -> Tensor:
            keys, values = self.tables[layer]
            scores = weighted_sums(keys, self.key_rows, self.key_bags, False, 0, False, q.flatten().to(keys.dtype))[0]
            weights = scores[:, :seen].softmax(-1).flatten()  # [B * H * T]
            return weighted_sums(values, value_rows, value_bags, False, 0, False, weights)[0]

        return attend


Product = Callable[[Tensor], Tensor]


def packed(layer: nn.Linear, dtype: torch.dtype, int8: bool) -> Product:
    """The layer as a function of few rows `[rows, in]` -> `[rows, out]` in `dtype`, without gradients.

    On a CPU the weights are in oneDNN's blocked layout, which is faster to read than the plain one; with `int8` (and
    bfloat16) they are int8 with a scale for each output, half as much to read (2208.07339, section 2). What is laid
    out is kept with the layer until its weights change.
    """
    weight = layer.weight
    key = dtype, int8, weight.device, weight.data_ptr(), weight._version
    kept: tuple[object, Product] | None = getattr(layer, "packed", None)
    if kept is None or kept[0] != key:
        kept = key, _packed(layer, dtype, int8)
        object.__setattr__(layer, "packed", kept)
    return kept[1]


def _packed(layer: nn.Linear, dtype: torch.dtype, int8: bool) -> Product:
    weight = layer.weight.detach().to(dtype)
    bias = None if layer.bias is None else layer.bias.detach().to(dtype)
    on_cpu = weight.device.type == "cpu"
    if on_cpu and int8 and dtype == torch.bfloat16 and int8_works():
        scale = (layer.weight.detach().abs().amax(1) / 127).clamp_min(torch.finfo(torch.float32).tiny)
        # PyTorch's int8 product reads 32 numbers at a time, past the end of a row of another width.
        gap = (0, -layer.in_features % 32)
        integers = pad((layer.weight.detach() / scale[:, None]).round().to(torch.int8), gap)
        scale = scale.to(dtype)

        def int8_product(x: Tensor) -> Tensor:
            y = torch._weight_int8pack_mm(pad(x.to(dtype), gap) if gap[1] else x.to(dtype), integers, scale)
            return y if bias is None else y + bias

        return int8_product
    if not on_cpu or dtype not in (torch.float32, torch.bfloat16) or not onednn_works(dtype):
        return lambda x: linear(x.to(dtype), weight, bias)
    # The layout for 16 rows is faster, even for one row, than the layout for one.
    blocked = torch.ops.mkldnn._reorder_linear_weight(weight.contiguous(), 16)
    product = torch.ops.mkldnn._linear_pointwise.default
    return lambda x: product(x.to(dtype), blocked, bias, "none", [], "")


@cache
def int8_works() -> bool:
    """Whether PyTorch's int8 product, which is not public, is there and computes what it should."""
    x, integers = torch.ones(1, 32, dtype=torch.bfloat16), torch.ones(16, 32, dtype=torch.int8)
    try:
        return bool((torch._weight_int8pack_mm(x, integers, torch.full((16,), 0.5, dtype=x.dtype)) == 16).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


@cache
def onednn_works(dtype: torch.dtype) -> bool:
    """Whether PyTorch's oneDNN product, which is not public, is there and computes what it should."""
    x, weight = torch.ones(1, 32, dtype=dtype), torch.full((16, 32), 0.5, dtype=dtype)
    try:
        if dtype == torch.bfloat16 and not torch.ops.mkldnn._is_mkldnn_bf16_supported():
            return False
        blocked = torch.ops.mkldnn._reorder_linear_weight(weight, 16)
        return bool((torch.ops.mkldnn._linear_pointwise.default(x, blocked, None, "none", [], "") == 16).all())
    except (AttributeError, RuntimeError, TypeError):
        return False


class ScaledNorm:
    """RMSNorm followed by a shift, fused: x `[..., n]` -> gain * sqrt(n) x / sqrt(|x|^2 + n eps) + shift."""

    def __init__(self, gain: Tensor, shift: Tensor | None = None) -> None:
        size, eps = gain.shape[-1], torch.finfo(gain.dtype).eps  # nn.RMSNorm's own
        self.gain = gain.detach() * math.sqrt(size)
        self.shift = None if shift is None else shift.to(gain.dtype)
        self.floor = gain.new_tensor(math.sqrt(size * eps))

    def __call__(self, x: Tensor) -> Tensor:
        x = x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).hypot_(self.floor)
        return x * self.gain if self.shift is None else torch.addcmul(self.shift, x, self.gain)


class BlockStep:
    """`Block` for one new position of each row, `[B, W]` -> `[B, W]`."""

    def __init__(self, block: Block, condition: LayerCondition, dtype: torch.dtype, int8: bool) -> None:
        attention, self.condition = block.attention, condition
        self.heads = attention.heads
        scale1 = scale2 = shift1 = shift2 = None
        if condition.modulation is not None:
            scale1, shift1, scale2, shift2 = (part[:, 0] for part in condition.modulation)
        weight1, weight2 = block.norm1.weight, block.norm2.weight
        self.norm1 = ScaledNorm(weight1 if scale1 is None else weight1 * scale1, shift1)
        self.norm2 = ScaledNorm(weight2 if scale2 is None else weight2 * scale2, shift2)
        # Attention's division by sqrt(D) is part of the gain of the queries' norm.
        queries = attention.query_norm.weight / math.sqrt(attention.query_norm.weight.numel())
        self.head_norm = ScaledNorm(torch.stack([queries, attention.key_norm.weight])[:, None])
        self.projection, self.out, self.mlp_in, self.mlp_out = (
            packed(layer, dtype, int8) for layer in (attention.projection, attention.out, block.mlp_in, block.mlp_out))
        self.cross = None
        if block.cross is not None and block.cross_norm is not None and condition.keys is not None:
            self.cross = packed(block.cross.query, dtype, int8), packed(block.cross.out, dtype, int8)
            self.cross_norm = ScaledNorm(block.cross_norm.weight)
            self.query_norm = ScaledNorm(block.cross.query_norm.weight)

    def __call__(
        self, x: Tensor, turn: Tensor, key: Tensor, value: Tensor, attend: Callable[[Tensor], Tensor]
    ) -> Tensor:
        """x `[B, W]` -> `[B, W]`.

        Args:
            turn: the position's angles as complex numbers `[D / 2]`.
            key, value: where the position's key and value are written, `[B, H, D]`.
            attend: attention of queries `[B * H, D]` to all positions up to and including this one.
        """
        b, w = x.shape
        qkv = self.projection(self.norm1(x)).to(x.dtype).view(b, 3, self.heads, -1)  # [B, 3, H, D]
        pairs = self.head_norm(qkv[:, :2]).view(b, 2, self.heads, -1, 2)  # [B, 2, H, D / 2, 2]
        q, k = torch.view_as_real(torch.view_as_complex(pairs) * turn).view(b, 2, self.heads, -1).unbind(1)  # [B, H, D]
        key.copy_(k)
        value.copy_(qkv[:, 2])
        x = x + self.out(attend(q.flatten(0, 1)).view(b, w))
        if self.cross is not None:
            x = x + self._cross(x, *self.cross)
        gate, value = self.mlp_in(self.norm2(x)).chunk(2, dim=-1)
        return x + self.mlp_out(silu(gate) * value)

    def _cross(self, x: Tensor, query: Callable[[Tensor], Tensor], out: Callable[[Tensor], Tensor]) -> Tensor:
        keys, values, visible = self.condition.keys, self.condition.values, self.condition.visible
        assert keys is not None and values is not None
        q = query(self.cross_norm(x)).to(x.dtype).view(len(x), self.heads, 1, -1)  # [B, H, 1, D]
        y = scaled_dot_product_attention(self.query_norm(q).to(keys.dtype), keys, values, attn_mask=visible)
        return out(y.reshape(x.shape))


class Step:
    """All blocks, the last norm and the head for a new position: `[B, W]` -> hidden state `[B, W]`, logits `[B, out]`.

    It lays out the weights when it is made, in autocast's dtype where autocast is on; see `packed` for `int8`.
    """

    def __init__(
        self, blocks: Iterable[Block], conditions: Iterable[LayerCondition], norm: nn.RMSNorm, head: nn.Linear,
        int8: bool,
    ) -> None:
        kind = head.weight.device.type
        dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else head.weight.dtype
        with torch.autocast(kind, enabled=False):
            self.blocks = [BlockStep(*pair, dtype, int8) for pair in zip(blocks, conditions, strict=True)]
            self.norm, self.head = ScaledNorm(norm.weight), packed(head, dtype, int8)

    def __call__(self, x: Tensor, cache: KVCache, rotary: Tensor) -> tuple[Tensor, Tensor]:
        """Add the position to `cache` and attend to all in it; `rotary` `[D / 2, 2]`: its row of `rotary_table`."""
        with torch.autocast(x.device.type, enabled=False):
            position, turn = cache.length, torch.view_as_complex(rotary)
            cache.length = position + 1
            # Views of all layers at once: made layer by layer they would take as long as the arithmetic.
            key, value = cache.keys[:, :, :, position], cache.values[:, :, :, position]
            attend = cache.attention()
            for index, block in enumerate(self.blocks):
                x = block(x, turn, key[index], value[index], partial(attend, index))
            x = self.norm(x)
            return x, self.head(x)
