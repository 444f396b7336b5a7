"""What users give, for `benchmarks.fuzz`: each loader with valid inputs and what Hypothesis makes of them."""

from __future__ import annotations

import copy
import functools
import gzip
import io
import json
import os
import shutil
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from contextlib import redirect_stderr, redirect_stdout, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import torch
from hypothesis import strategies as st
from PIL import Image

import apps.audio.domain
import apps.image.domain
import apps.molecules.domain
import apps.robotics.domain
import apps.text.domain
from apps.audio.scores import midi_bytes, on_grid, read_jsb, read_midi, read_musicxml
from apps.audio.sound import read_recording
from apps.cli import app
from apps.image.captions import read_captions
from apps.image.codec import ImageCodec
from apps.image.enhancement import inpaint
from apps.image.sources import open_image
from apps.molecules import chemistry
from apps.molecules.data import read_smiles
from apps.robotics.demonstrations import Demonstrations
from apps.text.sources import documents, lines, pairs
from apps.text.text_data import TextData
from core.command_line.program import main as run_program
from core.data.cache import cached
from core.data.tables import read_json_lines, read_lines, read_table
from core.errors import FourfoldError
from core.files import to_json
from core.runs.domain import Domain
from core.runs.pretrained import load, load_codec
from core.runs.report import write_run_report
from core.runs.run import Run, load_recipe_file
from core.serialization import to_dict
from core.training import checkpoint

ROOT = Path(__file__).parent.parent
RUNS = ROOT / "tests" / "data" / "version-0.1.0"
DOMAINS: dict[str, Domain[Any, Any, Any]] = {
    "image": apps.image.domain.DOMAIN, "text": apps.text.domain.DOMAIN, "audio": apps.audio.domain.DOMAIN,
    "molecules": apps.molecules.domain.DOMAIN, "robotics": apps.robotics.domain.DOMAIN,
}
HUGE = "a number of five thousand digits"
"""Stands in values for what JSON cannot be given in Python."""


@dataclass(frozen=True)
class Loader:
    """A strategy of inputs, and the call that meets them: `read` is given an input and an empty folder."""

    inputs: st.SearchStrategy[bytes]
    read: Callable[[bytes, Path], object]


# Mutations ---------------------------------------------------------------------------------------------------------

NUMBERS = ["0", "-1", "1e999", "nan", "-0", "9" * 20, "9" * 5000, "2147483648", "9223372036854775808", "0x1", "1/0",
           "\u00b2", "\u0664", "1_0", "+1", " 1", "1e-320"]
ODD = ["", "\0", "\n", "\r", "\u2028", "\u0085", "\x0c", "\ufeff", "\ud800", "\x1b[2J", "..", ".", "/", "a/../b",
       "~", "x" * 10_000, "\u202e", "e\u0301", "\U0001f600", "[" * 3000, "{" * 3000, '"', "'", ",", ";", "\t", "=",
       "%s", "{}"]
TOKENS = [text.encode(errors="surrogatepass") for text in (*NUMBERS, *ODD)]


def mutated(
    seeds: Sequence[bytes], words: Sequence[bytes] = (), repaired: Callable[[bytes], bytes] | None = None
) -> st.SearchStrategy[bytes]:
    """Valid inputs with a few edits: bits, bytes, numbers, words, cuts and copies; bare noise now and then.

    Args:
        words: that mean something to the loader.
        repaired: mends an input's checksums, so that edits get past them; half of the inputs are mended.
    """
    known = (*TOKENS, *words)

    @st.composite
    def make(draw: st.DrawFn) -> bytes:
        if draw(st.integers(0, 49)) == 0:
            return draw(st.binary(max_size=200))
        content = bytearray(draw(st.sampled_from(seeds)))
        for _ in range(draw(st.integers(0, 4))):
            place = draw(st.integers(0, len(content)))
            length = draw(st.integers(1, 64))
            match draw(st.integers(0, 7)):
                case 0 if place < len(content):
                    content[place] ^= 1 << draw(st.integers(0, 7))
                case 1:
                    size = draw(st.sampled_from((1, 2, 4, 8)))
                    content[place : place + size] = draw(st.sampled_from((b"\0", b"\xff", b"\x7f", b"\x80"))) * size
                case 2:
                    del content[place : place + length]
                case 3:
                    content[place:place] = content[place : place + length] * draw(st.sampled_from((1, 2, 50)))
                case 4:
                    content[place:place] = draw(st.sampled_from(known))
                case 5:
                    content[place : place + length] = draw(st.sampled_from(known))
                case 6:
                    del content[place:]
                case _:
                    other = draw(st.sampled_from(seeds))
                    content[place : place + length] = other[draw(st.integers(0, len(other))) :][:length]
        made = bytes(content[: 2**20])
        return repaired(made) if repaired is not None and draw(st.booleans()) else made

    return make()


def _values() -> st.SearchStrategy[Any]:
    plain = st.sampled_from([None, True, False, 0, 1, -1, 2, 7, 64, 2**31, 2**63, 10**30, 1e308, 0.5, -0.0,
                             float("nan"), float("inf"), HUGE, *ODD, *NUMBERS])
    keys = st.sampled_from(["kind", "a", ""])
    nested = st.recursive(plain, lambda inner: st.lists(inner, max_size=4)
                          | st.dictionaries(keys, inner, max_size=3), max_leaves=8)
    return st.one_of(plain, st.integers(), st.floats(), st.text(max_size=8), nested)


def edited(value: Any) -> st.SearchStrategy[Any]:
    """A JSON value with one to three of its parts exchanged, dropped, renamed or doubled."""

    @st.composite
    def make(draw: st.DrawFn) -> Any:
        made = copy.deepcopy(value)
        for _ in range(draw(st.integers(0, 3))):
            inner = made
            while True:
                if not isinstance(inner, (dict, list)) or not inner:
                    return draw(_values())
                key = draw(st.sampled_from(sorted(inner) if isinstance(inner, dict) else range(len(inner))))
                if not isinstance(inner[key], (dict, list)) or not inner[key] or draw(st.integers(0, 4)) == 0:
                    break
                inner = inner[key]
            match draw(st.integers(0, 5)):
                case 0:
                    del inner[key]
                case 1 if isinstance(inner, dict):
                    inner[draw(st.text(max_size=5))] = inner.pop(key)
                case 1 | 2 if isinstance(inner, list):
                    inner.extend(copy.deepcopy(inner) * draw(st.sampled_from((1, 50))))
                case _:
                    inner[key] = draw(_values())
            if not made:
                break
        return made

    return make()


def json_inputs(values: Sequence[Any]) -> st.SearchStrategy[bytes]:
    """JSON files with edited values, without their checksum or with the right one, and with edited bytes."""

    @st.composite
    def make(draw: st.DrawFn) -> bytes:
        value = draw(edited(draw(st.sampled_from(values))))
        sealed = isinstance(value, dict) and HUGE not in repr(value) and draw(st.booleans())
        with suppress(UnicodeEncodeError, TypeError):
            return to_json(value) if sealed else _dumped(value)
        return b"{}"

    return st.one_of(make(), make(), make(), mutated([_dumped(value) for value in values]))


def _dumped(value: Any) -> bytes:
    return json.dumps(value).replace(json.dumps(HUGE), "9" * 5000).encode(errors="surrogatepass")


def zip_inputs(seeds: Sequence[bytes], words: Sequence[bytes] = ()) -> st.SearchStrategy[bytes]:
    """Zip files whose members are edited, with the right checksums; and zip files with edited bytes."""
    members = [_members(seed) for seed in seeds]
    every = [content for member in members for content in member.values()]

    @st.composite
    def make(draw: st.DrawFn) -> bytes:
        chosen = dict(draw(st.sampled_from(members)))
        for _ in range(draw(st.integers(1, 2))):
            name = draw(st.sampled_from(sorted(chosen) or [""]))
            if draw(st.integers(0, 9)) == 0:
                chosen.pop(name, None)
            elif draw(st.integers(0, 19)) == 0:
                chosen[name] = bytes(draw(st.sampled_from((10**5, 10**6, 2 * 10**7))))  # a bomb
            else:
                chosen[name] = draw(mutated([chosen.get(name, b""), *every], words))
        return zipped(chosen)

    return st.one_of(make(), make(), mutated(seeds))


def _members(content: bytes) -> dict[str, bytes]:
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


def zipped(members: Mapping[str, bytes]) -> bytes:
    """The bytes of a zip file."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def named(inputs: Mapping[str, st.SearchStrategy[bytes]]) -> st.SearchStrategy[bytes]:
    """One of several files, as a line with its name and then its content."""
    return st.sampled_from(sorted(inputs)).flatmap(
        lambda name: inputs[name].map(lambda content: name.encode() + b"\n" + content))


def _named(content: bytes) -> tuple[str, bytes]:
    name, _, rest = content.partition(b"\n")
    return name.decode(errors="replace"), rest


def _written(folder: Path, name: str, content: bytes) -> Path:
    path = folder / name
    path.write_bytes(content)
    return path


# Pictures ----------------------------------------------------------------------------------------------------------


@functools.cache
def _pictures() -> dict[str, bytes]:
    rng = np.random.default_rng(0)
    grey = Image.fromarray(rng.integers(0, 256, (9, 11), dtype=np.uint8))
    colour = Image.fromarray(rng.integers(0, 256, (9, 11, 4), dtype=np.uint8), "RGBA")
    deep = Image.fromarray(rng.integers(0, 65536, (9, 11)).astype(np.uint16))
    real = Image.fromarray(rng.random((9, 11), dtype=np.float32))
    exif = Image.Exif()
    exif[0x0112] = 6
    made = {}
    for name, image, extra in (
        ("grey.png", grey, {}), ("colour.png", colour, {}), ("deep.png", deep, {}), ("bit.png", grey.convert("1"), {}),
        ("palette.png", colour.convert("RGB").quantize(7), {"transparency": 3}), ("lying.png", grey, {"exif": exif}),
        ("photo.jpg", colour.convert("RGB"), {"exif": exif}), ("cmyk.jpg", colour.convert("CMYK"), {}),
        ("slow.jpg", grey, {"progressive": True}),
        ("deep.tif", deep, {}), ("real.tif", real, {}), ("packed.tif", colour, {"compression": "tiff_lzw"}),
        ("deflated.tif", grey, {"compression": "tiff_adobe_deflate"}),
        ("lab.tif", colour.convert("RGB").convert("LAB"), {}),
        ("moving.gif", grey, {"save_all": True, "append_images": [grey.rotate(90)]}), ("picture.webp", colour, {}),
        ("picture.bmp", grey, {}),
    ):
        buffer = io.BytesIO()
        image.save(buffer, Image.registered_extensions()[Path(name).suffix], **extra)
        made[name] = buffer.getvalue()
    return made


def _with_checksums(content: bytes) -> bytes:
    """A PNG with the right checksum behind each chunk; other content as it is."""
    if content[:8] != b"\x89PNG\r\n\x1a\n":
        return content
    made, at = bytearray(content), 8
    while at + 12 <= len(made):
        end = at + 8 + int.from_bytes(made[at : at + 4])
        if end + 4 > len(made):
            break
        made[end : end + 4] = zlib.crc32(made[at + 4 : end]).to_bytes(4)
        at = end + 4
    return bytes(made)


def _picture_inputs() -> st.SearchStrategy[bytes]:
    words = [b"\x12\x01", b"II*\0", b"MM\0*", b"IHDR", b"tRNS", b"eXIf", b"acTL",
             *(size.to_bytes(4) for size in (1, 2**13, 2**14, 2**31 - 1))]
    return mutated(list(_pictures().values()), words, _with_checksums)


def pictures(home: Path) -> Loader:
    """A picture file: opened, and made an example of a model."""
    codec = ImageCodec(shape=(3, 16, 16))
    return Loader(_picture_inputs(), lambda content, folder: codec.encode(
        [open_image(_written(folder, "picture.png", content))]))


def masks(home: Path) -> Loader:
    """A picture as the mask of another, by a model that fills."""
    model = load(RUNS / "image-enhance" / "finished", DOMAINS["image"], "cpu")
    photo = Image.new("L", (11, 9), 200)

    def read(content: bytes, folder: Path) -> object:
        return inpaint(model, photo, open_image(_written(folder, "mask.png", content)), num_steps=1)

    return Loader(_picture_inputs(), read)


def captions(home: Path) -> Loader:
    """A file of captions beside two pictures."""
    csv = b'file,caption\na.png,"a cat, asleep"\nb.png,a dog\n'
    values = {"a.png": "a cat", "b.png": "two dogs"}
    inputs = named({"captions.csv": mutated([csv]), "captions.txt": mutated([b"a.png\ta cat\nb.png\ta dog\n"]),
                    "captions.json": json_inputs([values])})

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        _written(folder, name, rest)
        return read_captions(folder, [folder / "a.png", folder / "b.png"])

    return Loader(inputs, read)


# Tables and text ---------------------------------------------------------------------------------------------------

SMILES = ["CCO", "c1ccccc1O", "CC(=O)Oc1ccccc1C(=O)O", "[Na+].[Cl-]", "C[C@H](N)C(=O)O", "F/C=C/F", "[13CH4]", "N#N",
          "C1CC2CC1CC2", "O=C(O)[C@@H]1CCCN1", "[Cu+2]<-N", "CC%10CC%10"]
ROWS = ["ID;Name;Smiles\n" + "".join(f'{i};"a ""b"", c";{text}\n' for i, text in enumerate(SMILES)),
        "smiles,logp\n" + "".join(f"{text},{i / 3}\n" for i, text in enumerate(SMILES)),
        "source\ttarget\n" + "".join(f"a {i}\tb {text}\n" for i, text in enumerate(SMILES)),
        "\n".join(f"{text} name {i}" for i, text in enumerate(SMILES))]
JSON_LINES = "".join(json.dumps({"text": f"one {i}", "source": "a", "target": f"b{i}"}) + "\n" for i in range(12))


def _encoded(text: str) -> list[bytes]:
    return [text.encode(), text.encode("utf-8-sig"), text.encode("utf-16"), text.replace("\n", "\r\n").encode(),
            text.replace("\n", "\r").encode()]


def _packed(content: bytes) -> bytes:
    return gzip.compress(content, 1)


TABLES = [content for rows in ROWS for content in _encoded(rows)]


def tables(home: Path) -> Loader:
    """Tables, JSON lines and lines, as all domains read them."""
    texts = mutated([*TABLES, *_encoded(JSON_LINES)], [b'"', b'""', b'"\n"', b"\n\n", b"\t", b",,"])
    inputs = {f"table{suffix}": texts for suffix in (".csv", ".tsv", ".jsonl", ".txt")}
    inputs |= {f"table{suffix}.gz": texts.map(_packed) | mutated([_packed(TABLES[0])]) for suffix in (".csv", ".jsonl")}

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        path = _written(folder, name, rest)
        if ".jsonl" in name:
            return read_json_lines(path, "text")
        if ".txt" in name:
            return read_lines(path)
        return read_table(path).report(), read_table(path, columns=("smiles", "source")).report()

    return Loader(named(inputs), read)


def smiles_files(home: Path) -> Loader:
    """Molecules of a table or list."""
    inputs = {f"molecules{suffix}": mutated(TABLES, [text.encode() for text in SMILES])
              for suffix in (".csv", ".tsv", ".smi", ".txt")}

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        return read_smiles(_written(folder, name, rest), max_invalid=0.5)

    return Loader(named(inputs), read)


def smiles(home: Path) -> Loader:
    """A molecule as text: checked, measured, and made an example of a model."""
    codec = load(RUNS / "molecules-autoregressive" / "finished", DOMAINS["molecules"], "cpu").codec
    alphabet = st.text("CNOFPSBrclnos[]()=#$:.+-@/\\%0123456789<>H*~ ", max_size=60)
    words = [b"[", b"]", b"@@", b"%99", b"<-", b"[H]", b"C1" * 50, b"(" * 500, b"C" * 5000, b"[C+99]", b"[999C]", b"*"]
    inputs = mutated([text.encode() for text in SMILES], words) | alphabet.map(str.encode)

    def read(content: bytes, folder: Path) -> object:
        text = content.decode(errors="replace")
        valid = chemistry.valid_canonical([text])
        values = chemistry.properties(chemistry.valid_molecules(valid), list(chemistry.PROPERTIES))
        with suppress(FourfoldError):
            codec.encode([text])
        return values

    return Loader(inputs, read)


def texts(home: Path) -> Loader:
    """Files of text: as documents, lines and pairs."""
    plain = "To be, or not to be.\n" * 5 + "\n" + "That is the question:\n" * 3
    inputs = {f"text{suffix}": mutated([*_encoded(plain), *_encoded(JSON_LINES), *_encoded(ROWS[2])])
              for suffix in (".txt", ".jsonl", ".tsv", ".csv", ".md")}

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        path = _written(folder, name, rest)
        found: list[object] = []
        for unit, reader in (("stream", documents), ("line", lines), ("pair", pairs)):
            try:
                found.append(reader(TextData(source="folder", folder=str(path), unit=unit)))  # type: ignore[arg-type]
            except FourfoldError as error:
                found.append(error)
        return next((item for item in found if not isinstance(item, FourfoldError)), None) or _raised(found[0])

    return Loader(named(inputs), read)


def _raised(error: object) -> object:
    if isinstance(error, FourfoldError):
        raise error
    return error


# Sound and music ---------------------------------------------------------------------------------------------------


@functools.cache
def _midi() -> list[bytes]:
    own = sorted((ROOT / "tests" / "data" / "cases").glob("*.mid"))
    runs = sorted((RUNS / "audio-chorales" / "chorales").glob("*.mid"))[:3]
    return [path.read_bytes() for path in [*own, *runs]]


def midi(home: Path) -> Loader:
    """A MIDI file, as notes on a grid, and written again."""
    words = [b"MThd", b"MTrk", b"\xff\x2f\0", b"\xff\x51\3\0\0\1", b"\x90\x3c\x40", b"\x80\x3c\0", b"\xff\xff\xff\x7f",
             b"\xf0", b"\x81\x00"]

    def read(content: bytes, folder: Path) -> object:
        return midi_bytes(on_grid(read_midi(_written(folder, "piece.mid", content)), 4))

    return Loader(mutated(_midi(), words), read)


def _note(step: str, octave: int, more: str = "") -> str:
    return (f"<note><pitch><step>{step}</step><alter>1</alter><octave>{octave}</octave></pitch><duration>2</duration>"
            f"{more}</note>")


MUSICXML = ('<?xml version="1.0"?><score-partwise version="3.1"><part-list/>' + "".join(
    f'<part id="P{voice}"><measure number="1"><attributes><divisions>2</divisions></attributes>{_note("C", 5 - voice)}'
    f'{_note("D", 5 - voice, "<tie type=" + chr(34) + "start" + chr(34) + "/>")}<backup><duration>1</duration></backup>'
    f'{_note("E", 4, "<chord/>")}<note><rest/><duration>1</duration></note></measure></part>' for voice in range(4)
) + "</score-partwise>").encode()
CONTAINER = b'<container><rootfiles><rootfile full-path="piece.xml"/></rootfiles></container>'


def musicxml(home: Path) -> Loader:
    """A MusicXML file, plain or packed, as notes on a grid."""
    words = [b"<!ENTITY a 'b'>", b"&lt;", b"<forward><duration>9</duration></forward>", b"<divisions>0</divisions>",
             b"<measure>", b"<note>", b"</part>", b"<octave>9</octave>", b"<duration>999999999</duration>",
             b"\xff\xfe", b"<alter>inf</alter>"]
    plain = mutated([MUSICXML, MUSICXML.decode().encode("utf-16")], words)
    archive = zipped({"META-INF/container.xml": CONTAINER, "piece.xml": MUSICXML})
    inputs = {"piece.musicxml": plain, "piece.mxl": zip_inputs([archive], words)}

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        return on_grid(read_musicxml(_written(folder, name, rest)), 4)

    return Loader(named(inputs), read)


def jsb(home: Path) -> Loader:
    """A JSON file of chorales."""
    piece = [[60, 55, 52, 48]] * 8
    value = {"train": [piece, piece], "valid": [piece], "test": [piece]}
    return Loader(json_inputs([value]), lambda content, folder: read_jsb(_written(folder, "jsb.json", content), 2))


def sounds(home: Path) -> Loader:
    """A sound file: resampled, and as mono."""
    wave = (np.random.default_rng(0).random((900, 2)) - 0.5).astype(np.float32)
    seeds = []
    for kind, subtype, rate, samples in (
        ("WAV", "PCM_16", 16000, wave), ("WAV", "FLOAT", 8000, wave[:, 0]), ("WAV", "IMA_ADPCM", 22050, wave[:, 0]),
        ("FLAC", "PCM_16", 44100, wave), ("OGG", "VORBIS", 16000, wave), ("AIFF", "PCM_24", 48000, wave),
        ("WAV", "PCM_U8", 11025, wave[:, 0]),
    ):
        buffer = io.BytesIO()
        soundfile.write(buffer, samples, rate, format=kind, subtype=subtype)
        seeds.append(buffer.getvalue())
    words = [b"RIFF", b"data", b"fmt ", b"fLaC", b"OggS",
             *(rate.to_bytes(4, "little") for rate in (1, 1001, 2**31 - 1))]

    def read(content: bytes, folder: Path) -> object:
        path = _written(folder, "sound.wav", content)
        return read_recording(path, 16000, 8000), read_recording(path, 16000)

    return Loader(mutated(seeds, words), read)


# Demonstrations, folders -------------------------------------------------------------------------------------------


def _demonstrations() -> bytes:
    rng = np.random.default_rng(0)
    widths = [len(names) for names in _planar_names()]
    buffer = io.BytesIO()
    np.savez_compressed(
        buffer, task=np.array("planar"), observations=rng.random((30, widths[0])).astype(np.float32),
        actions=rng.random((30, widths[1])).astype(np.float32), lengths=np.array([10, 12, 8]),
        succeeded=np.array([True, False, True]),
    )
    return buffer.getvalue()


def _planar_names() -> tuple[Sequence[str], Sequence[str]]:
    from apps.robotics.environments import make

    environment = make("planar")
    return environment.observation.names, environment.action.names


def demonstrations(home: Path) -> Loader:
    """An .npz of demonstrations."""
    words = [b"'<f4'", b"'<f2'", b"'|O'", b"'<U999999999'", b"'<i8'", b"(30, 2)", b"(-1,)", b"(99999999999,)",
             b"'>c16'", b"True", b"(" * 300, b"'|b1'", b"'<M8[s]'"]
    return Loader(zip_inputs([_demonstrations()], words),
                  lambda content, folder: Demonstrations.load(_written(folder, "own.npz", content)))


def folders(home: Path) -> Loader:
    """A folder as a tree of names, given to the domains as data of a user's own; see `_grown`."""
    leaves = {**_pictures(), "text.txt": b"a line\nanother\n", "rows.csv": TABLES[5], "bad.png": b"no",
              "empty.wav": b"", "piece.mid": _midi()[0], "rows.smi": TABLES[-5], "own.npz": _demonstrations()}
    leaves |= {f"{i}.txt": f"{i} sheep and {i * i} goats\n".encode() * 40 for i in range(4)}
    leaves |= {f"{i}.mid": path.read_bytes() for i, path in enumerate(sorted(RUNS.glob("audio-chorales/chorales/*")))}
    leaves["many.smi"] = next(RUNS.glob("molecules-autoregressive/smiles/*")).read_bytes()
    whole: dict[str, Any] = {
        "image": {f"{letter}{name}": name for letter in "ab" for name in _pictures()},
        "text": {f"{i}.txt": f"{i}.txt" for i in range(4)}, "robotics": {"a.npz": "own.npz", "b.npz": "own.npz"},
        "audio": {name: name for name in leaves if name.endswith(".mid")}, "molecules": {"many.smi": "many.smi"},
    }
    names = st.sampled_from([*leaves, ".hidden.png", "._a.png", "Thumbs.db", "__MACOSX", "a", "b", "c", " ", "x.PNG",
                             "captions.csv", "a\nb.txt", "\x1b[2J.wav", "\U0001f600.mid", "\udcff.txt", "train.tsv",
                             "a.de", "talk.txt.gz"])
    kinds = st.sampled_from([*leaves, "->..", "->nowhere", "->a", "->/etc", "pipe", "closed"])
    trees = st.recursive(kinds, lambda inner: st.dictionaries(names, inner, max_size=14), max_leaves=20)
    inputs = st.sampled_from(sorted(DOMAINS)).flatmap(lambda domain: st.tuples(
        st.just(domain), st.dictionaries(names, trees, max_size=8).map(lambda tree: {**whole[domain], **tree})))

    def read(content: bytes, folder: Path) -> object:
        try:
            name, tree = json.loads(content)
            domain = DOMAINS[name]
        except (ValueError, TypeError, KeyError):
            return None
        _grown(tree, folder / "own", leaves)
        data = domain.own_data(domain.recipe("tour-autoregressive").data, folder / "own")
        return len(domain.prepare(data).train)

    return Loader(inputs.map(lambda value: json.dumps(value).encode()), read)


def _grown(tree: Any, path: Path, leaves: Mapping[str, bytes]) -> None:
    """The files of a tree: a dictionary is a folder, "->x" a link to x, "pipe" one, "closed" a file that none may read;
    other words name what a file holds."""
    with suppress(OSError, ValueError):
        if isinstance(tree, dict):
            path.mkdir()
            for name, inner in tree.items():
                _grown(inner, path / name, leaves)
        elif str(tree).startswith("->"):
            path.symlink_to(str(tree)[2:])
        elif tree == "pipe":
            os.mkfifo(path)
        else:
            path.write_bytes(leaves.get(str(tree), b"x"))
            if tree == "closed":
                path.chmod(0)


# Recipes, models, runs ---------------------------------------------------------------------------------------------


def _json(path: Path) -> Any:
    return json.loads(path.read_text())


def recipes(home: Path) -> Loader:
    """A recipe's file: read, and its model built as far as its shapes."""
    seeds = [{"format": 1, **to_dict(domain.recipe(f"tour-{family}"))} for domain in DOMAINS.values()
             for family in ("vae", "gan", "diffusion", "autoregressive")]
    seeds += [_json(path) for path in sorted(RUNS.glob("*/finished/recipe.json"))]
    codecs = {name: load_codec(next(RUNS.glob(f"{name}-*")) / "finished" / "model", domain.codec_types,
                               domain.codec_migrations) for name, domain in DOMAINS.items()}

    def read(content: bytes, folder: Path) -> object:
        path = _written(folder, "recipe.json", content)
        named = next((name for name in DOMAINS if f'"{name}"'.encode() in content), "image")
        recipe = load_recipe_file(path, DOMAINS[named])
        with torch.device("meta"):
            return recipe.family.build(codecs[named].space, codecs[named].conditions)

    return Loader(json_inputs(seeds), read)


def models(home: Path) -> Loader:
    """A model folder one of whose files is damaged or edited."""
    inputs: dict[str, st.SearchStrategy[bytes]] = {}
    for path in sorted(RUNS.glob("*/finished/model")):
        run = path.parent.parent.name
        for name in ("config.json", "codec.json"):
            inputs[f"{run}/{name}"] = json_inputs([_json(path / name)])
        inputs[f"{run}/model.safetensors"] = _tensor_inputs((path / "model.safetensors").read_bytes())

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        run, _, file = name.partition("/")
        shutil.copytree(RUNS / run / "finished" / "model", folder / "model")
        _written(folder / "model", file, rest)
        return load(folder / "model", DOMAINS[run.partition("-")[0]], "cpu")

    return Loader(named(inputs), read)


def _tensor_inputs(content: bytes) -> st.SearchStrategy[bytes]:
    """Safetensors with edited headers, and with edited bytes."""
    end = 8 + int.from_bytes(content[:8], "little")
    header, data = json.loads(content[8:end]), content[end:]

    def with_header(text: bytes) -> bytes:
        return len(text).to_bytes(8, "little") + text + data

    words = [b"F64", b"BF16", b"F8_E4M3", b"data_offsets", b"shape"]
    return mutated([content], words) | edited(header).map(lambda value: with_header(_dumped(value)))


def checkpoints(home: Path) -> Loader:
    """A checkpoint one of whose files is damaged or edited."""
    step = RUNS / "image-vae" / "unfinished" / "state" / "step-00000003"
    inputs = named({"state.json": json_inputs([_json(step / "state.json")]),
                    "tensors.safetensors": _tensor_inputs((step / "tensors.safetensors").read_bytes())})

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        shutil.copytree(step, folder / step.name)
        _written(folder / step.name, name, rest)
        return checkpoint.load(folder)

    return Loader(inputs, read)


def reports(home: Path) -> Loader:
    """A run folder with a file damaged or edited, as `report` shows it: its recipe, log, measures and samples."""
    run = home / "run"
    shutil.copytree(RUNS / "image-vae" / "finished", run)
    row = {"name": "fd", "value": 1.5, "better": "lower", "kind": "estimate", "count": 9, "interval": [1.0, 2.0],
           "baseline": 3.0, "baseline_name": "noise", "floor": 1.1, "floor_is": "least", "train_value": None,
           "remark": ""}
    _written(run, "metrics.json", to_json({"measures": [row, row]}))
    preview = run / "samples" / "preview"
    preview.mkdir(parents=True)
    picture = _pictures()["grey.png"]
    _written(preview, "0.png", picture)
    index = {"media": [{"kind": "png", "file": "0.png", "caption": "one", "checksum": zlib.crc32(picture)},
                       {"kind": "text", "file": "0.png", "caption": "two"}], "beside": []}
    _written(preview, "index.json", to_json(index))
    log = (run / "log.jsonl").read_bytes()
    inputs = {"recipe.json": json_inputs([_json(run / "recipe.json")]),
              "metrics.json": json_inputs([_json(run / "metrics.json")]),
              "samples/preview/index.json": json_inputs([index]),
              "samples/preview/0.png": mutated([picture]), "log.jsonl": mutated([log]) | json_inputs(
                  [json.loads(line) for line in log.splitlines()])}

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        shutil.copytree(run, folder / "run")
        _written(folder / "run", name, rest)
        return write_run_report(DOMAINS["image"], Run(folder / "run"))

    return Loader(named(inputs), read)


def caches(home: Path) -> Loader:
    """Cached arrays one of whose files is damaged: they must come back as they were."""
    kept = {"numbers": np.arange(3000).reshape(3, 1000), "few": np.arange(4.0), "words": np.array([b"a", b"bc"])}

    def made(folder: Path) -> dict[str, np.ndarray]:
        os.environ["FOURFOLD_CACHE"] = str(folder)
        return cached("fuzz", 1, [], lambda: kept)

    made(home / "arrays")
    place = next((home / "arrays" / "arrays").iterdir())
    del os.environ["FOURFOLD_CACHE"]
    inputs = {path.name: mutated([path.read_bytes()]) for path in place.iterdir()}
    inputs["names.json"] |= json_inputs([_json(place / "names.json")])

    def read(content: bytes, folder: Path) -> object:
        name, rest = _named(content)
        home_of = folder / "arrays" / place.name
        shutil.copytree(place, home_of)
        changed = rest != (place / name).read_bytes()
        _written(home_of, name, rest)
        found = made(folder)
        for key, array in kept.items():
            if not (key in found and np.array_equal(found[key], array)) and (name != "names.json" or changed):
                raise AssertionError(f"{key} came back as other numbers")
        return found

    return Loader(named(inputs), read)


# Words of the command line -----------------------------------------------------------------------------------------


def _leaves(tree: Any, prefix: str = "") -> dict[str, Any]:
    """The values of nested dictionaries by names such as "train.steps", and the dictionaries themselves."""
    found = {}
    for name, value in tree.items():
        found[f"{prefix}{name}"] = value
        found |= _leaves(value, f"{prefix}{name}.") if isinstance(value, dict) else {}
    return found


def _words() -> st.SearchStrategy[str]:
    plain = st.sampled_from([*NUMBERS, *ODD, "true", "null", "[]", "{}", "[1,", '{"kind": "VAEConfig"}', "[[1]]",
                             "0.5", "2"])
    return plain | st.integers().map(str) | st.floats().map(str) | st.text(max_size=12)


def assignments(home: Path) -> Loader:
    """Words of `--set`, as they change the recipes of every domain."""
    recipes = [(name, domain.recipe(f"tour-{family}")) for name, domain in DOMAINS.items()
               for family in ("vae", "gan", "diffusion", "autoregressive")]
    values = [_leaves(to_dict(recipe)) for _, recipe in recipes]
    valid = sorted({json.dumps(value) for leaves in values for value in leaves.values()})

    def keyed(index: int) -> st.SearchStrategy[str]:
        keys = st.sampled_from(sorted(values[index])) | st.text(max_size=20)
        return st.tuples(keys, st.sampled_from(valid) | _words()).map("=".join)

    inputs = st.integers(0, len(recipes) - 1).flatmap(lambda index: st.tuples(
        st.just(index), st.lists(st.one_of(keyed(index), keyed(index), _words()), min_size=1, max_size=2)))

    def read(content: bytes, folder: Path) -> object:
        try:
            index, words = json.loads(content)
            name, recipe = recipes[index]
        except (ValueError, TypeError, LookupError):
            return None
        return DOMAINS[name].override(recipe, words)

    return Loader(inputs.map(lambda value: json.dumps(value).encode()), read)


SAMPLING = ["--num", "--seed", "--temperature", "--top-k", "--top-p", "--min-p", "--guidance", "--solver", "--device"]
COMMANDS: Sequence[tuple[str, str, Sequence[str]]] = (
    ("image sample", "image-vae", [*SAMPLING, "--class", "--prompt"]),
    ("image sample", "image-diffusion", [*SAMPLING, "--class"]),
    ("image sample", "image-autoregressive", [*SAMPLING, "--class"]),
    ("image interpolate", "image-vae", ["--frames", "--class", "--prompt", "--seed"]),
    ("text generate", "text-diffusion", ["--prompt", "--length", "--temperature", "--top-p", "--stop", "--seed"]),
    ("text infill", "text-diffusion", ["--temperature", "--top-p", "--seed", ""]),
    ("text summarize", "text-pairs", ["--beams", "--length-penalty", "--file", ""]),
    ("molecules sample", "molecules-autoregressive", [*SAMPLING, "--property"]),
    ("molecules design", "molecules-autoregressive", ["--targets", "--choose-from", "--temperature", "--num"]),
    ("robotics sample", "robotics-diffusion", ["--seed", "--temperature", "--num"]),
)


def options(home: Path) -> Loader:
    """Values of options, through the command line, which must end with exit code 0, or with 2 and one line."""
    command = st.integers(0, len(COMMANDS) - 1).flatmap(lambda index: st.tuples(st.just(index), st.lists(
        st.tuples(st.sampled_from(COMMANDS[index][2]), _words()), min_size=1, max_size=2)))

    def read(content: bytes, folder: Path) -> object:
        try:
            index, pairs = json.loads(content)
            words, run, _ = COMMANDS[index]
            given = [word for name, value in pairs for word in ([f"{name}={value}"] if name else [value])]
        except (ValueError, TypeError, LookupError):
            return None
        if any(_large(word) for word in given):
            return None  # what is asked for may take its time
        few = ["--num=2"] if words.endswith("sample") else []
        whole = [*words.split(), str(RUNS / run / "finished"), *few, *given]
        os.chdir(folder)
        out, err = io.StringIO(), io.StringIO()
        try:
            with redirect_stdout(out), redirect_stderr(err):
                run_program(app, whole)
        except SystemExit as end:
            if end.code == 2:
                raise FourfoldError(err.getvalue().strip()) from None
            if end.code:
                raise AssertionError(f"exit code {end.code}: {err.getvalue()}") from None
        finally:
            os.chdir(ROOT)
        return out.getvalue()

    return Loader(command.map(lambda value: json.dumps(value).encode()), read)


def _large(word: str) -> bool:
    """Whether an option asks for much that is allowed: that many samples, frames or tokens."""
    name, _, value = word.partition("=")
    try:
        return name in ("--num", "--frames", "--length", "--beams", "--choose-from") and 16 < int(value) <= 10**9
    except ValueError:
        return False


LOADERS: dict[str, Callable[[Path], Loader]] = {
    loader.__name__: loader for loader in (
        pictures, masks, captions, tables, smiles_files, smiles, texts, midi, musicxml, jsb, sounds, demonstrations,
        folders, recipes, models, checkpoints, reports, caches, assignments, options)
}
"""Each is given a folder to keep files in, and makes its valid inputs."""
