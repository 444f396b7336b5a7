"""Named audio recipes; each docstring says what it is, and what one core took and reached, where it was measured."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from apps.audio.data import AudioData, ChoraleData
from apps.audio.notes import NoteData
from apps.audio.recordings import RecordingData
from apps.audio.sound import Mel
from apps.audio.vocoder import VocoderConfig
from core.families import EDM, AutoregressiveConfig, DiffusionConfig, GANConfig, LearnedCodes, Masking, VAEConfig
from core.families.family import SampleSettings
from core.likelihood import LogisticMixture
from core.networks import ConvConfig, MLPConfig, TransformerConfig, UNetConfig
from core.quantizers import FSQ
from core.runs.recipe import Recipe
from core.training.config import TrainConfig

QUARTERS = ChoraleData(beats=16, steps_per_beat=1)
EIGHTHS = ChoraleData(beats=16, steps_per_beat=2)
NOTES = NoteData()
FINE_NOTES = NoteData(mel=Mel(mels=64, frames=64, hop=256))
DIGIT_MEL = Mel(rate=8000, fft=512, hop=128, mels=64, frames=64, low=20.0, floor=-60.0)
DIGITS = NoteData(source="fsdd", mel=DIGIT_MEL)
DRUMS = NoteData(source="drums", mel=FINE_NOTES.mel)
SMALL = TransformerConfig(width=64, depth=3, heads=4)
LARGE = TransformerConfig(width=192, depth=5, heads=6, dropout=0.1)
LEVELS = EDM(sigma_data=0.6, log_mean=-0.6)  # for decibel levels scaled to [-1, 1]

SHORT = TrainConfig(steps=700, batch_size=32, learning_rate=3e-3, ema_decay=0.995)
LONG = TrainConfig(steps=6000, batch_size=64, learning_rate=1e-3, schedule="cosine")
ADVERSARIAL = replace(LONG, betas=(0.0, 0.99), weight_decay=0.0, clip=0.0, learning_rate=3e-4)


def tour_vae() -> Recipe[AudioData]:
    """Bach chorales in quarter notes: a small VAE with an autoregressive decoder.

    `fourfold audio train tour-vae`: half a minute; nats_per_note 1.43 (bound), a bigram's 2.51 (3 seeds).
    """
    return Recipe(
        name="tour-vae", domain="audio", data=QUARTERS,
        family=VAEConfig(encoder=replace(SMALL, depth=2), decoder=SMALL, latent=32, free_bits=0.1),
        train=replace(SHORT, steps=380),
    )


def tour_gan() -> Recipe[AudioData]:
    """Bach chorales in quarter notes: a GAN in the latent space of a small sequence VAE.

    `fourfold audio train tour-gan`: half a minute; melodic_interval_overlap 0.946, a bigram's 0.509 (3 seeds).
    """
    pair, coder = MLPConfig(width=128, depth=2), replace(SMALL, depth=2)
    return Recipe(
        name="tour-gan", domain="audio", data=QUARTERS,
        family=GANConfig(generator=pair, critic=pair, latent=32, autoencoder_share=0.4,
                         autoencoder=VAEConfig(encoder=coder, decoder=coder, latent=32, beta=0.2)),
        train=replace(SHORT, steps=800),
    )


def tour_diffusion() -> Recipe[AudioData]:
    """Instrument notes by class: a small EDM-preconditioned U-Net of log-mel spectrograms.

    `fourfold audio train tour-diffusion`: 0.8 minutes; fd_notes_cnn 13.6, a fitted Gaussian's 31.8 (3 seeds).
    """
    return Recipe(
        name="tour-diffusion", domain="audio", data=NOTES,
        family=DiffusionConfig(denoiser=UNetConfig(width=16, multipliers=(1, 2, 2)), process=LEVELS),
        train=replace(SHORT, steps=650, batch_size=16),
        sample=SampleSettings(num_steps=12, solver="dpmpp_2m"),
    )


def tour_autoregressive() -> Recipe[AudioData]:
    """Bach chorales in quarter notes: a small causal transformer.

    `fourfold audio train tour-autoregressive`: half a minute; nats_per_note 1.36 (exact), a bigram's 2.51 (3 seeds).
    """
    return Recipe(
        name="tour-autoregressive", domain="audio", data=QUARTERS, family=AutoregressiveConfig(model=SMALL), train=SHORT
    )


def chorales_vae() -> Recipe[AudioData]:
    """Bach chorales in eighth notes: VAE with an autoregressive decoder.

    `fourfold audio train chorales-vae`: not trained in full.
    """
    return Recipe(
        name="chorales-vae", domain="audio", data=EIGHTHS,
        family=VAEConfig(encoder=replace(LARGE, depth=3), decoder=LARGE, latent=64, free_bits=0.1, word_dropout=0.1),
        train=LONG,
    )


def chorales_gan() -> Recipe[AudioData]:
    """Bach chorales in eighth notes: GAN in the latent space of a sequence VAE.

    `fourfold audio train chorales-gan`: not trained in full.
    """
    pair, coder = MLPConfig(width=256, depth=3), replace(LARGE, depth=3)
    return Recipe(
        name="chorales-gan", domain="audio", data=EIGHTHS,
        family=GANConfig(generator=pair, critic=pair, latent=64,
                         autoencoder=VAEConfig(encoder=coder, decoder=coder, latent=64, beta=0.2)),
        train=LONG,
    )


def chorales_diffusion() -> Recipe[AudioData]:
    """Bach chorales in eighth notes: masked diffusion, which also fills in what is missing.

    `fourfold audio train chorales-diffusion`: not trained in full.
    """
    return Recipe(
        name="chorales-diffusion", domain="audio", data=EIGHTHS,
        family=DiffusionConfig(denoiser=LARGE, process=Masking()), train=LONG, sample=SampleSettings(num_steps=64),
    )


def chorales_autoregressive() -> Recipe[AudioData]:
    """Bach chorales in eighth notes: causal transformer, exact likelihood; composes at any length.

    `fourfold audio train chorales-autoregressive`: not trained in full.
    """
    return Recipe(
        name="chorales-autoregressive", domain="audio", data=EIGHTHS,
        family=AutoregressiveConfig(model=LARGE), train=LONG,
    )


def chorales_jsb() -> Recipe[AudioData]:
    """JSB chorales (the published splits, in sixteenths): causal transformer, exact likelihood.

    `fourfold audio train chorales-jsb`: not trained in full.
    """
    return Recipe(
        name="chorales-jsb", domain="audio", data=ChoraleData(source="jsb", beats=8, steps_per_beat=4),
        family=AutoregressiveConfig(model=LARGE), train=LONG,
    )


def notes_vae() -> Recipe[AudioData]:
    """Instrument notes by class: VAE, discretised logistic mixture.

    `fourfold audio train notes-vae`: not trained in full.
    """
    network = MLPConfig(width=512, depth=2)
    return Recipe(
        name="notes-vae", domain="audio", data=NOTES,
        family=VAEConfig(encoder=network, decoder=network, latent=48,
                         likelihood=LogisticMixture(levels=256, components=2)),
        train=replace(LONG, steps=10_000),
    )


def notes_gan() -> Recipe[AudioData]:
    """Instrument notes by class: relativistic convolutional GAN.

    `fourfold audio train notes-gan`: not trained in full.
    """
    network = ConvConfig(width=32, multipliers=(1, 2, 4))
    return Recipe(
        name="notes-gan", domain="audio", data=NOTES, family=GANConfig(generator=network, critic=network, latent=64),
        train=replace(ADVERSARIAL, steps=20_000),
    )


def notes_diffusion() -> Recipe[AudioData]:
    """Instrument notes by class, 64 mel bands by 64 frames: EDM-preconditioned U-Net.

    `fourfold audio train notes-diffusion`: not trained in full.
    """
    return Recipe(
        name="notes-diffusion", domain="audio", data=FINE_NOTES,
        family=DiffusionConfig(denoiser=UNetConfig(width=32, multipliers=(1, 2, 4), attention=True), process=LEVELS),
        train=replace(LONG, batch_size=32), sample=SampleSettings(num_steps=18, guidance_scale=1.5),
    )


def notes_autoregressive() -> Recipe[AudioData]:
    """Instrument notes by class: causal transformer over the codes of a quantised autoencoder.

    `fourfold audio train notes-autoregressive`: two minutes; fd_notes_cnn 23.6, a fitted Gaussian's 33.2 (seed 0).
    """
    return Recipe(
        name="notes-autoregressive", domain="audio", data=NOTES,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=96, depth=3, heads=4),
            quantizer=LearnedCodes(network=ConvConfig(width=24, multipliers=(1, 2, 4)), fsq=FSQ(levels=(8, 5, 5, 5)),
                                   share=0.6),
        ),
        train=replace(LONG, steps=900, batch_size=32, learning_rate=2e-3, precision="bfloat16", ema_decay=0.995),
    )


def digits_vae() -> Recipe[AudioData]:
    """Spoken digits by class (audio/fsdd of $FOURFOLD_DATA): convolutional VAE, discretised logistic mixture.

    `fourfold audio train digits-vae`: not trained in full.
    """
    network = ConvConfig(width=48, multipliers=(1, 2, 4), patch=4)
    return Recipe(
        name="digits-vae", domain="audio", data=DIGITS,
        family=VAEConfig(encoder=network, decoder=network, latent=64, output="draw",
                         likelihood=LogisticMixture(levels=256, components=3)),
        train=replace(LONG, steps=8000),
    )


def digits_gan() -> Recipe[AudioData]:
    """Spoken digits by class (audio/fsdd of $FOURFOLD_DATA): relativistic convolutional GAN.

    `fourfold audio train digits-gan`: not trained in full.
    """
    network = ConvConfig(width=48, multipliers=(1, 2, 4), patch=4)
    return Recipe(
        name="digits-gan", domain="audio", data=DIGITS, family=GANConfig(generator=network, critic=network, latent=64),
        train=replace(ADVERSARIAL, steps=12_000, learning_rate=5e-4),
    )


def digits_diffusion() -> Recipe[AudioData]:
    """Spoken digits by class (audio/fsdd of $FOURFOLD_DATA): EDM-preconditioned U-Net.

    `fourfold audio train digits-diffusion`: not trained in full.
    """
    return Recipe(
        name="digits-diffusion", domain="audio", data=DIGITS,
        family=DiffusionConfig(denoiser=UNetConfig(width=64, multipliers=(1, 2), attention=True, patch=4, dropout=0.1),
                               process=LEVELS),
        train=replace(LONG, learning_rate=2e-3), sample=SampleSettings(num_steps=18, guidance_scale=1.5),
    )


def digits_autoregressive() -> Recipe[AudioData]:
    """Spoken digits by class (audio/fsdd of $FOURFOLD_DATA): causal transformer over codes of a quantised autoencoder.

    `fourfold audio train digits-autoregressive`: not trained in full.
    """
    return Recipe(
        name="digits-autoregressive", domain="audio", data=DIGITS,
        family=AutoregressiveConfig(
            model=TransformerConfig(width=128, depth=4, heads=4, dropout=0.1),
            quantizer=LearnedCodes(network=ConvConfig(width=48, multipliers=(1, 2), patch=4), share=0.5,
                                   fsq=FSQ(levels=(8, 5, 5, 5))),
        ),
        train=replace(LONG, steps=5000, learning_rate=2e-3),
    )


def drums_vae() -> Recipe[AudioData]:
    """Drum one-shots by class (audio/drums of $FOURFOLD_DATA, or --data FOLDER): the VAE of digits-vae.

    `fourfold audio train drums-vae`: not trained in full.
    """
    return replace(digits_vae(), name="drums-vae", data=DRUMS, train=replace(LONG, steps=3000))


def drums_gan() -> Recipe[AudioData]:
    """Drum one-shots by class (audio/drums of $FOURFOLD_DATA, or --data FOLDER): the GAN of digits-gan.

    `fourfold audio train drums-gan`: not trained in full.
    """
    return replace(digits_gan(), name="drums-gan", data=DRUMS, train=replace(digits_gan().train, steps=6000))


def drums_diffusion() -> Recipe[AudioData]:
    """Drum one-shots by class (audio/drums of $FOURFOLD_DATA, or --data FOLDER): the U-Net of digits-diffusion.

    `fourfold audio train drums-diffusion`: not trained in full.
    """
    return replace(digits_diffusion(), name="drums-diffusion", data=DRUMS)


def drums_autoregressive() -> Recipe[AudioData]:
    """Drum one-shots by class (audio/drums of $FOURFOLD_DATA, or --data FOLDER): the codes of digits-autoregressive.

    `fourfold audio train drums-autoregressive`: not trained in full.
    """
    return replace(digits_autoregressive(), name="drums-autoregressive", data=DRUMS,
                   train=replace(digits_autoregressive().train, steps=3000))


def vocoder_speech() -> Recipe[AudioData]:
    """A vocoder of speech at 16 kHz (telephone prompts of $FOURFOLD_DATA, or --data FOLDER).

    `fourfold audio train vocoder-speech`: not trained in full.
    """
    return Recipe(
        name="vocoder-speech", domain="audio", data=RecordingData(), family=VocoderConfig(),
        train=TrainConfig(steps=20_000, batch_size=8, learning_rate=5e-4, betas=(0.8, 0.99), schedule="cosine",
                          clip=0.0, warmup=0.01, ema_decay=0.999),
    )


def vocoder_digits() -> Recipe[AudioData]:
    """A vocoder of spoken digits at 8 kHz (audio/fsdd of $FOURFOLD_DATA, or --data FOLDER).

    `fourfold audio train vocoder-digits`: not trained in full.
    """
    return replace(vocoder_speech(), name="vocoder-digits", data=RecordingData(source="fsdd", mel=DIGIT_MEL))


def vocoder_drums() -> Recipe[AudioData]:
    """A vocoder of drums at 16 kHz (audio/drums of $FOURFOLD_DATA, or --data FOLDER).

    `fourfold audio train vocoder-drums`: not trained in full.
    """
    return replace(vocoder_speech(), name="vocoder-drums", data=RecordingData(source="drums"))


RECIPES: dict[str, Callable[[], Recipe[AudioData]]] = {
    make.__name__.replace("_", "-"): make
    for make in (
        tour_vae, tour_gan, tour_diffusion, tour_autoregressive, chorales_vae, chorales_gan, chorales_diffusion,
        chorales_autoregressive, chorales_jsb, notes_vae, notes_gan, notes_diffusion, notes_autoregressive,
        digits_vae, digits_gan, digits_diffusion, digits_autoregressive, drums_vae, drums_gan, drums_diffusion,
        drums_autoregressive, vocoder_speech, vocoder_digits, vocoder_drums,
    )
}
