"""Reports are one self-contained file, well-formed, and show what they are given."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest

from core.runs.measures import Measure, markdown_table
from core.runs.media import Media
from core.runs.report import charts, curve_svg, media_html, page
from core.tour.wall import Cell, cell_html, wall

PNG = b"\x89PNG\r\n\x1a\n" + b"0" * 40
MEASURE = Measure(name="bits_per_dim", value=1.2345678, better="lower", kind="exact", count=1000, interval=(1.2, 1.3),
                  baseline=2.0, baseline_name="Gaussian", floor=0.9)


class Wellformed(HTMLParser):
    """Fails on tags that do not close in order."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag not in {"meta", "img", "path", "polyline"}:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open and self.open.pop() == tag, tag


def parse(text: str) -> Wellformed:
    parser = Wellformed()
    parser.feed(text)
    assert parser.open == []
    return parser


def cell(domain: str, family: str, **facts: object) -> Cell:
    media = [Media(kind="png", content=PNG, caption="a <b>"), Media(kind="wav", content=b"RIFF", caption="sound"),
             Media(kind="text", content="to be <or> not & to be"), Media(kind="gif", content=b"GIF89a")]
    values = {"seconds": 61.0, "measures": [MEASURE], "media": media, "charts": [curve_svg([(1, 5.0), (10, 2.0)])],
              "links": {"its report": f"{domain}/{family}/report.html"},
              "commands": [f"fourfold {domain} sample runs/tour/{domain}/{family} -n 16"], **facts}
    return Cell(column=domain, row=family, **values)  # type: ignore[arg-type]


def test_the_wall_is_self_contained_and_complete() -> None:
    domains, families = ("image", "text"), ("vae", "gan", "diffusion")
    cells = [cell(domain, family) for family in families for domain in domains]
    text = wall("The tour", "Twenty.", cells, {"cpu": "fast <one>"}, columns={"image": "digits & more"})
    tags = parse(text).tags
    assert tags.count("img") == 12 and tags.count("audio") == 6 and tags.count("svg") == 6 and "script" not in tags
    assert not re.findall(r"""src=["']?(?!data:)[^"'>]+""", text), "it needs other files"
    led_to = re.findall(r"""href=["']?([^"'>]+)""", text)
    assert sorted(led_to) == sorted(f"{cell.column}/{cell.row}/report.html" for cell in cells)
    assert "url(" not in text and "http" not in text and "digits &amp; more" in text
    for one in cells:
        assert text.count(f"fourfold {one.column} sample runs/tour/{one.column}/{one.row} -n 16") == 1
    assert "6 of 6 beat their baseline" in text
    assert "a &lt;b&gt;" in text and "fast &lt;one&gt;" in text and "<b>" not in text


def test_a_cell_shows_measure_baseline_floor_interval_and_seconds() -> None:
    text = cell_html(cell("image", "vae"))
    for words in ("1.235", "1.2 – 1.3", "Gaussian 2", "real vs. real 0.9", "bits_per_dim", "exact", "61 s", "beats"):
        assert words in text, words


def test_a_failed_cell_says_why() -> None:
    text = wall("The tour", "", [cell("image", "vae"), cell("image", "gan", error="exit code 1: <boom>")], {})
    parse(text)
    assert "exit code 1: &lt;boom&gt;" in text and "1 of 2 beat" in text and "reload this page" not in text


def test_a_wall_that_grows_says_how_far_it_is() -> None:
    waiting = Cell(column="image", row="gan", waiting=True)
    text = wall("The tour", "", [cell("image", "vae"), waiting], {})
    parse(text)
    assert "1 of 2 are finished: reload this page" in text and "1 of 1 beat" in text and "not finished yet" in text


def test_texts_that_go_with_a_picture_are_folded_up() -> None:
    smiles = Media(kind="text", content="CCO", caption="as sampled")
    drawn = cell_html(cell("molecules", "vae", media=[Media(kind="svg", content=b"<svg/>"), smiles]))
    assert "<summary>as sampled</summary>" in drawn and "data:image/svg+xml;base64," in drawn
    assert "<summary>as sampled</summary>" not in cell_html(cell("text", "vae", media=[smiles]))


@pytest.mark.parametrize("points", [[], [(1, 2.0)], [(1, float("nan")), (2, float("inf"))]])
def test_no_curve_from_nothing(points: list[tuple[float, float]]) -> None:
    assert curve_svg(points) == ""


def test_curves_are_thin_and_end_where_training_ended() -> None:
    points = [(float(step), 100.0 if step == 0 else 1.0 + 1.0 / (step + 1)) for step in range(100_000)]
    text = curve_svg(points)
    parse(text)
    places = [pair.split(",") for pair in re.search(r'points="([^"]+)"', text)[1].split()]  # type: ignore[index]
    assert 100 < len(places) <= 202 and len(text) < 5000
    across = [float(x) for x, _ in places]
    assert across == sorted(across) and across[-1] == 412.0
    assert "99,999" in text and "now 1" in text
    # The first step's peak is cut, so that the rest uses the height.
    assert text.count(">100<") == 0


def test_the_validation_curve_stands_beside_the_training_curve_and_the_best_step_is_marked() -> None:
    log = [{"step": step, "loss": {"model": 5.0 - step / 100}} for step in range(0, 301, 10)]
    log += [{"step": step, "validation": {"loss": 4.0 + abs(step - 200) / 100}} for step in range(0, 301, 100)]
    (text,) = charts([*log, {"step": 300, "best_step": 200}])
    parse(text)
    assert text.count("<polyline") == 2 and "validation 5" in text and "training 2" in text and "best 200" in text
    (plain,) = charts(log[:31])
    assert plain.count("<polyline") == 1 and "validation" not in plain and "best" not in plain


def test_flat_curves_and_odd_measures() -> None:
    parse(curve_svg([(0, 1.0), (1, 1.0)]))
    odd = Measure(name="fd", value=float("nan"), better="higher", baseline=1.0)
    parse(page("odd", cell_html(cell("image", "vae", measures=[odd, MEASURE], charts=[], media=[]))))
    assert "| fd ↑ | nan |" in markdown_table([odd])


def test_media_are_embedded() -> None:
    assert 'src="data:image/png;base64,' in media_html(Media(kind="png", content=PNG))
    assert 'src="data:audio/wav;base64,UklGRg=="' in media_html(Media(kind="wav", content=b"RIFF"))
