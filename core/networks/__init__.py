"""Networks: frozen configurations that build fields, encoders and decoders for a space. They know no losses.

A field maps x to an output of x's shape, an encoder x to a vector, a decoder a vector to x.
"""

from core.networks.convnet import ConvConfig
from core.networks.decoding import KVCache
from core.networks.mlp import MLPConfig
from core.networks.transformer import ArrayField, TokenField, TransformerConfig
from core.networks.unet import UNetConfig

NetworkConfig = TransformerConfig | UNetConfig | ConvConfig | MLPConfig

__all__ = [
    "ArrayField", "ConvConfig", "KVCache", "MLPConfig", "NetworkConfig", "TokenField", "TransformerConfig",
    "UNetConfig",
]
