"""The four families: what is minimised, how one samples, what the likelihood is."""

from core.families.autoregressive import AutoregressiveConfig, LearnedCodes
from core.families.diffusion import DiffusionConfig
from core.families.family import Family, SampleSettings
from core.families.gan import GANConfig
from core.families.processes import EDM, FlowMatching, Masking
from core.families.vae import VAEConfig

CONFIGS = {
    "vae": VAEConfig,
    "gan": GANConfig,
    "diffusion": DiffusionConfig,
    "autoregressive": AutoregressiveConfig,
}

__all__ = [
    "CONFIGS", "EDM", "AutoregressiveConfig", "DiffusionConfig", "Family", "FlowMatching", "GANConfig",
    "LearnedCodes", "Masking", "SampleSettings", "VAEConfig",
]
