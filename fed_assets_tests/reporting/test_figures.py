from __future__ import annotations

import base64
import io
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import pytest
from matplotlib import colormaps
from matplotlib.colors import to_rgb
from PIL import Image

from fed_assets.reporting.canvas import DARK, LIGHT, WIDTH_INCHES, Sketch, render
from fed_assets.reporting.comparison_words import page_words
from fed_assets.reporting.figures import draw_pictures
from fed_assets.reporting.heat_map import MAP_INCHES, ink_on, luminance
from fed_assets.reporting.report import build_report

ALL = ["hospitals", "rounds", "roc", "confusion", "calibration"]


def names(pictures):
    return [picture.name for picture in pictures]


def test_ten_hospitals_give_five_png_that_fit_the_event_log(federation):
    report = build_report(federation(hospitals=10, rounds=25, synthetic=True))

    pictures = draw_pictures(report, media="png")

    assert names(pictures) == ALL
    for picture in pictures:
        image = Image.open(io.BytesIO(picture.content))
        assert image.format == "PNG" and image.width > 400
        assert len(picture.content) < 60_000
    assert sum(len(base64.b64encode(picture.content)) for picture in pictures) < 100_000


@pytest.mark.parametrize("classes", [2, 5, 11])
def test_any_number_of_classes_draws_in_both_media(federation, classes):
    report = build_report(federation(classes=[f"finding {index}" for index in range(classes)]))

    for picture in draw_pictures(report, media="svg"):
        assert ElementTree.fromstring(picture.content).tag.endswith("svg")
    assert names(draw_pictures(report, media="png", theme=DARK)) == ALL


def test_the_same_report_gives_the_same_bytes(federation):
    report = build_report(federation())

    for media in ("svg", "png"):
        assert draw_pictures(report, media=media) == draw_pictures(report, media=media)


def test_titles_say_what_is_seen(federation):
    titles = {each.name: each.title for each in draw_pictures(build_report(federation()))}

    assert titles["hospitals"] == ("AUROC runs from 0.930 to 0.950; lowest at Klinikum Görlitz 3")
    assert titles["rounds"].startswith("AUROC rose from 0.618 to 0.82")
    assert titles["roc"] == "Common test set: AUROC 0.960 (0.930\N{EN DASH}0.980)"
    assert titles["confusion"] == "Common test set: 624 of 625 images classified correctly"


def test_synthetic_data_is_written_into_every_picture(federation):
    real = draw_pictures(build_report(federation()), media="png")
    made_up = draw_pictures(build_report(federation(synthetic=True)), media="png")

    for theirs, ours in zip(real, made_up, strict=True):
        assert ours.alt == f"SYNTHETIC DATA. {theirs.alt}"
        band = Image.open(io.BytesIO(ours.content)).convert("RGB").getpixel((3, 3))
        wanted = tuple(int(LIGHT.alert[place : place + 2], 16) for place in (1, 3, 5))
        assert all(abs(one - other) < 12 for one, other in zip(band, wanted, strict=True))
        assert "SYNTHETIC" not in theirs.alt


@pytest.mark.parametrize("language", ["en", "es"])
@pytest.mark.parametrize("inches", [WIDTH_INCHES, MAP_INCHES])
def test_the_mark_of_made_up_data_ends_before_the_picture_does(language, inches):
    mark = page_words(language).synthetic_mark
    sketch = Sketch("a", "T", "N", "A", lambda *_: None, width_inches=inches, mark=mark)
    drawn = render(sketch, media="png", theme=LIGHT, synthetic=True)

    image = Image.open(io.BytesIO(drawn.content)).convert("RGB")
    band = []  # rows of pixels, as far down as the band goes
    for row in range(image.height):
        pixels = [image.getpixel((column, row)) for column in range(image.width)]
        if max(pixels[0]) > 220:  # paper
            break
        band.append(pixels)
    written = [x for row in band for x, pixel in enumerate(row) if min(pixel) > 200]
    assert min(written) > 3 and max(written) < image.width - 4
    top, bottom = (
        [y for y, row in enumerate(band) if max(map(min, row)) > 200][end] for end in (0, -1)
    )
    assert top > 2 and bottom < len(band) - 3


def contrast(one, other) -> float:
    """Returns how far apart two colours are for a reader, from 1 to 21 (WCAG)."""
    dark, light = sorted((luminance(one), luminance(other)))
    return (light + 0.05) / (dark + 0.05)


@pytest.mark.parametrize("theme", [LIGHT, DARK])
def test_letters_on_every_shade_of_a_heat_map_can_be_read(theme):
    assert contrast((1, 1, 1), (0, 0, 0)) == pytest.approx(21)
    assert contrast((0.5, 0.5, 0.5), (1, 1, 1)) < 4.5  # white on a middle grey cannot
    shades = [colormaps[theme.ramp](step / 255) for step in range(256)]
    assert min(contrast(shade, to_rgb(ink_on(shade))) for shade in shades) >= 4.5
    for words in (theme.ink, theme.muted):
        assert contrast(to_rgb(words), to_rgb(theme.paper)) >= 4.5


def test_no_rounds_leaves_the_round_curves_out(federation):
    assert names(draw_pictures(build_report(federation(rounds=0)))) == [
        name for name in ALL if name != "rounds"
    ]


def test_nothing_to_show_gives_no_picture(federation):
    assert draw_pictures(build_report(federation(rounds=0, test=None, hospitals=0))) == ()


def test_one_hospital_and_one_round_draw(federation):
    pictures = draw_pictures(build_report(federation(hospitals=1, rounds=1)))

    assert names(pictures) == ALL
    assert pictures[0].title.startswith("Hospital General 1: AUROC 0.950")


def test_a_hospital_with_nulls_is_told_as_undefined_and_never_as_worst(federation, undefined):
    inputs = federation()
    inputs.hospitals["hospital_03"] = undefined

    picture = draw_pictures(build_report(inputs))[0]

    assert "Klinikum Görlitz 3 undefined (one class only)" in picture.alt
    assert "lowest at North Fjord Clinic 2" in picture.title


def test_accuracy_stands_in_where_no_hospital_has_an_auroc(federation, undefined):
    inputs = federation(hospitals=2)
    inputs.hospitals.update(dict.fromkeys(inputs.hospitals, undefined))

    assert draw_pictures(build_report(inputs))[0].title.startswith("Accuracy runs from")


def test_a_name_that_looks_like_mathematics_or_html_draws_as_it_stands(federation):
    inputs = federation()
    inputs.roster[0]["name"] = "Clinic $\\frac{1}{$ <script>alert(1)</script> --> & more"

    for picture in draw_pictures(build_report(inputs), media="svg"):
        ElementTree.fromstring(picture.content)
        assert b"<script" not in picture.content


def test_drawing_never_loads_pyplot_nor_does_the_module_load_matplotlib():
    program = (
        "import sys, fed_assets.reporting.figures\n"
        "assert not any(name.startswith('matplotlib') for name in sys.modules)\n"
        "from fed_assets.reporting.canvas import LIGHT, Sketch, render\n"
        "draw = lambda panels, theme: panels[0].plot([0, 1])\n"
        "sketch = Sketch('line', 'A line', 'It rises.', 'A line.', draw)\n"
        "render(sketch, media='png', theme=LIGHT, synthetic=True)\n"
        "assert 'matplotlib.pyplot' not in sys.modules\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, timeout=120)
