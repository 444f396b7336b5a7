"""Networks: frozen sizes that build the roles families need. Shapes in, shapes out, no losses."""

from core.networks.convnet import ConvConfig
from core.networks.mlp import MLPConfig
from core.networks.transformer import KVCache, TransformerConfig
from core.networks.unet import UNetConfig

NetworkConfig = TransformerConfig | UNetConfig | ConvConfig | MLPConfig

__all__ = ["ConvConfig", "KVCache", "MLPConfig", "NetworkConfig", "TransformerConfig", "UNetConfig"]
