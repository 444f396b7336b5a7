"""The sections of figures in docs/results.md, made of the benchmarks' results.

    python -m benchmarks.readme_figures

Writes what benchmarks/results/ holds of each of `SECTIONS` between the page's markers of that name; a benchmark that
was not run is left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from benchmarks.results_file import FOLDER
from core.runs.measures import figure

Parts = Mapping[str, Callable[[dict[str, Any]], str]]
PAGE = Path(__file__).parent.parent / "docs" / "results.md"


def main() -> None:
    """Rewrite the page's sections."""
    text = PAGE.read_text()
    for name, parts in SECTIONS.items():
        text = between(text, name, section(parts, FOLDER))
    PAGE.write_text(text)
    print(PAGE)


def between(text: str, name: str, body: str) -> str:
    """A page with `body` between its markers of that name."""
    begin, end = f"<!-- {name}: begin -->", f"<!-- {name}: end -->"
    before, rest = text.split(begin)
    return f"{before}{begin}\n{body}\n{end}{rest.split(end)[1]}"


def section(parts: Parts, folder: Path) -> str:
    """Every benchmark's paragraph or table, with its command."""
    written = []
    for name, write in parts.items():
        path = folder / f"{name}.json"
        if path.exists():
            result = json.loads(path.read_text())
            written.append(f"{write(result['metrics'])}\n\n(`{result['command']}`, {result['hardware']})")
    return "\n\n".join(written)


def likelihood(m: dict[str, Any]) -> str:
    """MNIST's nats."""
    low, high = m["vae_iwae_nats_interval"]
    first, last = m["autoregressive_nats_interval"]
    return (
        f"**Binarised MNIST**, {m['images']:,} test images: VAE {m['vae_iwae_nats']:.2f} nats (bound, "
        f"{m['importance_samples']} importance samples; 95 % interval of the mean {low:.2f} to {high:.2f}; "
        f"{_minutes(m, 'vae_iwae_nats')}), autoregressive {m['autoregressive_nats']:.2f} (exact; {first:.2f} to "
        f"{last:.2f}; {_minutes(m, 'autoregressive_nats')}). Published: 86.82 for pythae's IWAE-50, 84.87 for MADE, "
        "81.45 for PixelCNN."
    )


def _minutes(m: dict[str, Any], key: str) -> str:
    """What a training took: of a core, and by the clock where others used the core too."""
    clock, core = m[f"{key}_training_seconds"] / 60, m.get(f"{key}_training_core_seconds", 0) / 60
    return f"{core:.0f} minutes of one core, {clock:.0f} by the clock" if core else (
        f"{clock:.0f} minutes of training on one shared core")


def grid(m: dict[str, Any]) -> str:
    """The 25 Gaussians."""
    low, high = m["high_quality_interval"]
    return (
        f"**25 Gaussians on a grid**, GAN, {len(m['seeds'])} seeds of {m['samples']:,} samples: {m['modes']:.1f} "
        f"modes, {100 * m['high_quality']:.1f} % of high quality (95 % interval of the mean {100 * low:.1f} to "
        f"{100 * high:.1f}; real samples {100 * m['high_quality_floor']:.1f}), reverse KL {m['reverse_kl']:.3f} (real "
        f"{m['reverse_kl_floor']:.3f}). PacGAN4 published 24.8, 93.6 % and 0.04."
    )


def families(m: dict[str, Any]) -> str:
    """Fashion-MNIST by four families."""
    rows = ["| Fashion-MNIST by class | FD (95 % interval) | precision | recall | density | coverage | CAS "
            "| samples/s | minutes |", "|---|---|---|---|---|---|---|---|---|"]
    for name, row in m.items():
        if isinstance(row, dict):
            low, high = row["fd_interval"]
            rows.append(
                f"| {name} | {figure(row['fd'])} ({figure(low)} to {figure(high)}) | "
                + " | ".join(f"{row[key]:.3f}" for key in ("precision", "recall", "density", "coverage", "cas"))
                + f" | {row['samples_per_second']:.0f} | {row['training_seconds'] / 60:.0f} |")
            floor, real = row["fd_floor"], row["cas_floor"]
    return "\n".join([
        *rows, "",
        f"{m['samples']:,} samples against the 10,000 test images. FD is the Fréchet distance on the features of our "
        f"own classifier of Fashion-MNIST (test accuracy {m['classifier_test_accuracy']:.3f}; these are not "
        f"Inception's features, so this is no FID); as many real training images score {figure(floor)}. CAS is the "
        "accuracy on real test images of a classifier trained on the samples; trained on as many real ones it is "
        f"{real:.3f}. Minutes are of training on one core; both columns of speed were measured while other work shared "
        "the two cores.",
    ])


def peer(m: dict[str, Any]) -> str:
    """Diffusion against diffusers."""
    speed = m["sample_images_per_second_ratio"]
    text = (
        f"**Against diffusers** (UNet2DModel of {m['parameters_peer'] / 1e6:.2f} million parameters as its own example "
        f"trains it, ours {m['parameters_ours'] / 1e6:.2f} million; {m['minutes']:.0f} minutes at the same moment, a "
        f"core each): FD {figure(m['fd_ours'])} for ours, {figure(m['fd_peer'])} for the peer, each by its best "
        f"sampler (floor {figure(m['fd_floor'])}, {m['samples']:,} samples). Training makes "
        f"{m['train_images_per_second_ratio']:.1f} times as many images a second"
    )
    return text + ("." if speed is None else
                   f"; sampling, at the peer's quality or better, {speed:.0f} times ({m['sampler_ours']}, against "
                   f"{m['sampler_peer']}).")


def enhance(m: dict[str, Any]) -> str:
    """Restoration."""
    rows = ["| held-out Fashion-MNIST restored | PSNR (dB) | baseline | FD | baseline | floor |",
            "|---|---|---|---|---|---|"]
    for task, row in m.items():
        if isinstance(row, dict):
            rows.append(f"| {task} | {row['psnr_ours']:.2f} | {row['psnr_baseline']:.2f} ({row['baseline']}) | "
                        f"{figure(row['fd_ours'])} | {figure(row['fd_baseline'])} | {figure(row['fd_floor'])} |")
    return "\n".join([
        *rows, "",
        f"{m['images']:,} test images; noise of sigma 0.2, a hole of 10x10 pixels in the centre; "
        f"{m['training_seconds'] / 60:.0f} minutes of training on one core. The floor is of other real images; what is "
        "restored shows the very ones it is compared with, so it may fall below.",
    ])


def translation(m: dict[str, Any]) -> str:
    """Multi30k."""
    low, high = m["bleu_de_en_interval"]
    return (
        f"**Translation**, German to English, Multi30k's test_2016_flickr ({m['sentences']:,} sentences): BLEU "
        f"{m['bleu_de_en']:.1f} ({low:.1f} to {high:.1f}), chrF {m['chrf_de_en']:.1f}, by {m['beams']} beams; greedy "
        f"{m['bleu_de_en_greedy']:.1f}. {m['parameters'] / 1e6:.1f} million parameters, "
        f"{m['training_core_seconds'] / 60:.0f} minutes of one core. Published for this task (by other "
        f"tokenisations, lower-case ones too): recurrent 28.1, convolutional 34.1, transformer 36.5. "
        f"Signature `{m['bleu_signature']}`."
    )


def shakespeare(m: dict[str, Any]) -> str:
    """tinyshakespeare."""
    runs = m["training"]

    def after(name: str) -> str:
        return f"{runs[name]['nats']:.3f} after {runs[name]['seconds'] / 60:.0f} minutes"

    parts = []
    if "ours_15" in runs and "peer_15" in runs:
        parts.append(f"at the same moment, a core each, ours {after('ours_15')}, nanoGPT's CPU recipe "
                     f"{after('peer_15')}")
    if "ours_60" in runs:
        parts.append(f"ours trained longer {after('ours_60')} of one core")
    if "diffusion_60" in runs:
        more = f", {after('diffusion_more')} more at half the rate" if "diffusion_more" in runs else ""
        parts.append(f"masked diffusion's bound {after('diffusion_60')} of one core{more}")
    if "diffusion_to_autoregressive_nll" in m:
        parts.append(f"{m['diffusion_to_autoregressive_nll']:.3f} times the autoregressive value")
    if "train_tokens_per_second_ratio" in m:
        parts.append(f"at the peer's size and batches ours trains on {m['train_tokens_per_second_ratio']:.2f} times as "
                     "many characters a second")
    share = {"ours_60": 1, "diffusion_60": 1, "diffusion_more": 2}  # of a training's minutes in --minutes
    longer = ", ".join(f"`--only {name} --minutes {factor * runs[name]['seconds'] / 60:.0f}`"
                       for name, factor in share.items() if name in runs)
    return ("**tinyshakespeare** by characters, nats per character of its last tenth: " + "; ".join(parts)
            + ". Published for nanoGPT: 1.88 by its CPU recipe, 1.4697 on an A100. Trainings were commands of their "
            f"own, in this order: `--only ours_15 peer_15`, {longer}.")


def summaries(m: dict[str, Any]) -> str:
    """Package descriptions."""
    rows = ["| synopsis of a package description | ROUGE-1 | ROUGE-2 | ROUGE-L (95 % interval) |", "|---|---|---|---|"]
    for name, row in m.items():
        if isinstance(row, dict):
            low, high = row["rougeL"]["interval"]
            rows.append(f"| {name.replace('_', ' ')} | {row['rouge1']['value']:.1f} | {row['rouge2']['value']:.1f} | "
                        f"{row['rougeL']['value']:.1f} ({low:.1f} to {high:.1f}) |")
    best = max(row["rougeL"]["value"] for name, row in m.items() if isinstance(row, dict) and name != "model")
    verdict = "" if m["model"]["rougeL"]["value"] > best else "The model does not reach the extracted sentences yet. "
    return "\n".join([
        *rows, "",
        f"{verdict}{m['documents']:,} held-out descriptions, whose packages have none in training; "
        f"{m['parameters'] / 1e6:.1f} million parameters, {m['training_core_seconds'] / 60:.0f} minutes of one core. "
        f"{100 * m['summaries_that_are_training_targets']:.1f} % of the summaries are a training synopsis word for "
        f"word, of the true ones {100 * m['test_targets_that_are_training_targets']:.1f} %.",
    ])


def captions(m: dict[str, Any]) -> str:
    """Texygen's COCO."""
    low, high = m["vae_nats_interval"]
    rows = ["| captions, samples of | BLEU-2 | 3 | 4 | 5 | self-BLEU-2 | 3 | 4 | 5 |", "|---" * 9 + "|"]
    for name, row in m["points"].items():
        rows.append(f"| {name} | " + " | ".join(f"{row[f'{kind}{n}']:.3f}" for kind in ("bleu", "self_bleu")
                                                for n in (2, 3, 4, 5)) + " |")
    between = m["interpolations"]["between"][0]
    won = [n for n, ahead in m["gan_on_or_above_the_line"].items() if ahead]
    return "\n".join([
        *rows, "",
        f"Texygen's COCO captions, {m['samples']:,} samples against 10,000 held-out captions; numbers behind names are "
        "temperatures of the last softmax; the GAN's settings were chosen by half of these captions. At one "
        "temperature at least the GAN lies on or above the line through the "
        f"maximum-likelihood model's sweep by {'BLEU-' + ', '.join(won) if won else 'none of the four orders'}. "
        f"A sentence costs the sentence VAE {m['vae_nats']:.2f} nats (bound, {m['importance_samples']} importance "
        f"samples; {low:.2f} to {high:.2f}; KL {m['vae_kl']:.1f} nats, {100 * m['vae_active_units']:.0f} % of its "
        f"{m['vae_latent']} units active), the autoregressive model {m['autoregressive_nats']:.2f} (exact). The "
        f"same VAE without free nats, whose latent falls silent (KL {m['silent_kl']:.1f}), costs "
        f"{m['silent_nats']:.2f}: that is what hiding words from the decoder in training does alone.", "",
        f"From *{between[0]}* to *{between[1]}* through the latents of the GAN's autoencoder: "
        + " / ".join(m["interpolations"]["gan"][0]) + "; of the VAE, which holds too few nats to keep both ends: "
        + " / ".join(m["interpolations"]["vae"][0]),
    ])


def code(m: dict[str, Any]) -> str:
    """Python's standard library."""
    parts = []
    for name, words in (("model", "of the model's"), ("5_gram", "of a 5-gram's"), ("held_out", "of real")):
        low, high = m[f"definitions_that_parse_{name}_interval"]
        parts.append(f"{100 * m[f'definitions_that_parse_{name}']:.0f} % ({100 * low:.0f} to {100 * high:.0f}) "
                     f"{words} {m[f'definitions_{name}']}")
    eight = m["copied_8_grams"]
    sweep = ", ".join(f"{100 * rate:.0f} % at {temperature}"
                      for temperature, (rate, _) in m["definitions_that_parse_by_temperature"].items())
    return (
        f"**Code**, Python's standard library: {', '.join(parts)} top-level definitions parse (temperature "
        f"{m['temperature']}; {sweep}). Of the samples' 8-grams of words {100 * eight['samples']:.1f} % occur in the "
        f"training text, of held-out modules' {100 * eight['held_out']:.1f} %. {m['bits_per_byte']:.2f} bits per byte, "
        f"{m['parameters'] / 1e6:.1f} million parameters, {m['training_seconds'] / 60:.0f} minutes of training on one "
        "core."
    )


def oracle(m: dict[str, Any]) -> str:
    """SeqGAN's protocol."""
    rows = ["| SeqGAN's oracle, sequences of | oracle's nats a token | 4-grams of the training data "
            "| different 4-grams |", "|---|---|---|---|"]
    for name, row in m["rows"].items():
        rows.append(f"| {name} | {row['nats']:.3f} ({row['interval'][0]:.3f} to {row['interval'][1]:.3f}) | "
                    f"{row['known_4_grams']:.3f} | {row['different_4_grams']:.3f} |")
    return "\n".join([
        *rows, "",
        f"{m['sequences']:,} sequences each, one draw of the oracle; numbers behind names are temperatures. The "
        "measure alone rewards what repeats its training data, so read the columns together. Published for another "
        "draw: maximum likelihood 9.038, SeqGAN 8.736.",
    ])


def decoding(m: dict[str, Any]) -> str:
    """Speed of generation."""
    cost = m.get("nats_by_precision")
    note = "" if cost is None else (
        " One text at a time with weights as int8 (`--int8`): on held-out Shakespeare that costs "
        f"{cost['bytes']['more_than_float32']:+.4f} nats a character "
        f"({cost['bytes']['more_than_float32_interval'][0]:+.4f} to "
        f"{cost['bytes']['more_than_float32_interval'][1]:+.4f}) against float32.")
    return (
        f"**Decoding** on one core, {m['parameters'] / 1e6:.1f}M parameters: {m['tokens_per_second']:.0f} tokens "
        f"a second one text at a time, {m['ratio_to_transformers']:.1f} times transformers' cached `generate`, each "
        f"in the precision in which it is faster ({m['ratio_to_transformers_float32']:.2f} times in float32); "
        f"{m['tokens_per_second_batch']:.0f} in batches of {m['batch']}, "
        f"{m['ratio_to_transformers_batch']:.1f} times.{note}"
    )


IMAGE: Parts = {
    "mnist_likelihood": likelihood, "grid25": grid, "fashion_families": families, "fashion_vs_diffusers": peer,
    "fashion_enhance": enhance,
}
TEXT: Parts = {
    "shakespeare": shakespeare, "multi30k": translation, "summaries": summaries, "captions": captions,
    "seqgan_oracle": oracle, "code_generation": code, "decoding": decoding,
}
def _growth(metrics: dict[str, Any]) -> str:
    rows = [
        f"| {name.partition('/')[0]} | {row['examples']:,} | {row['above_gib']:.2f} | {row['resident_gib']:.2f} | "
        f"{row['seconds']:.0f} | {row['cpu_seconds']:.0f} |"
        for name, row in metrics.items() if isinstance(row, dict) and "above_gib" in row
    ]
    head = "| preparing | examples | GiB beyond imports | GiB resident | seconds | processor seconds |"
    return "\n".join([head, "|---|---|---|---|---|---|", *rows])


def _kills(metrics: dict[str, Any]) -> str:
    return (f"**Kills**: {metrics['kills']} kills of {len(metrics['runs'])} small runs, at random moments and at file "
            f"operations ({_covered(metrics)}); every ended run's files equal those of the run that was left alone, "
            "clock values and TensorBoard's events apart.")


def _covered(metrics: dict[str, Any]) -> str:
    """Of how many runs every file operation was hit."""
    every = sum(run["kills_at_operations"] >= run["operations"] for run in metrics["runs"].values())
    return f"every one of them in {every} runs" if every else "some of each run's"


def _fuzz(metrics: dict[str, Any]) -> str:
    rows = metrics.values()
    found = sum(sum(row["found"].values()) for row in rows)
    return (f"**Hostile input**: {sum(row['inputs'] for row in rows):,} inputs to {len(rows)} loaders, "
            f"{min(row['inputs'] for row in rows):,} to {max(row['inputs'] for row in rows):,} each; {found or 'no'} "
            "tracebacks, hangs, or memory beyond the limit. The slowest call took "
            f"{max(row['slowest_seconds'] for row in rows):.1f} s of the processor's time, the largest "
            f"{max(row['most_memory_mib'] for row in rows):.0f} MiB.")


def _moses_metrics(m: dict[str, Any]) -> str:
    return (
        f"**MOSES' measures**: on {m['agreement_samples']:,} molecules at most {m['max_abs_difference']:.1g} from "
        f"molsets' own functions; {m['samples']:,} molecules in {m['seconds_30k']:.0f} s "
        f"({m['core_seconds_30k']:.0f} of processors), molsets {m['seconds_peer_30k']:.0f} s "
        f"({m['core_seconds_peer_30k']:.0f}; {m['peer_is']})."
    )


def _esol(m: dict[str, Any]) -> str:
    low, high = m["paired_interval"]
    return (
        f"**ESOL**, Murcko split 8:1:1: RMSE {m['rmse']:.3f} (extra trees on the same descriptors "
        f"{m['rmse_extra_trees']:.3f}, Uni-Mol published {m['published']['uni_mol']}); over "
        f"{len(m['rmse_random_scaffolds'])} splits of scaffolds in random order {m['paired_difference']:+.3f} against "
        f"extra trees ({low:+.3f} to {high:+.3f}). 90 % intervals cover {100 * m['coverage_90']:.1f} % of "
        f"{m['coverage_molecules']:,} test molecules. The trees' settings were chosen with such figures known."
    )


def _constrained(m: dict[str, Any]) -> str:
    return (
        f"**Constrained design** by {m['model']} ({m['steps']}): of {m['decorate_drawn']:,} decorations "
        f"{100 * m['decorate_kept']:.0f} % are valid with the scaffold kept, {100 * m['decorate_unique']:.0f} % of "
        f"them different; of {m['link_drawn']:,} links {100 * m['link_kept']:.0f} % are valid with both fragments "
        f"(GenMol published {100 * m['published']['link_kept']['GenMol']:.1f})."
    )


def _pmo(m: dict[str, Any]) -> str:
    rows = [f"{name} {value:.2f}" for name, value in m.items() if name.startswith("sum_")]
    return f"**PMO**, {len(m['tasks'])} tasks, {m['calls']:,} calls: {', '.join(rows)}."


MOLECULES: Parts = {"moses_metrics": _moses_metrics, "esol": _esol, "constrained": _constrained, "pmo": _pmo}


def _compare(metrics: dict[str, Any]) -> str:
    rows = {name: row for name, row in metrics.items() if isinstance(row, dict)}
    families = list(next(iter(rows.values()))["short"])
    said = []
    for name, row in rows.items():
        cells = []
        for family in families:
            short = row["short"][family]["value"]
            longer = [value for value in row["longer"][family]["values"] if value is not None]
            spread = f"{figure(min(longer))} to {figure(max(longer))}" if longer else "failed"
            cells.append(f"{'failed' if short is None else figure(short)}; {spread}")
        named = f"{row['named']}{'' if row['separated'] else ' (too close to call)'}"
        confirmed = "yes" if row["confirmed"] else f"no: {row['longer_best']}"
        said.append([name, f"`{row['measure']}`", named, *cells, confirmed])
    heads = ["data", "decided by", "named", *families, "confirmed"]
    lines = [heads, ["---"] * len(heads), *said]
    held = sum(row["confirmed"] for row in rows.values())
    return (
        f"**Which family suits the data**: `compare` with {metrics['minutes']:g} minutes a family named the family "
        f"that longer trainings of other seeds ({metrics['longer_minutes']:g} minutes a family, by the clock of a "
        f"shared machine) confirm on {held} of {len(rows)} data sets. Each cell has the short comparison's value, then "
        "the range of the longer seeds.\n\n" + "\n".join(f"| {' | '.join(line)} |" for line in lines)
    )


def vocoder(m: dict[str, Any]) -> str:
    """The vocoder beside Griffin-Lim."""
    (low, high), (g_low, g_high) = m["pesq_wb_interval"], m["griffin_lim_pesq_wb_interval"]
    return (
        f"**A vocoder of speech** (16 kHz, 80 mel bands, {m['parameters'] / 1e6:.1f} million parameters, "
        f"{m['training_seconds'] / 60:.0f} minutes of training on one shared core) on {m['sentences']} held-out "
        f"sentences of the teacher's voice: wide-band PESQ {m['pesq_wb']:.2f} ({low:.2f} to {high:.2f}), STOI "
        f"{m['stoi']:.3f}; Griffin-Lim, 32 iterations: {m['griffin_lim_pesq_wb']:.2f} ({g_low:.2f} to {g_high:.2f}) "
        f"and {m['griffin_lim_stoi']:.3f}. {m['times_real_time_1core']:.0f} times real time on one core."
    )


SOUND: Parts = {"vocoder": vocoder}
RUNS: Parts = {"compare": _compare, "growth": _growth, "kills": _kills, "kills_every_operation": _kills, "fuzz": _fuzz}
SECTIONS: Mapping[str, Parts] = {
    "image figures": IMAGE, "text figures": TEXT, "sound figures": SOUND, "molecule figures": MOLECULES,
    "run figures": RUNS}


if __name__ == "__main__":
    main()
