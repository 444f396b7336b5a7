"""The four families: what is minimised, how one samples, what the likelihood is."""

from core.families.autoregressive import AutoregressiveConfig, LearnedCodes
from core.families.diffusion import DiffusionConfig
from core.families.family import Family, FamilyConfig, Loss, SampleSettings, SettingChanges
from core.families.gan import GANConfig
from core.families.processes import EDM, FlowMatching, Masking
from core.families.vae import VAEConfig
from core.networks.conditioning import ConditioningConfig

__all__ = [
    "EDM", "AutoregressiveConfig", "ConditioningConfig", "DiffusionConfig", "Family", "FamilyConfig", "FlowMatching",
    "GANConfig", "LearnedCodes", "Loss", "Masking", "SampleSettings", "SettingChanges", "VAEConfig",
]
