"""Networks: shapes, what may influence what, cached decoding, and derivatives of critics."""

from __future__ import annotations

import math
import re

import pytest
import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel

from core.conditions import ArrayCondition, ClassCondition, SequenceCondition, VectorCondition
from core.errors import FourfoldError
from core.networks import ConvConfig, KVCache, MLPConfig, TransformerConfig, UNetConfig, decoding
from core.networks.attention import rotary_table, rotate
from core.networks.conditioning import Conditioner, Conditioning, ConditioningConfig
from core.networks.decoding import packed
from core.networks.layers import NoiseEmbedding, RMSNorm, is_edge, shuffled, unshuffled
from core.spaces import Continuous, Discrete

TRANSFORMER = TransformerConfig(width=32, depth=2, heads=2, patch=2)
UNET = UNetConfig(width=8, multipliers=(1, 2, 2), attention=True)
CONV = ConvConfig(width=8, multipliers=(1, 2))
PATCHED_UNET = UNetConfig(width=16, multipliers=(1, 2), patch=2, attention=True)
PATCHED_CONV = ConvConfig(width=8, multipliers=(1, 2), patch=2)
MLP = MLPConfig(width=16, depth=2)
TOKENS = Discrete(length=10, vocab=7)
SPACE = Continuous(shape=(2, 8, 8))
SHAPES = [(3, 8, 8), (1, 7, 5), (2, 13), (3, 1, 1)]


def shaken(network: nn.Module) -> nn.Module:
    """Parameters away from their zeros, so that nothing is hidden behind a branch that does nothing."""
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return network.eval()


def conditioning(n: int, width: int = 16, source: int = 5) -> Conditioning:
    generator = torch.Generator().manual_seed(1)
    mask = torch.arange(source) < torch.randint(1, source + 1, (n, 1), generator=generator)
    return Conditioning(torch.randn(n, width, generator=generator),
                        torch.randn(n, source, width, generator=generator), mask,
                        sequence_tokens=torch.randint(7, (n, source), generator=generator))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("config", [TRANSFORMER, UNET, PATCHED_UNET, MLP])
def test_fields_keep_the_shape_and_use_every_part(config, shape):
    x, cond = torch.randn(2, *shape, requires_grad=True), conditioning(2)
    field = shaken(config.field(Continuous(shape=shape), cond_width=16))
    assert field(x, cond).shape == x.shape and field(x).shape == x.shape
    assert shaken(config.field(Continuous(shape=shape), out=5)).forward(x).shape == (2, 5, *shape[1:])
    (gradient,) = torch.autograd.grad(field(x, cond).square().sum(), x)
    assert gradient.ne(0).float().mean() > 0.95
    other = Conditioning(cond.vector + 1)
    assert not torch.allclose(field(x, cond), field(x, other))


@pytest.mark.parametrize("shape", [*SHAPES, (9,)])
@pytest.mark.parametrize("config", [TRANSFORMER, CONV, PATCHED_CONV, MLP])
def test_encoders_and_decoders_have_their_shapes(config, shape):
    if config in (CONV, PATCHED_CONV) and len(shape) == 1:
        pytest.skip("a convolution needs an axis")
    space, x, cond = Continuous(shape=shape), torch.randn(3, *shape), conditioning(3)
    encoder = shaken(config.encoder(space, 4, cond_width=16))
    decoder = shaken(config.decoder(6, space, cond_width=16))
    z = torch.randn(3, 6)
    assert encoder(x, cond).shape == (3, 4) and decoder(z, cond).shape == x.shape
    assert config.decoder(6, space, 5)(z).shape == (3, 5, *shape[1:])
    for network, start in ((encoder, x), (decoder, z)):
        assert not torch.allclose(network(start, cond), network(start, Conditioning(cond.vector + 1)))
        assert not torch.allclose(network(start, cond), network(start + 1, cond))


@pytest.mark.parametrize("shape", SHAPES)
def test_down_and_upsampling_are_inverse_in_shape(shape):
    space, x = Continuous(shape=shape), torch.randn(2, *shape)
    assert CONV.factor == 2
    small = CONV.downsample(space, 3)(x)
    assert small.shape == (2, 3, *(math.ceil(size / 2) for size in shape[1:]))
    assert CONV.upsample(3, space)(small).shape == x.shape


@pytest.mark.parametrize("config", [TRANSFORMER, UNET, MLP])
def test_fields_are_zero_at_first(config):
    """adaLN-zero: an untrained denoiser predicts nothing, and yet every part of it learns."""
    torch.manual_seed(0)
    field, x, cond = config.field(Continuous(shape=(2, 8, 8)), cond_width=16), torch.randn(4, 2, 8, 8), conditioning(4)
    assert field(x, cond).eq(0).all()
    optimizer = torch.optim.Adam(field.parameters(), 1e-2)
    start = {name: parameter.detach().clone() for name, parameter in field.named_parameters()}
    target = torch.randn(4, 2, 8, 8)
    losses = []
    for _ in range(12):
        loss = (field(x, cond) - target).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.9 * losses[0]
    assert [name for name, parameter in field.named_parameters() if parameter.equal(start[name])] == []


def test_a_causal_field_sees_the_past_only():
    field = shaken(TRANSFORMER.field(TOKENS, causal=True))
    x = torch.randint(7, (3, 10))
    logits = field(x)
    assert logits.shape == (3, 10, 7)
    for t in range(10):
        changed = x.clone()
        changed[:, t] = (changed[:, t] + 1) % 7
        moved = (field(changed) - logits).abs().amax((0, 2)) > 1e-6
        assert not moved[:t].any() and moved[t:].all()


def test_another_field_sees_everything():
    field = shaken(TRANSFORMER.field(TOKENS))
    x = torch.randint(7, (3, 10))
    changed = x.clone()
    changed[:, 4] = 7  # the mask symbol is a token like others
    assert ((field(changed) - field(x)).abs().amax((0, 2)) > 1e-6).all()


@pytest.mark.parametrize(("cross", "copy"), [(False, False), (True, False), (True, True)])
@pytest.mark.parametrize("prompt", [1, 4])
def test_cached_logits_equal_full_logits(cross, copy, prompt):
    field = shaken(TRANSFORMER.field(TOKENS, cond_width=16, causal=True, cross=cross, copy=copy))
    x, cond = torch.randint(8, (3, 10)), conditioning(3)
    full = field(x, cond)
    with torch.no_grad():
        cache = field.new_cache(3, 10, x.device)
        parts = [field(x[:, :prompt], cond, cache=cache)]
        parts += [field(x[:, t : t + 1], cond, cache=cache) for t in range(prompt, 10)]
    assert cache.length == 10
    torch.testing.assert_close(torch.cat(parts, dim=1), full, rtol=1e-4, atol=1e-5)
    if copy:
        torch.testing.assert_close(full.exp().sum(-1), torch.ones(3, 10))
    elif cross:
        silent = Conditioning(cond.vector, cond.sequence + 1, cond.sequence_mask)
        assert not torch.allclose(field(x, silent), full), "the output depends on the source"


@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 0.15)])
def test_a_cache_without_a_condition_and_in_bfloat16(autocast, tolerance):
    field = shaken(TRANSFORMER.field(TOKENS, causal=True))
    x = torch.randint(7, (2, 6))
    with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        cache = field.new_cache(2, 10, x.device)
        parts = [field(x[:, t : t + 1], cache=cache) for t in range(6)]
    torch.testing.assert_close(torch.cat(parts, dim=1).float(), field(x), rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("seen", [1, 5, 9])
@pytest.mark.parametrize(("autocast", "tolerance"), [(False, 1e-5), (True, 0.02)])
def test_a_cache_attends_as_softmax_says_on_every_device(seen, autocast, tolerance):
    """A CPU sums weighted rows, other devices multiply matrices; later positions have no influence."""
    torch.manual_seed(0)
    with torch.autocast("cpu", torch.bfloat16, enabled=autocast):
        cache = KVCache(depth=2, batch=3, heads=2, length=9, head_width=8, device=torch.device("cpu"))
    cache.keys.normal_()
    cache.values.normal_()
    cache.length, q = seen, torch.randn(6, 8)
    for layer in range(2):
        keys, values = (part[layer].flatten(0, 1)[:, :seen].float() for part in (cache.keys, cache.values))
        expected = torch.einsum("ns,nsd->nd", torch.einsum("nd,nsd->ns", q, keys).softmax(-1), values)
        for attend in (cache.attention_by_rows(), cache.attention_by_products()):
            torch.testing.assert_close(attend(layer, q).float(), expected, rtol=tolerance, atol=2 * tolerance)


def test_a_cache_in_float64():
    field = shaken(TRANSFORMER.field(TOKENS, causal=True)).double()
    x = torch.randint(7, (2, 6))
    cache = field.new_cache(2, 10, x.device)
    with torch.no_grad():
        parts = [field(x[:, t : t + 1], cache=cache) for t in range(6)]
    torch.testing.assert_close(torch.cat(parts, dim=1), field(x), rtol=1e-4, atol=1e-5)


def test_a_cache_goes_on_with_the_rows_it_keeps():
    field = shaken(TRANSFORMER.field(TOKENS, causal=True))
    x, rows = torch.randint(7, (3, 6)), torch.tensor([2, 0, 0])
    cache = field.new_cache(3, 10, x.device)
    with torch.no_grad():
        field(x[:, :3], cache=cache)
        field(x[:, 3:4], cache=cache)
        cache.keep(rows)
        last = [field(x[:, t : t + 1], cache=cache) for t in (4, 5)]
    full = field(torch.cat([x[rows, :4], x[:, 4:]], dim=1))
    torch.testing.assert_close(torch.cat(last, dim=1), full[:, 4:], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("causal", [False, True])
def test_padding_does_not_influence_tokens(causal):
    network = shaken(TRANSFORMER.field(TOKENS, causal=causal))
    encoder = shaken(TRANSFORMER.encoder(TOKENS, 4))
    x, mask = torch.randint(7, (2, 10)), torch.arange(10) < torch.tensor([[6], [10]])
    noise = torch.where(mask, x, torch.randint(7, x.shape))
    torch.testing.assert_close(network(x, None, mask)[mask], network(noise, None, mask)[mask])
    torch.testing.assert_close(network(x, None, mask)[0, :6], network(x[:1, :6])[0])
    if not causal:
        torch.testing.assert_close(encoder(x, None, mask), encoder(noise, None, mask))
        torch.testing.assert_close(encoder(x, None, mask)[:1], encoder(x[:1, :6]))


def test_a_unet_reads_a_source_but_not_its_padding():
    field = shaken(PATCHED_UNET.field(Continuous(shape=(1, 8, 8)), cond_width=16, cross=True))
    x, cond = torch.randn(4, 1, 8, 8), conditioning(4)
    hidden = torch.where(cond.sequence_mask[..., None], cond.sequence, torch.randn_like(cond.sequence))
    torch.testing.assert_close(field(x, cond), field(x, Conditioning(cond.vector, hidden, cond.sequence_mask)))
    other = Conditioning(cond.vector, cond.sequence + 1, cond.sequence_mask)
    assert not torch.allclose(field(x, cond), field(x, other))


def test_patches_are_channels_and_back():
    for shape in ((2, 3, 8, 4), (2, 3, 8)):
        x = torch.randn(shape)
        assert unshuffled(x, 2).shape == (2, 3 * 2 ** (len(shape) - 2), *(size // 2 for size in shape[2:]))
        assert shuffled(unshuffled(x, 2), 2).equal(x)


def test_sources_do_not_leak_their_padding():
    field = shaken(TRANSFORMER.field(TOKENS, cond_width=16, causal=True, cross=True))
    x, cond = torch.randint(7, (4, 10)), conditioning(4)
    noise = torch.where(cond.sequence_mask[..., None], cond.sequence, torch.randn_like(cond.sequence))
    torch.testing.assert_close(field(x, cond), field(x, Conditioning(cond.vector, noise, cond.sequence_mask)))


def test_copies_are_of_the_source_and_not_of_its_padding():
    """Where the vocabulary's own answer is one token, all other probability is of tokens that the source shows."""
    field = shaken(TRANSFORMER.field(TOKENS, cond_width=16, causal=True, cross=True, copy=True))
    field.head.bias.data[3] = 1e4
    x, cond = torch.randint(7, (4, 10)), conditioning(4)
    probability = field(x, cond).exp()
    for row, tokens, seen in zip(probability, cond.sequence_tokens, cond.sequence_mask, strict=True):
        shown = set(tokens[seen].tolist()) | {3}
        assert {v for v in range(7) if row[:, v].min() > 1e-6} == shown
    with pytest.raises(ValueError, match="source"):
        field(x, Conditioning(cond.vector))


def test_rotary_products_depend_on_distance_only():
    q, k, table = torch.randn(8), torch.randn(8), rotary_table(20, 8)
    turned_q, turned_k = (rotate(v.expand(1, 1, 20, 8), table)[0, 0] for v in (q, k))
    products = turned_q @ turned_k.T
    for distance in (0, 3, 11):
        along = products.diagonal(distance)
        torch.testing.assert_close(along, along[:1].expand_as(along), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(products[0, 0], q @ k)


@pytest.mark.parametrize(
    ("config", "shape"), [(CONV, (1, 7, 5)), (CONV, (2, 12)), (MLP, (9,)), (TRANSFORMER, (1, 8, 8))]
)
def test_critics_have_second_derivatives(config, shape):
    """R1's gradient with respect to a parameter equals its finite difference."""
    critic = shaken(config.encoder(Continuous(shape=shape), 1, cond_width=16)).double()
    x, cond = torch.randn(3, *shape, dtype=torch.double, requires_grad=True), conditioning(3)
    cond = Conditioning(cond.vector.double())

    def penalty() -> torch.Tensor:
        with sdpa_kernel(SDPBackend.MATH):  # fused attention has no second derivative on a CPU
            (gradient,) = torch.autograd.grad(critic(x, cond).sum(), x, create_graph=True)
            return gradient.square().sum()

    weight = next(p for p in critic.parameters() if p.ndim > 1)
    with sdpa_kernel(SDPBackend.MATH):
        (analytic,) = torch.autograd.grad(penalty(), weight)
    direction = torch.randn_like(weight)
    step = 1e-6
    with torch.no_grad():
        weight.add_(step * direction)
    high = penalty().item()
    with torch.no_grad():
        weight.sub_(2 * step * direction)
    low = penalty().item()
    assert analytic.abs().sum() > 0
    assert (analytic * direction).sum().item() == pytest.approx((high - low) / (2 * step), rel=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16])
@pytest.mark.parametrize("permuted", [False, True])
def test_rms_norm_is_that_of_pytorch(dtype, permuted):
    """The same values, gradients, and gradients of a gradient penalty; also of rows that are almost zero."""
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(3, 5, 2, 16, generator=generator).to(dtype)
    x[0, 0] *= 1e-4
    x = x.transpose(1, 2) if permuted else x
    slope = torch.randn(x.shape, generator=generator).to(dtype)
    ours, theirs = (make(16, dtype=dtype) for make in (RMSNorm, nn.RMSNorm))
    results = []
    for norm in (ours, theirs):
        norm.weight.data = torch.linspace(0.5, 1.5, 16, dtype=dtype)
        leaf = x.clone().requires_grad_()
        first = torch.autograd.grad((norm(leaf) * slope).sum(), (leaf, norm.weight))
        again = torch.autograd.grad((norm(leaf) * slope).sum(), (leaf, norm.weight), create_graph=True)
        penalty = again[0].square().sum() + again[1].square().sum()
        results.append((norm(leaf), *first, *again, *torch.autograd.grad(penalty, (leaf, norm.weight))))
    tolerance = {torch.float32: 1e-4, torch.float64: 1e-10, torch.bfloat16: 0.0}[dtype]
    torch.testing.assert_close(*results, rtol=tolerance, atol=tolerance)
    assert ours.state_dict().keys() == theirs.state_dict().keys()


def test_examples_do_not_influence_each_other():
    """No normalisation over the batch: a critic's gradient penalty is of one example alone."""
    space, x = Continuous(shape=(1, 8, 8)), torch.randn(4, 1, 8, 8)
    for network in (CONV.encoder(space, 1), UNET.field(space), MLP.encoder(space, 1), TRANSFORMER.field(space)):
        network = shaken(network)
        torch.testing.assert_close(network(x)[:2], network(x[:2]), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("config", [TRANSFORMER, UNET, MLP])
def test_autocast_stays_close_to_float32(config):
    field = shaken(config.field(Continuous(shape=(1, 8, 8)), cond_width=16))
    x, cond = torch.randn(2, 1, 8, 8), conditioning(2)
    exact = field(x, cond)
    with torch.autocast("cpu", torch.bfloat16):
        rounded = field(x, cond).float()
    assert (rounded - exact).square().mean().sqrt() < 0.05 * exact.std()


LAYER = ["attention.projection", "attention.out", "mlp_in", "mlp_out"]
CROSS = ["cross.query", "cross.projection", "cross.out"]
STAGES = ["stages.*.*.first", "stages.*.*.second", "stages.*.*.modulation", "steps.*"]


@pytest.mark.parametrize(("make", "expected"), [
    (lambda: TRANSFORMER.field(TOKENS, cond_width=16, causal=True, cross=True, copy=True),
     ["trunk.project_source", *(f"trunk.blocks.*.{name}" for name in (*LAYER, *CROSS, "modulation")),
      "copy.query", "copy.key", "copy.gate"]),
    (lambda: TRANSFORMER.field(SPACE), [f"trunk.blocks.*.{name}" for name in LAYER]),
    (lambda: TRANSFORMER.encoder(TOKENS, 4), [f"trunk.blocks.*.{name}" for name in LAYER]),
    (lambda: TRANSFORMER.decoder(4, SPACE), ["vector", *(f"trunk.blocks.*.{name}" for name in (*LAYER, "modulation"))]),
    (lambda: CONV.encoder(SPACE, 4, cond_width=16), [f"down.stages.{name}" for name in STAGES]),
    (lambda: CONV.decoder(4, SPACE), ["vector.*", *(f"up.stages.{name}" for name in STAGES)]),
    (lambda: UNET.field(SPACE, cond_width=16, cross=True),
     [*(f"{part}.{name}" for part in ("down.*.*", "middle", "up.*.*") for name in ("conv1", "conv2", "modulation")),
      "down.*.*.skip", "up.*.*.skip", "attention.projection", "attention.source", "attention.out"]),
    (lambda: MLP.field(SPACE, cond_width=16), ["condition", "modulations.*", "first.*", "second.*"]),
    (lambda: NoiseEmbedding(16), []),
    (lambda: Conditioner({
        "a": ClassCondition(names=("x", "y")), "b": VectorCondition(names=("x",), mean=(0.0,), std=(1.0,)),
        "c": SequenceCondition(length=4, vocab=5, pad=0), "d": ArrayCondition(shape=(1, 8, 8)),
    }, ConditioningConfig(width=16)), [f"embeddings.c.blocks.*.{name}" for name in LAYER]),
])
def test_all_but_first_and_last_layers_are_hidden_matrices(make, expected):
    """Muon trains exactly these; numbers in names stand as *."""
    hidden = {name for name, parameter in make().named_parameters() if parameter.ndim >= 2 and not is_edge(parameter)}
    assert {re.sub(r"\.\d+", ".*", name) for name in hidden} == {f"{name}.weight" for name in expected}


def test_noise_levels_have_different_vectors():
    torch.manual_seed(0)
    embedding = NoiseEmbedding(16)
    vectors = embedding(torch.linspace(-1.5, 1.5, 50))
    assert vectors.shape == (50, 16)
    assert torch.pdist(vectors).min() > 1e-3


@pytest.mark.parametrize(("make", "message"), [
    (lambda: TransformerConfig(width=30, heads=4), "transformer.width is 30: must be a multiple of twice the heads"),
    (lambda: TransformerConfig(depth=0), "transformer.depth is 0: must be in"),
    (lambda: TransformerConfig(dropout=1.0), "transformer.dropout is 1.0"),
    (lambda: UNetConfig(width=12), "unet.width is 12: must be a multiple of 8"),
    (lambda: UNetConfig(multipliers=()), "unet.multipliers"),
    (lambda: ConvConfig(multipliers=(1, 0)), "conv.multipliers"),
    (lambda: MLPConfig(width=0), "mlp.width is 0"),
    (lambda: MLP.field(Continuous(shape=(3,)), causal=True), "use a transformer"),
    (lambda: UNET.field(Continuous(shape=(3,))), "one or two axes"),
    (lambda: CONV.encoder(Continuous(shape=(1, 2, 2, 2)), 1), "one or two axes"),
    (lambda: TRANSFORMER.encoder(Continuous(shape=(1, 2, 2, 2)), 1), "one or two axes"),
    (lambda: MLP.encoder(TOKENS, 3), "takes arrays, and the data are 7 kinds of token: use a transformer"),
    (lambda: CONV.encoder(TOKENS, 3), "takes arrays, and the data are 7 kinds of token: use a transformer"),
    (lambda: UNET.field(TOKENS), "takes arrays, and the data are 7 kinds of token: use a transformer"),
    (lambda: TRANSFORMER.field(Continuous(shape=(1, 4)), causal=True), "causal"),
    (lambda: MLP.field(TOKENS), "takes arrays"),
])
def test_what_does_not_fit_is_refused(make, message):
    with pytest.raises(FourfoldError, match=message):
        make()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
@pytest.mark.parametrize("width", [336, 680, 64])
def test_packed_products_equal_the_plain_one_and_are_kept_until_weights_change(width, dtype):
    torch.manual_seed(0)
    layer, x = torch.nn.Linear(width, 48), torch.randn(2, width)
    plain = torch.nn.functional.linear(x.to(dtype), layer.weight.to(dtype), layer.bias.to(dtype)).float()
    for int8, close in ((False, 0.02), (True, 0.03)):
        product = packed(layer, dtype, int8)
        assert (product(x).float() - plain).abs().max() < close * plain.abs().max() + 1e-6
        assert packed(layer, dtype, int8) is product
    with torch.no_grad():
        layer.weight.mul_(2)
        layer.bias.mul_(2)
    assert (packed(layer, dtype, False)(x).float() - 2 * plain).abs().max() < 0.04 * plain.abs().max()


def test_without_pytorchs_private_products_the_plain_path_serves(monkeypatch):
    """Absent or changed, they are noticed by a tiny product."""
    layer, x = torch.nn.Linear(32, 16), torch.randn(1, 32)
    for probe in (decoding.int8_works, decoding.onednn_works):
        probe.cache_clear()
    monkeypatch.setattr(torch, "_weight_int8pack_mm", lambda *parts: torch.zeros(1, 16))
    monkeypatch.setattr(torch.ops.mkldnn, "_reorder_linear_weight", None, raising=False)
    try:
        assert not decoding.int8_works() and not decoding.onednn_works(torch.float32)
        torch.testing.assert_close(packed(layer, torch.float32, True)(x), layer(x).detach())
    finally:
        for probe in (decoding.int8_works, decoding.onednn_works):
            probe.cache_clear()
