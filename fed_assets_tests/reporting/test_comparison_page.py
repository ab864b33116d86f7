from __future__ import annotations

import base64
import csv
import io
import json
import platform
import re
from collections.abc import Iterator
from copy import deepcopy
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
import yaml

from fed_assets.assets.comparison import NOT_ALL_MEASURED, rows_of
from fed_assets.assets.known_attacks import ATTACK_FAILED, NOT_ATTACKED, REASONS
from fed_assets.assets.measurement import NOT_WATCHED, UP_BEFORE, WITHHELD
from fed_assets.assets.report_inputs import SYNTHETIC
from fed_assets.assets.surroundings import surroundings_of
from fed_assets.comparison.comparison import compare
from fed_assets.comparison.profiles import LONGEST_NAME, profiles_from, shipped_profiles
from fed_assets.comparison.references import WHY_NOT
from fed_assets.comparison.settings import Settings as Reckoning
from fed_assets.comparison.surroundings import Surroundings
from fed_assets.errors import ConfigurationError, MeasurementError
from fed_assets.federation.roster import read_roster
from fed_assets.reporting import formats
from fed_assets.reporting.comparison_figures import HEAD_CHARACTERS
from fed_assets.reporting.comparison_maps import withholding
from fed_assets.reporting.comparison_page import render_comparison
from fed_assets.reporting.comparison_tables import comparison_tables
from fed_assets.reporting.comparison_words import page_words
from fed_assets.reporting.heat_map import CELL_POINTS, MAP_INCHES
from fed_assets.reporting.page import TEMPLATES
from fed_assets.resources.energy import UNKNOWN
from fed_assets.resources.home import COORDINATOR, Home
from fed_assets.resources.looks import HIDDEN
from fed_assets.resources.prices import read_prices
from fed_assets.resources.settings import SHIPPED_ROSTER, Settings
from fed_assets.sandboxes.manual_steps import OPERATOR, ROSTER_WRITER, Kind
from fed_assets.sandboxes.presets import MINIMAL
from fed_assets.sandboxes.sandbox import Sandbox
from fed_assets_tests.browser import (
    broken_pictures,
    complaints,
    external_requests,
    overflow_pixels,
    resize,
)
from fed_assets_tests.comparison.conftest import SANDBOXES, figures_of, with_references
from fed_assets_tests.reporting.comparisons import measurements, own_profile, record_of
from fed_assets_tests.reporting.html_page import HtmlPage
from fed_assets_tests.sentences import too_long

if TYPE_CHECKING:
    from selenium.webdriver import Chrome

PHONE = (360, 740)
A4_PIXELS, A4_LANDSCAPE_PIXELS = 718, 1047  # between margins of a centimetre
DASH = "\N{EN DASH} "
MISSING = {"en": "missing", "es": "falta"}
# Words that are the same in both languages.
INTERNATIONAL = {
    *("AUROC", "F1", "TOPSIS", "VIKOR", "PROMETHEE", "II", "Kendall", "Spearman", "Dirichlet"),
    *("bootstrap", "tau", "UTC", "bytes", "MB", "GB", "J", "s", "csv", "json", "fed_assets"),
    *("Hospital", "Control", "no"),
}


@pytest.fixture(scope="module")
def record() -> dict[str, Any]:
    return record_of(measurements(), profiles={**shipped_profiles(), **own_profile()})


@pytest.fixture(scope="module")
def html(record: dict[str, Any]) -> dict[str, str]:
    return {language: render_comparison(record, language) for language in ("en", "es")}


@pytest.fixture(scope="module")
def pages(html: dict[str, str]) -> dict[str, HtmlPage]:
    return {language: HtmlPage(text) for language, text in html.items()}


@pytest.fixture(params=["en", "es"])
def page(request: pytest.FixtureRequest, pages: dict[str, HtmlPage]) -> HtmlPage:
    return pages[request.param]


def test_the_page_asks_for_nothing_from_outside(page: HtmlPage, html: dict[str, str]) -> None:
    for tag, attributes in page.tags:
        for name in {"src", "srcset", "href", "data", "poster", "action"} & set(attributes):
            assert attributes[name].startswith(("data:", "#")), (tag, name)
    assert not {"script", "iframe", "object", "embed"} & {tag for tag, _ in page.tags}
    policy = [each["content"] for each in page.all("meta") if "http-equiv" in each]
    assert policy == ["default-src 'none'; img-src data:; style-src 'unsafe-inline'"]
    assert not any(re.search(r"@import|url\(", text) for text in html.values())


def test_every_picture_has_words_and_a_night_form(page: HtmlPage) -> None:
    shown = page.all("img")
    # Two of sandboxes, one of the hospitals of each of four, the ranks, and what decides.
    assert len(shown) == 8 == len({each["alt"] for each in shown})
    assert all(len(each["alt"]) > 100 for each in shown)
    night = page.all("source")
    assert [each["media"] for each in night] == ["(prefers-color-scheme: dark)"] * 8
    assert not {each["srcset"] for each in night} & {each["src"] for each in shown}


def test_the_words_of_pictures_say_what_is_best_and_what_is_missing(
    pages: dict[str, HtmlPage],
) -> None:
    decision, _, minimal, *_, ranks, influence = [each["alt"] for each in pages["en"].all("img")]
    assert "eyes_off is missing: it was not run." in decision
    assert "configurable misses: Energy, Cost, Set-up time, Manual steps." in decision
    assert "minimal is best in: Wall time" in decision
    assert "Furthest from the best: AUROC, hospital_10" in minimal
    assert "Missing: Processor time, hospital_03;" in minimal
    assert re.search(r"Operations: first comes minimal [>\d]+\s%", ranks)
    assert re.search(r"Clinician: \w+ [\d.]+\s% \([\d.]+\s%\N{EN DASH}[\d.]+\s%\); ", influence)


def test_the_page_can_be_walked_without_seeing_it(page: HtmlPage) -> None:
    assert {each["scope"] for each in page.all("th")} == {"col", "row", "rowgroup"}
    assert len(page.all("caption")) == len(page.all("table")) > 15
    boxes = [each for each in page.all("div") if "scroll" in each.get("class", "")]
    assert len(boxes) == len(page.all("table"))
    assert all(each["aria-label"] and each["tabindex"] == "0" for each in boxes)
    levels = [int(tag[1]) for tag, _ in page.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(after - before <= 1 for before, after in pairwise(levels))
    targets = [each["href"][1:] for each in page.all("a")]
    assert targets == [each["id"] for each in page.all("section")]


def test_each_profiles_choice_comes_first_and_how_sure_it_is(
    record: dict[str, Any], pages: dict[str, HtmlPage]
) -> None:
    for language, page in pages.items():
        words = page_words(language)
        first = " ".join(page.text["section"][0].split())
        answers = {
            name: words.answer(of["decision"], measured=True, tells_nothing=of["tells_nothing"])
            for name, of in record["profiles"].items()
        }
        said = [f"{words.profile(name)} {' '.join(of)}".strip() for name, of in answers.items()]
        places = [first.index(each) for each in said]
        assert places == sorted(places) and len(places) == 5
        assert "our_clinic" in first and words.page["answer"]["brackets"] in first
    assert "Security officer Likely confidential_vm (" in first_section(pages["en"])
    assert "Measured with one seed alone: minimal." in pages["en"].section("answer")
    assert "Medido con una sola semilla: minimal." in pages["es"].section("answer")


def test_an_answer_says_where_most_of_the_weight_tells_nothing(record: dict[str, Any]) -> None:
    found = deepcopy(record)
    found["profiles"]["equal"]["tells_nothing"] = 0.95
    words, decision = page_words("es"), found["profiles"]["equal"]["decision"]
    plain, _ = words.answer(decision, measured=True, tells_nothing=0.5)
    told, _ = words.answer(decision, measured=True, tells_nothing=0.95)
    assert told == plain + "; la mayor parte del peso no distingue nada"
    page = HtmlPage(render_comparison(found, "es"))
    assert told in first_section(page).replace("\N{NO-BREAK SPACE}", " ")


def first_section(page: HtmlPage) -> str:
    return " ".join(page.text["section"][0].split())


def test_what_weakens_a_choice_is_said_once_and_nothing_of_it_is_dropped(
    record: dict[str, Any], pages: dict[str, HtmlPage]
) -> None:
    known = {each["kind"] for each in record["cautions"]}
    for language, page in pages.items():
        words, first = page_words(language), first_section(page)
        for caution in record["cautions"]:
            assert first.count(words.caution(caution)) == 1
            assert words.detail(caution) in first
        own = {
            name: {each["said"]: each["kind"] for each in of["caveats"][language]}
            for name, of in record["profiles"].items()
        }
        for caveats in own.values():
            assert set(caveats.values()) & known  # which the cautions say
            unsaid = [said for said, kind in caveats.items() if kind not in known]
            assert [first.count(said) for said in unsaid] == [1] * len(unsaid)
        others = set().union(*(own[name] for name in own if name != "our_clinic"))
        unlike = set(own["our_clinic"]) - others
        assert unlike
        assert all(f"our_clinic: {said}" in first for said in unlike)


def test_what_is_missing_is_never_a_number(pages: dict[str, HtmlPage]) -> None:
    for language, page in pages.items():
        tables = [each for each in page.cells if "eyes_off" in each[0]]
        assert len(tables) == 3  # of controls, of values, and normalized
        for table in tables:
            column = table[0].index("eyes_off")
            assert {row[column] for row in table[1:]} == {MISSING[language]}
        minimal = next(each for each in page.cells if each[0][0] == "Hospital")
        (absent,) = [row for row in minimal if row[0] == "hospital_03"]
        assert set(absent[1:]) == {MISSING[language]}
    told = pages["en"].section("decision")
    assert "missing counts as the worst" in told and "It may be worse." in told
    assert "pooled spread" in told and "own spread" in told
    assert "10 % of the value" not in told


def test_each_time_says_what_told_how_far_it_varies(
    record: dict[str, Any], pages: dict[str, HtmlPage]
) -> None:
    told = {
        "en": ("pooled spread", "Wall time 1.4 % (3 degrees of freedom: ", "assumed spread"),
        "es": (
            "dispersión ajena",
            "Tiempo total 1,4 % (3 grados de libertad: ",
            "dispersión supuesta",
        ),
    }
    over = "confidential_vm, configurable, eyes_on"
    for language, (pooled, note, assumed) in told.items():
        decision = pages[language].section("decision").replace(formats.NO_BREAK, " ")
        assert pooled in decision and note + over + ")" in decision
        assert assumed not in decision
        answer = pages[language].section("answer")
        assert f"{over} stands in" in answer or f"la dispersión de {over}" in answer
        assert "Student" in answer
    rows = list(csv.DictReader(io.StringIO(comparison_tables(record)["spreads.csv"])))
    of = {row["sandbox"]: row["spread_from"] for row in rows if row["criterion"] == "wall_seconds"}
    assert of.pop("minimal") == "pooled" and set(of.values()) == {"seeds"}
    alone = record_of([figures_of(sandbox, 0) for sandbox in SANDBOXES[:2]])
    for language, said in {"en": "10 % of the value", "es": "10 % del valor"}.items():
        page = HtmlPage(render_comparison(alone, language))
        decision = page.section("decision").replace(formats.NO_BREAK, " ")
        assert said in decision and told[language][2] in decision
        assert told[language][0] not in decision


def test_who_is_drawn_apart_for_want_of_resamples_is_named_with_the_reason(
    pages: dict[str, HtmlPage],
) -> None:
    english, spanish = (pages[each].section("answer") for each in ("en", "es"))
    assert "Sensitivity at the worst hospital: no resamples of" in english
    assert "whether the model was right, and do not leave it" in english
    assert "si el modelo acertó, y no salen de él" in spanish


def test_what_was_measured_below_zero_and_what_is_of_unknown_doubt_is_said(
    html: dict[str, str],
) -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:3]]
    attack = {"value": -0.012, "low": -0.03, "high": 0.006}
    runs[1]["security"]["membership_advantage"] = attack
    runs[1]["hospitals"]["hospital_02"]["membership_advantage"] = attack
    runs[2]["quality"]["worst_sensitivity"] = {"value": 0.0, "low": 0.0, "high": 0.0}
    record = record_of(runs, sandboxes=SANDBOXES[:3])
    told = {
        "en": (
            "0.000 0.000\N{EN DASH}0.006 measured -0.012",
            "taken as 0",
            "doubt not known",
            "further apart in it than chance",
        ),
        "es": (
            "0,000 0,000\N{EN DASH}0,006 medido -0,012",
            "tomado como 0",
            "duda desconocida",
            "más distantes de lo que puede dejarlos el azar",
        ),
    }
    for language, (below, taken, unknown, chance) in told.items():
        page = HtmlPage(render_comparison(record, language))
        decision = page.section("decision")
        assert below in decision and taken in decision
        assert decision.count(unknown) == 1
        told_of_hospitals = page.section("hospitals")
        assert below.split(" ", 2)[2] in told_of_hospitals and taken in told_of_hospitals
        assert chance in page.section("normalized")
        caution = "drawn as far as" if language == "en" else "Se sortea con tanta"
        assert caution in page.section("answer") and "eyes_off" in page.section("answer")
    rows = list(csv.DictReader(io.StringIO(comparison_tables(record)["decision.csv"])))
    assert [row["measured_below"] for row in rows if row["measured_below"]] == ["-0.012"]
    assert "taken as 0" not in html["en"] and "doubt not known" not in html["en"]


@pytest.mark.parametrize(
    "at, english, spanish",
    [
        (("hospital_03", "hospital_03", "hospital_03"), None, None),
        (
            ("hospital_03", "hospital_07", "hospital_03"),
            "worst hospital: hospital_07 in eyes_on; hospital_03 in the others",
            "peor hospital: hospital_07 en eyes_on; hospital_03 en los demás",
        ),
        (
            ("hospital_03", "hospital_07", None),
            "worst hospital: hospital_03 in minimal; hospital_07 in eyes_on",
            "peor hospital: hospital_03 en minimal; hospital_07 en eyes_on",
        ),
    ],
)
def test_a_sandbox_whose_worst_hospital_is_another_is_named(
    at: tuple[str | None, ...], english: str | None, spanish: str | None
) -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:3]]
    for run, hospital in zip(runs, at, strict=True):
        figure = {"value": 0.5, "low": 0.4, "high": 0.6}
        run["quality"]["worst_sensitivity"] = figure if hospital else None
        if hospital:
            run["hospitals"][hospital]["sensitivity"] = figure
    record = record_of(runs, sandboxes=SANDBOXES[:3])
    for language, said in (("en", english), ("es", spanish)):
        decision = HtmlPage(render_comparison(record, language)).section("decision")
        label = page_words(language).page["decision"]["worst_hospital"].partition("{")[0]
        assert decision.count(label) == (said is not None)
        assert said is None or said in decision


def test_why_a_hospitals_own_figures_are_missing_is_said() -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:2]]
    for run in runs:
        run["hospitals"] = {name: run["hospitals"][name] for name in ("hospital_01", "hospital_02")}
        run["controls"]["statistics"] = {"declared": "small_counts_suppressed", "enforced": True}
    assert withholding(record_of(runs, sandboxes=SANDBOXES[:2])) == []
    runs[1]["hospitals"]["hospital_02"]["auroc"] = None
    record = record_of(runs, sandboxes=SANDBOXES[:2])
    assert withholding(record) == ["eyes_on"]
    said = "En eyes_on se suprimen los recuentos pequeños."
    assert said in HtmlPage(render_comparison(record, "es")).section("hospitals")


def test_figures_of_two_seeds_alone_say_so_beside_them() -> None:
    of_two = [figures_of("minimal", 0), figures_of("minimal", 1), figures_of("eyes_on", 0)]
    of_two[1]["hospitals"]["hospital_01"]["cpu_seconds"] = 13.0
    runs = list(map(with_references, of_two))
    record = record_of(runs, sandboxes=SANDBOXES[:2])
    told = {
        "en": ("own spread", "pooled spread †", "(one degree of freedom, which", "bear a †,"),
        "es": ("dispersión propia", "dispersión ajena †", "(un grado de libertad, que", "una †,"),
    }
    for language, (own, pooled, note, caution) in told.items():
        page = HtmlPage(render_comparison(record, language))
        sections = {name: page.section(name) for name in ("decision", "hospitals", "references")}
        assert own in sections["decision"] and pooled in sections["decision"]
        assert note in sections["decision"] and caution in page.section("answer")
        for text in sections.values():
            assert page_words(language).page["of_two"] in text and text.count("†") > 1
    third = with_references(figures_of("minimal", 2))
    for others in ([*runs, third], [runs[0], runs[2]]):
        known = record_of(others, sandboxes=SANDBOXES[:2])
        assert "†" not in render_comparison(known, "en")


def numbers(text: str) -> list[str]:
    """Returns what a text says in digits, with points for decimal commas."""
    return re.findall(r"\d+(?:\.\d+)?", re.sub(r"(?<=\d),(?=\d)", ".", text))


def written(tables: dict[str, str]) -> set[str]:
    """Returns every way in which the page may write a number of the CSV files."""
    found = set()
    for text in tables.values():
        for field in {field for row in csv.reader(io.StringIO(text)) for field in row}:
            found |= set(numbers(field))
            try:
                value = float(field)
            except ValueError:
                continue
            said = [formats.chance(value), formats.percents(value), formats.percents(value, 1)]
            said += [formats.number(value), formats.signed(value), formats.significant(value)]
            said += [formats.difference(value)]
            said += [formats.quantity(value, "B"), formats.quantity(value, "s")]
            found |= {number for each in said for number in numbers(each)}
    return found


def strange(page: HtmlPage, tables: dict[str, str]) -> set[str]:
    """Returns the numbers in the page's tables that no CSV file has."""
    # Heads of columns and rows are names: F1, Rank 2, "level of 4".
    cells = [row[1:] for table in page.cells for row in table[1:]]
    shown = {number for row in cells for cell in row for number in numbers(cell)}
    assert len(shown) > 200
    return shown - written(tables) - set(numbers(page.section("origin")))


def test_every_number_of_the_tables_stands_in_the_files(
    record: dict[str, Any], pages: dict[str, HtmlPage], html: dict[str, str]
) -> None:
    tables = comparison_tables(record)
    assert strange(pages["en"], tables) == set() == strange(pages["es"], tables)
    forged = html["en"].replace("0.979", "0.98765")
    assert forged != html["en"]
    assert strange(HtmlPage(forged), tables) == {"0.98765"}


def test_a_weight_stands_there_as_used_and_in_brackets_as_the_profile_has_it(
    record: dict[str, Any], pages: dict[str, HtmlPage]
) -> None:
    of = record["profiles"]["equal"]
    (alike, *_) = record["left_out"]["constant"]
    assert of["used_weights"][alike] == 0 < of["weights"][alike]
    for name in (alike, "manual_steps"):
        used, given = (formats.percents(of[key][name], 1) for key in ("used_weights", "weights"))
        assert used != given
        said = f"{used} ({given})"
        assert said in pages["en"].section("profiles")
        assert said.replace(".", ",") in pages["es"].section("profiles")


def left_in_english(pages: dict[str, HtmlPage], record: dict[str, Any]) -> set[str]:
    """Returns the words of texts that are the same on both pages, but for names and figures."""
    told = str([record["measurements"], record["features"], record["sandboxes"]])
    told += record["profiles"]["equal"]["profile"]["source"]  # titles stay as they were published
    known = set(re.findall(r"\w+", told)) | set(record["profiles"]) | INTERNATIONAL
    known |= {name.removesuffix(".csv") for name in comparison_tables(record)}
    texts = set(pages["en"].told) & set(pages["es"].told)
    return {word for text in texts for word in re.findall(r"\b[^\W\d]\w*", text)} - known


def test_no_english_word_is_left_on_the_spanish_page(
    record: dict[str, Any], pages: dict[str, HtmlPage], html: dict[str, str]
) -> None:
    assert left_in_english(pages, record) == set()
    forged = html["es"].replace("Clasificación por tres métodos", "Ranking by three methods")
    assert left_in_english({**pages, "es": HtmlPage(forged)}, record) >= {"Ranking", "methods"}
    assert pages["es"].all("html") == [{"lang": "es"}]
    for word in (
        *("Eficiencia", "puede ganar", "hospitales", "atestada (SIMULADO)", "núcleos: 2"),
        *("Protección en tránsito: nivel 3 de 4", "Impuesto: sí", "Qué se gana y qué se pierde"),
    ):
        assert word in html["es"] and word not in html["en"]


def values_of(control: str) -> set[str]:
    """Returns every value that a control may have, by the sandbox's own definition."""
    kind = Sandbox.model_fields[control].annotation
    return {"yes", "no"} if kind is bool else {str(value) for value in kind}


def test_every_value_of_every_control_has_words_in_both_languages() -> None:
    by_control = {control: values_of(control) for control in MINIMAL.controls()}
    assert "homomorphic_encryption" in by_control["update_protection"]
    for language in ("en", "es"):
        words = page_words(language)
        assert set(words.page["controls"]) == set(by_control)
        assert set(words.page["values"]) == set().union(*by_control.values())
        for values in by_control.values():
            # What is only passed through has no words; these values are words already.
            said = {value: words.value(value) for value in values}
            unsaid = {value for value, told in said.items() if told == value}
            assert unsaid <= {"no", "yes", "none", "attested"}, (language, unsaid)
            assert len(set(said.values())) == len(values)
            assert all("_" not in told for told in said.values())
        assert words.value("attested (SIMULATED)").endswith(f"({words.page['simulated']})")


def test_every_reason_for_no_references_has_words_in_both_languages() -> None:
    for language in ("en", "es"):
        assert set(page_words(language).page["references"]["why_not"]) == set(WHY_NOT)


def test_what_federation_gains_and_loses_stands_there(pages: dict[str, HtmlPage]) -> None:
    told = pages["en"].section("references")
    assert "All images pooled 0.980" in told
    assert "Alone, mean over the hospitals" in told and "Federated, minimal 0.979" in told
    gains = next(each for each in pages["en"].cells if "over all images pooled" in each[0][1])
    (minimal,) = [row for row in gains[1:] if row[0] == "minimal"]
    assert minimal[1] == "-0.002"  # of one seed there is no interval
    (eyes_on,) = [row for row in gains[1:] if row[0] == "eyes_on"]
    assert re.fullmatch(r"-0\.\d{3} † -0\.\d{3} to \+0\.\d{3}", eyes_on[1])  # of two
    assert "eyes_off" not in {row[0] for row in gains}
    assert "there is no interval" in told
    assert "Under differential privacy (configurable)" in told
    reason = "confidential_vm (seed 1): the reference models were trained for another number"
    assert reason in told
    assert "confidential_vm (semilla 1)" in pages["es"].section("references")


def test_without_references_the_page_says_how_to_make_them() -> None:
    page = HtmlPage(render_comparison(record_of([figures_of("minimal", 0)]), "en"))
    told = page.section("references")
    assert "fed-assets compare trains them" in told
    assert "minimal (seed 0): no reference models are stored" in told


def flat(entry: Any, path: str = "") -> Iterator[tuple[str, str]]:
    if isinstance(entry, dict):
        for key, value in entry.items():
            yield from flat(value, f"{path}.{key}")
    else:
        yield path, entry


def test_no_sentence_is_longer_than_a_reader_on_a_phone_likes() -> None:
    known = yaml.safe_load((TEMPLATES / "comparison.yaml").read_text(encoding="utf-8"))
    for key, text in flat(known):
        assert ".source." in key or too_long(text) == [], key  # titles stand as published
    forged = known["en"]["decision"]["note"].rstrip(".") + ", and so on" * 10
    assert too_long(forged) == [forged]


def test_both_languages_have_the_same_words_with_the_same_gaps() -> None:
    known = yaml.safe_load((TEMPLATES / "comparison.yaml").read_text(encoding="utf-8"))
    of = {language: dict(flat(words)) for language, words in known.items()}
    assert list(of) == ["en", "es"] and list(of["en"]) == list(of["es"])
    for key, text in of["en"].items():
        assert isinstance(text, str) and bool(of["es"][key].strip()) == bool(text), key
        assert set(re.findall(r"{\w+}", text)) == set(re.findall(r"{\w+}", of["es"][key])), key


@pytest.mark.parametrize("entry", ["reasons", "source"])
def test_shipped_profiles_are_told_in_both_languages(entry: str) -> None:
    for profile in shipped_profiles().values():
        given = profile.as_record()
        assert page_words("en").profile_text(given, entry) == given[entry]
        assert bool(page_words("es").profile_text(given, entry)) == bool(given[entry])
    officer = shipped_profiles()["security_officer"].as_record()
    assert page_words("es").profile_text(officer, entry) != officer[entry]
    own = {**officer, entry: "Because we say so."}
    assert page_words("es").profile_text(own, entry) == "Because we say so."


def test_the_english_page_has_the_profiles_words_and_no_others() -> None:
    of = page_words("en").page
    for name, profile in shipped_profiles().items():
        assert (of["reasons"][name], of["source"][name]) == (profile.reasons, profile.source)
    assert set(of["reasons"]) == set(of["source"]) == set(of["profiles"]) == set(shipped_profiles())


@pytest.mark.parametrize("language", ["de", "EN", ""])
def test_an_unknown_language_is_refused(record: dict[str, Any], language: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"Seen: '{language}'\..*one of en, es"):
        render_comparison(record, language)


def test_a_record_of_another_format_is_refused(record: dict[str, Any]) -> None:
    with pytest.raises(MeasurementError, match="cannot be read"):
        render_comparison({**record, "format": 99}, "en")


def test_the_page_says_where_its_figures_come_from(pages: dict[str, HtmlPage]) -> None:
    origin = pages["en"].section("origin")
    for told in (
        "Data pneumoniamnist",
        f"{'3f' * 32} (seed 0, 1)",
        "Seed numbers 0, 1",
        "Measured 2026-03-05 14:22 UTC",
        "Machine system: Linux-6.12-x86_64, cores: 2",
        "Versions torch 2.13.0",
        "100 draws; seed of the draws 0",
        "a sandbox without an audit cannot win",
    ):
        assert told in origin
    assert "2026-03-05 14:22 UTC · seeds 0, 1" in " ".join(pages["en"].text["header"][0].split())


def test_another_machine_is_named_with_who_was_measured_on_it() -> None:
    runs = [figures_of("minimal", 0), figures_of("eyes_on", 0)]
    runs[1] |= {"machine": {"cores": 64, "memory_bytes": 64_000_000_000}}
    del runs[1]["created"], runs[1]["run_id"]
    page = HtmlPage(render_comparison(record_of(runs), "en"))
    told = "cores: 64, memory: 64.0 GB (eyes_on); processor: 2 cores (minimal)"
    assert told in page.section("origin")
    assert "Not measured on the machine of the first: minimal." in page.section("answer")
    assert "not recorded" in page.section("origin")


def test_made_up_data_and_a_simulated_enclave_head_the_page(pages: dict[str, HtmlPage]) -> None:
    assert pages["en"].section("sandboxes").count("SIMULATED") == 1
    runs = measurements()
    for run in runs:
        run["data"] |= {"synthetic": True, "name": SYNTHETIC}
        del run["hospitals"]
    page = HtmlPage(render_comparison(record_of(runs), "es"))
    assert page.text["b"][:2] == ["DATOS SINTÉTICOS", "SIMULADO"]
    assert page.text["h1"][0] == (
        "DATOS SINTÉTICOS: radiografías de tórax sintéticas: comparación de 4 de 5 entornos"
    )
    assert page.text["h1"][0].startswith("DATOS SINTÉTICOS")
    assert all("DATOS SINTÉTICOS." in text for text in page.text["caption"])
    assert all(each["alt"].startswith("DATOS SINTÉTICOS.") for each in page.all("img"))
    plain = render_comparison(record_of([figures_of("minimal", 0)]), "es")
    assert "SINTÉTICOS" not in plain and "SIMULADO" not in plain


def test_what_others_wrote_stays_text() -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:2]]
    runs[0]["controls"]["transport"]["declared"] = "<img src=x onerror=alert(1)>"
    runs[0]["data"]["name"] = runs[1]["data"]["name"] = "</title><script>"
    ours = own_profile(reasons="<script>alert(1)</script>", source="$\\frac{1}{$")
    page = HtmlPage(text := render_comparison(record_of(runs, profiles=ours), "en"))
    assert "script" not in {tag for tag, _ in page.tags}
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in text and "<img src=x" not in text


def test_without_any_measurement_it_is_a_page_of_gaps() -> None:
    page = HtmlPage(render_comparison(record_of([]), "en"))
    assert page.text["h1"] == ["None of 5 sandboxes measured yet"]
    assert "No choice yet, as no sandbox was measured" in page.section("answer")
    assert page.all("img") == []
    decision = next(each for each in page.cells if each[0][0] == "Criterion")
    assert {cell for row in decision[1:] for cell in row[1:]} == {"missing"}
    assert "No hospital was measured." in page.section("hospitals")
    assert "No control was recorded." in page.section("features")
    assert "so nothing was ranked." in page.section("ranking")
    assert "Shares of" not in page.section("doubt")
    assert "no order to doubt" in page.section("doubt")
    assert "none can be left out" in page.section("reversals")
    assert "nothing decides between them" in page.section("decides")
    assert "None" not in page.text["main"][0]


def test_with_nothing_measured_the_page_has_what_is_known_all_the_same() -> None:
    roster, settings = read_roster(SHIPPED_ROSTER), Settings(home=Home(Path("/nowhere")))
    surroundings = surroundings_of(roster, settings, read_prices())
    record = compare([], sandboxes=SANDBOXES, surroundings=surroundings).as_record()
    for language, (encrypted, not_run, no_attempt, on, walls) in {
        "en": ("encrypted", "not run yet", "no attempt measures", "where the comparison", "starts"),
        "es": ("cifrado", "aún sin ejecutar", "ningún intento", "donde se hizo", "inicia"),
    }.items():
        page = HtmlPage(render_comparison(record, language))
        controls = {row[0]: row[1:] for row in page.cells[1][1:]}
        storage = controls["Storage" if language == "en" else "Almacenamiento"]
        assert len(storage) == 5 and encrypted in storage[2] and not_run in storage[2]
        previews = controls["Previews" if language == "en" else "Vistas previas"]
        assert all(no_attempt in cell for cell in previews)
        origin = page.section("origin")
        assert f"fed_assets {version('fed_assets')}" in origin
        assert platform.platform() in origin and origin.count(on) == 2
        effort = page.section("effort")
        assert "fed-assets approve-code confidential_vm HOSPITAL" in effort and walls in effort
        assert MISSING[language] not in effort.split()
        cost = f"{'Cost' if language == 'en' else 'Coste'} (EUR)"
        assert cost in page.section("decision") and "(price" not in page.section("decision")
    decision = csv.DictReader(io.StringIO(comparison_tables(record)["decision.csv"]))
    assert {row["unit"] for row in decision if row["criterion"] == "cost"} == {"EUR"}


def test_one_that_broke_its_word_is_shown_and_not_ranked() -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:3]]
    runs[0]["security"]["keeps_its_word"] = False
    runs[1]["security"] |= {"keeps_its_word": None, "audit": "of_other_controls"}
    runs[1]["controls"] = {
        name: {"declared": "yes", "enforced": True, "measured": None}
        for name in ("previews", "transport")
    }
    for run in runs:
        del run["hospitals"]
    found = record_of(runs, sandboxes=SANDBOXES[:3])
    page = HtmlPage(render_comparison(found, "en"))
    standing = page.cells[0]
    assert standing[1][1:3] == ["cannot win: the posture check failed", "failed"]
    anew = "fed-assets posture eyes_on makes it anew"
    assert standing[2][1].startswith("cannot win: the audit was of other controls than the run;")
    assert standing[2][1].endswith(anew) and standing[2][2] == "audit of other controls"
    controls = {row[0]: " ".join(row[2].split()) for row in page.cells[1][1:]}
    assert controls["Previews"].endswith("Measured: no attempt measures this control")
    assert controls["Transport"].endswith("Measured: not measured")
    ranking = page.section("ranking")
    assert "eyes_off, the only one that may win" in page.section("answer")
    # Nothing was ranked, and nothing drawn: no rank, no score, no per cent, no spread.
    assert "Fewer than two sandboxes may win, so nothing was ranked." in ranking
    assert "%" not in ranking and "spread" not in page.section("decision")
    alone = comparison_tables(found)
    (first,) = csv.DictReader(io.StringIO(alone["first.csv"]))
    assert (first["sandbox"], first["probability"]) == ("eyes_off", "")
    rows = list(csv.DictReader(io.StringIO(alone["ranking.csv"])))
    assert [(row["score"], row["rank"]) for row in rows] == [("", "")] * 3
    assert "70 s" in page.section("decision")


def test_where_methods_disagree_page_and_files_say_which_has_whom_first() -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:4]]
    # The third is nobody's worst, which VIKOR makes most of.
    shares = ((0.95, 0.60), (0.65, 0.90), (0.80, 0.747), (0.71, 0.66))
    for run, (auroc, accuracy) in zip(runs, shares, strict=True):
        run["quality"] = {"auroc": {"value": auroc}, "accuracy": {"value": accuracy}}
        del run["hospitals"]  # which take a picture each
    criteria = {"quality": {"auroc": 1, "accuracy": 1}}
    entries = {"mine": {"groups": {"quality": 1}, "criteria": criteria}}
    found = record_of(runs, profiles=profiles_from(entries, where="mine.yaml"))
    for language, said in {
        "en": "The three methods do not agree on who comes first",
        "es": "Los tres métodos no coinciden en quién queda primero",
    }.items():
        page = HtmlPage(render_comparison(found, language))
        assert said in page.section("ranking")
        assert said[4:] in page.section("answer")
    (choice,) = csv.DictReader(io.StringIO(comparison_tables(found)["choices.csv"]))
    assert (choice["methods_agree"], choice["first_by_vikor"]) == ("false", "eyes_off")


def test_what_is_done_by_hand_stands_there_with_who_does_it(pages: dict[str, HtmlPage]) -> None:
    approve = "fed-assets approve-code x HOSPITAL"
    for language, (walls, code, nothing) in {
        "en": ("starts the runs as root", "approves the code as installed", "nothing"),
        "es": ("inicia las ejecuciones como root", "aprueba el código", "nada"),
    }.items():
        (table,) = [each for each in pages[language].cells if approve in str(each)]
        assert [row[0] for row in table[1:]] == [
            *("minimal", "eyes_on", "eyes_off"),
            *["confidential_vmSIMULATED" if language == "en" else "confidential_vmSIMULADO"] * 2,
            "configurable",
        ]
        assert table[1][1:] == [nothing]
        assert table[2][1:] == table[6][1:] == [MISSING[language]]
        assert table[4][1].startswith(walls) and table[4][3] == "1"
        assert table[5][1].startswith(code) and table[5][3:] == ["3", approve]
    assert "hospital_01, hospital_02, the coordinator" in pages["en"].section("effort")
    assert "hospital_01, hospital_02, el coordinador" in pages["es"].section("effort")


def test_example_prices_and_what_the_machine_does_not_tell_are_said(
    pages: dict[str, HtmlPage],
) -> None:
    told = pages["en"].section("decision")
    assert "Cost (EUR)" in told and "Cost: in EUR" in told and "THE PRICES ARE EXAMPLES" in told
    missing = told.split("Energy was not measured in ")[1]
    assert missing.split(": ")[0].split(", ") == [
        "confidential_vm",
        "configurable",
        "eyes_on",
        "minimal",
    ]
    assert missing.split(": ")[1].startswith("the machine has no energy counters.")
    assert "LOS PRECIOS SON EJEMPLOS" in pages["es"].section("decision")
    runs = [figures_of("minimal", 0)]
    runs[0]["prices"] = {"example": False, "currency": "CHF"}
    told = HtmlPage(render_comparison(record_of(runs), "en")).section("decision")
    assert "Cost: in CHF" in told and "EXAMPLES" not in told and "was not measured in" not in told


def test_where_nobody_inferred_membership_the_page_says_why() -> None:
    run = figures_of("minimal", 0)
    run["security"]["membership_advantage"] = None
    run["not_measured"] = {"membership_advantage": "no_weights"}
    other = figures_of("eyes_on", 0)
    other["hospitals"] = {name: other["hospitals"][name] for name in ("hospital_01", "hospital_02")}
    run["hospitals"] = other["hospitals"]
    other["hospitals"] = {**other["hospitals"]}
    other["hospitals"]["hospital_02"] = other["hospitals"]["hospital_02"] | {
        "membership_advantage": None,
        "not_measured": {"membership_advantage": "own_images"},
    }
    page = HtmlPage(render_comparison(record_of([run, other], sandboxes=SANDBOXES[:2]), "en"))
    told = "Advantage of membership inference was not measured in "
    assert f"{told}minimal: an earlier version measured the run" in page.section("decision")
    why = f"{told}hospital_02 (eyes_on): the images are the hospital's own, and not open."
    assert why in page.section("hospitals") and "(minimal)" not in page.section("hospitals")


def test_dagsters_table_speaks_the_language_of_the_page() -> None:
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:3]]
    runs[0]["security"]["keeps_its_word"] = False
    runs[1]["security"]["keeps_its_word"] = None
    record = record_of(runs)
    english, spanish = (rows_of(record, language) for language in ("en", "es"))
    assert [row["Posture check"] for row in english] == [
        *("failed", "no audit", "passed"),
        *("no audit", "no audit"),
    ]
    assert list(spanish[0]) == [
        "Entorno",
        "Situación",
        "Comprobación de seguridad",
        "Números de semilla",
    ]
    assert [row["Comprobación de seguridad"] for row in spanish] == [
        *("fallida", "sin auditoría", "superada"),
        *("sin auditoría", "sin auditoría"),
    ]
    assert spanish[0]["Situación"] == "no puede ganar: falló la comprobación de seguridad"


def test_an_interval_without_width_is_a_dash_with_a_note() -> None:
    runs = [with_references(figures_of("minimal", seed)) for seed in (0, 1)]
    perfect = {"value": 1.0, "low": 1.0, "high": 1.0}
    for run in runs:
        run["hospitals"] = {"hospital_01": run["hospitals"]["hospital_01"] | {"auroc": perfect}}
        run["references"]["alone"] = {"hospital_01": {"auroc": perfect, "accuracy": perfect}}
        run["quality"]["auroc"] = perfect
    record = record_of(runs, sandboxes=SANDBOXES[:2])
    for language, said in {
        "en": "tells nothing of the doubt",
        "es": "no dice nada de la duda",
    }.items():
        page = HtmlPage(render_comparison(record, language))
        for section in ("decision", "hospitals", "references"):
            assert said in page.section(section)
        text = page.section("references").replace(",", ".")
        assert f"+0.000 {DASH}" in text and "+0.000 to +0.000" not in text
        assert f"1.000 {DASH}" in page.section("hospitals").replace(",", ".")
    rows = csv.DictReader(io.StringIO(comparison_tables(record)["gains.csv"]))
    assert ("no_width", "") in {(row["interval_from"], row["low"]) for row in rows}


def test_every_step_and_reason_that_a_run_records_has_words() -> None:
    of = page_words("en").page
    recorded = {*UNKNOWN, HIDDEN, NOT_WATCHED, UP_BEFORE, NOT_ALL_MEASURED}
    recorded |= {*REASONS.values(), NOT_ATTACKED, ATTACK_FAILED, WITHHELD}
    assert set(of["decision"]["why"]) == recorded
    assert set(of["effort"]["steps"]) == set(Kind)
    assert set(of["effort"]["people"]) == {OPERATOR, ROSTER_WRITER, COORDINATOR}


def test_the_same_record_gives_the_same_page() -> None:
    record = record_of([figures_of(sandbox, 0) for sandbox in SANDBOXES[:2]])
    assert render_comparison(record, "es") == render_comparison(record, "es")


def test_a_missing_cell_is_hatched_and_says_so(
    record: dict[str, Any], html: dict[str, str]
) -> None:
    pictures = [
        base64.b64decode(each).decode()
        for each in re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", html["es"])
    ]
    # matplotlib writes a picture's words, which are drawn as curves, as comments beside them.
    decision = next(each for each in pictures if "<!-- Lo que midió cada entorno -->" in each)
    missing = sum(row["value"] is None for row in record["decision"])
    assert decision.count("<!-- falta -->") == missing == 22 + 4 * 2 + 2
    assert "<pattern" in decision
    ranks = next(each for each in pictures if "<!-- Probabilidad de cada puesto -->" in each)
    assert ranks.count("<!-- confidential_vm (SIMULADO) -->") == 5  # a panel per profile
    assert "<!-- falta -->" not in ranks and "<pattern" not in ranks


def partial(count: int, surroundings: Surroundings) -> dict[str, Any]:
    """Returns a comparison of which so many of the five sandboxes were measured."""
    runs = [with_references(figures_of(sandbox, 0)) for sandbox in SANDBOXES[:count]]
    for run in runs:
        del run["hospitals"]  # which take a picture each
    settings = Reckoning(draws=100)
    found = compare(runs, sandboxes=SANDBOXES, surroundings=surroundings, settings=settings)
    stored: dict[str, Any] = json.loads(json.dumps(found.as_record()))
    return stored


@pytest.mark.parametrize(
    "count, title, titulo",
    [
        (0, "None of 5 sandboxes measured yet", "Ninguno de los 5 entornos medido todavía"),
        (
            1,
            "pneumoniamnist: 1 of 5 sandboxes measured, and none to compare it with",
            "pneumoniamnist: 1 de 5 entornos medido, sin otro con que compararlo",
        ),
        (2, "pneumoniamnist: 2 of 5 sandboxes compared", "pneumoniamnist: comparación de 2 de 5"),
        (4, "pneumoniamnist: 4 of 5 sandboxes compared", "pneumoniamnist: comparación de 4 de 5"),
        (5, "pneumoniamnist: 5 sandboxes compared", "pneumoniamnist: comparación de 5 entornos"),
    ],
)
def test_the_title_says_how_many_sandboxes_were_measured(
    count: int, title: str, titulo: str
) -> None:
    english, spanish = page_words("en"), page_words("es")
    data = "pneumoniamnist" if count else None
    assert english.title(data, measured=count, of=5) == title
    assert spanish.title(data, measured=count, of=5).startswith(titulo)


def test_one_sandbox_alone_is_best_in_nothing_and_nothing_is_ranked() -> None:
    page = HtmlPage(render_comparison(partial(1, Surroundings()), "en"))
    told = " ".join(page.text["main"][0].split())
    assert "is best in" not in told and page.all("img") == []
    assert "minimal, the only one that may win" in page.section("answer")
    assert "so none is best or worst" in page.section("normalized")
    assert not [said for said in ("Not ranked by", "Shares of") if said in told]
    assert "spread" not in page.section("decision")


def test_of_two_alike_none_is_best() -> None:
    page = HtmlPage(render_comparison(partial(2, Surroundings()), "en"))
    best = page.all("img")[0]["alt"]
    assert "minimal is best in: Wall time" in best and "eyes_on is best in: Protection" in best
    assert "Bytes sent" not in best and "Protection at rest" not in best  # both have as much
    assert page.text["h1"] == ["pneumoniamnist: 2 of 5 sandboxes compared"]


def test_an_audit_of_a_sandbox_that_was_not_run_is_told_as_it_ended() -> None:
    level = {"ladder": "in_transit", "level": 3, "highest": 4}
    controls = {"transport": {"declared": "mtls", "enforced": None, "measured": level}}
    surroundings = Surroundings(
        controls=dict.fromkeys(SANDBOXES, controls),
        security={
            "eyes_on": {"keeps_its_word": True, "audit": "audited"},
            "eyes_off": {"keeps_its_word": False, "audit": "audited"},
            "confidential_vm": {"keeps_its_word": None, "audit": "of_other_controls"},
        },
    )
    record = partial(1, surroundings)
    page = HtmlPage(render_comparison(record, "en"))
    assert [row[1:3] for row in page.cells[0][2:]] == [
        ["not measured", "passed"],
        ["not measured", "failed"],
        ["not measured", "audit of other controls"],
        ["not measured", "no audit"],
    ]
    assert "level 3 of 4" in page.section("features")
    assert "stands here alone" in page.section("features")
    without = HtmlPage(render_comparison(partial(1, Surroundings()), "en"))
    assert "stands here alone" not in without.section("features")
    (_, audited, *_) = csv.DictReader(io.StringIO(comparison_tables(record)["sandboxes.csv"]))
    assert (audited["standing"], audited["keeps_its_word"]) == ("not_measured", "true")


def pointed(page: HtmlPage) -> set[str]:
    """Returns the numbers with a decimal point, but for those of versions and names of files."""
    told = [
        text for text in page.told if not re.search(r"torch|Linux|\.csv|BMJ|BMC|fed_assets", text)
    ]
    return {number for text in told for number in re.findall(r"(?<![\w.])\d+\.\d+(?![\w.])", text)}


def test_spanish_numbers_have_a_decimal_comma_and_files_a_point(
    record: dict[str, Any], pages: dict[str, HtmlPage], html: dict[str, str]
) -> None:
    assert pointed(pages["es"]) == set()
    assert len(pointed(pages["en"])) > 100
    assert pointed(HtmlPage(html["es"].replace("0,979", "0.979"))) == {"0.979"}
    assert "0,979" in pages["es"].section("decision") and "0,979" not in html["en"]
    assert not re.search(r"\d,\d", " ".join(pages["en"].told).replace("1,000", ""))
    written = texts_drawn(html["es"])
    assert "0,979" in written and not any(re.search(r"\d\.\d", text) for text in written)
    assert "0.979" in comparison_tables(record)["decision.csv"]


def texts_drawn(html: str) -> set[str]:
    """Returns the texts of a page's pictures, a line each."""
    found = re.findall(r"data:image/svg\+xml;base64,([\w+/=]+)", html)
    pictures = [base64.b64decode(each).decode() for each in found]
    return {text for each in pictures for text in re.findall(r"<!-- ([^>]*?) -->", each)}


def test_a_number_and_its_unit_stay_on_one_line(html: dict[str, str]) -> None:
    for text in html.values():
        shown = re.sub(r"<[^>]*>", "", text.partition("</style>")[2])
        assert not re.findall(r"\d (?:%|s|MB|GB|J)\b|\d %", shown)
        assert "\N{NO-BREAK SPACE}%" in shown


@pytest.fixture
def opened(html: dict[str, str], tmp_path: Path, browser: Chrome) -> Chrome:
    """Returns a browser with the Spanish page open, as wide as a phone."""
    path = tmp_path / "comparison.html"
    path.write_text(html["es"], encoding="utf-8")
    resize(browser, *PHONE)
    browser.get(path.as_uri())
    return browser


def emulate(browser: Chrome, *, media: str = "", scheme: str = "light") -> None:
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    browser.execute_cdp_cmd("Emulation.setEmulatedMedia", {"media": media, "features": features})


@pytest.mark.slow
def test_the_longest_name_of_a_profile_fits_a_phone(tmp_path: Path, browser: Chrome) -> None:
    longest = {"w" * LONGEST_NAME: {"groups": {"quality": 1}}}
    runs = [figures_of(sandbox, 0) for sandbox in SANDBOXES[:2]]
    for run in runs:
        del run["hospitals"]  # which take a picture each
    path = tmp_path / "comparison.html"
    found = record_of(runs, profiles=profiles_from(longest, where="mine.yaml"))
    path.write_text(text := render_comparison(found, "en"), encoding="utf-8")
    drawn = texts_drawn(text)
    assert "w" * HEAD_CHARACTERS in drawn and "w" * LONGEST_NAME not in drawn  # but in two lines
    resize(browser, *PHONE)
    browser.get(path.as_uri())
    assert "w" * LONGEST_NAME in browser.find_element("id", "answer").text
    assert overflow_pixels(browser) == 0


@pytest.mark.slow
def test_it_renders_by_itself_and_fits_a_phone(opened: Chrome) -> None:
    assert broken_pictures(opened) == []
    assert complaints(opened) == []
    assert external_requests(opened) == []
    # Who wins for whom stands on the first screen, though one of five may need a swipe.
    ends = opened.execute_script(
        "return [...document.querySelectorAll('#answer dd strong')].map("
        "each => each.getBoundingClientRect().bottom)"
    )
    assert len(ends) == 5 and sum(end <= PHONE[1] for end in ends) >= 3
    opened.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    assert overflow_pixels(opened) == 0
    beside = opened.execute_script(
        "return [...document.querySelectorAll('table')].filter(table => "
        "table.scrollWidth > table.parentElement.clientWidth && "
        "getComputedStyle(table.parentElement).overflowX == 'auto').length"
    )
    assert beside > 5  # wider than a phone, each in a box of its own


@pytest.mark.slow
@pytest.mark.parametrize("width", [360, 390, 800, 1280])
def test_letters_of_maps_and_captions_of_tables_can_be_read(opened: Chrome, width: int) -> None:
    resize(opened, width, 900)
    opened.execute_script("document.querySelectorAll('details').forEach(each => each.open = true)")
    maps = opened.execute_script(
        "return [...document.querySelectorAll('figure')].map(map => [map.clientWidth, "
        "map.scrollWidth, map.querySelector('img').getBoundingClientRect().width])"
    )
    assert len(maps) == 8
    for shown, whole, drawn in maps:
        assert CELL_POINTS * drawn / (72 * MAP_INCHES) >= 11
        assert whole <= shown  # nothing is swiped sideways
    captions = opened.execute_script(
        "return [...document.querySelectorAll('.scroll')].map(box => { const of = "
        "box.querySelector('caption span').getBoundingClientRect(), edge = "
        "box.getBoundingClientRect(); return [of.left - edge.left, edge.right - of.right]; })"
    )
    assert len(captions) > 15
    assert all(left >= 0 and right >= 0 for left, right in captions)
    assert overflow_pixels(opened) == 0


@pytest.mark.slow
def test_by_night_page_and_pictures_are_dark(opened: Chrome) -> None:
    script = (
        "return [getComputedStyle(document.body).backgroundColor,"
        " ...[...document.images].map(each => each.currentSrc)]"
    )
    emulate(opened)
    paper, *by_day = opened.execute_script(script)
    emulate(opened, scheme="dark")
    assert broken_pictures(opened) == []
    dark_paper, *by_night = opened.execute_script(script)
    assert (paper, dark_paper) == ("rgb(244, 246, 248)", "rgb(16, 23, 29)")
    assert len(by_day) == 8 and not set(by_day) & set(by_night)


UNFOLD = "document.querySelectorAll('details').forEach(each => each.open = true)"
MOST_SHEETS = 17


def sheets(browser: Chrome) -> list[tuple[float, float]]:
    """Returns width and height of each sheet that the page is printed on."""
    asked = {"preferCSSPageSize": True, "paperWidth": 8.27, "paperHeight": 11.69}
    printed = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", asked)["data"])
    boxes = re.findall(rb"/MediaBox \[0 0 ([\d.]+) ([\d.]+)\]", printed)
    return [(float(width), float(height)) for width, height in boxes]


@pytest.mark.slow
@pytest.mark.parametrize("where, pixels", [("", A4_PIXELS), (".across", A4_LANDSCAPE_PIXELS)])
def test_on_paper_nothing_is_cut_off_at_the_right(opened: Chrome, where: str, pixels: int) -> None:
    emulate(opened, media="print")
    resize(opened, A4_PIXELS, 1000)
    assert overflow_pixels(opened) == 0
    opened.execute_script(UNFOLD)
    resize(opened, pixels, 1000)
    tables = opened.execute_script(
        "return [...document.querySelectorAll('table')].filter(table => "
        "!!arguments[0] == !!table.closest('.across') && !table.closest('.on-screen')).map("
        "table => [table.scrollWidth, table.getBoundingClientRect().height])",
        where,
    )
    assert len(tables) >= 8
    assert all(width <= pixels and height > 50 for width, height in tables)


@pytest.mark.slow
def test_what_is_folded_up_takes_no_paper_unless_it_is_unfolded(opened: Chrome) -> None:
    folded = sheets(opened)
    assert len(folded) <= MOST_SHEETS
    assert all(width < height for width, height in folded)
    opened.execute_script(UNFOLD)
    unfolded = sheets(opened)
    assert len(unfolded) >= len(folded) + 8
    # Wide tables are printed on sheets that lie.
    lying = [width > height for width, height in unfolded]
    assert True in lying and not lying[0] and not lying[-1]


COLUMNS = """return [...document.querySelectorAll(".pages")].map(pages =>
  [...pages.querySelectorAll("caption, thead, tbody tr:first-child")].flatMap(each =>
    [...each.getClientRects()].slice(0, each.matches("thead") ? 1 : 9).map(place =>
      Math.floor((place.left - pages.getBoundingClientRect().left) / 300))))"""


@pytest.mark.slow
def test_on_paper_a_caption_stands_with_the_head_of_its_table(
    tmp_path: Path, browser: Chrome
) -> None:
    # Columns are broken as sheets are. Each page has less room left for the table.
    style = (TEMPLATES / "style.css").read_text()
    columns = "columns: 3; column-gap: 0; column-fill: auto; width: 900px; height: 300px"
    table = (
        '<div class="scroll wide"><table><caption><span>A caption<br>of two lines</span></caption>'
        "<thead><tr><th>Head</th></tr></thead><tbody>"
        + "<tr><td>A row</td></tr>" * 12
        + "</tbody></table></div>"
    )
    pages = "".join(
        f'<div class="pages" style="{columns}"><div style="height: {taken}px"></div>{table}</div>'
        for taken in range(100, 300, 5)
    )
    written = tmp_path / "page.html"
    written.write_text(f'<!doctype html><meta charset="utf-8"><style>{style}</style>{pages}')
    browser.get(written.as_uri())
    emulate(browser, media="print")
    try:
        found = browser.execute_script(COLUMNS)
    finally:
        emulate(browser)
    # The head comes again on each sheet, and is looked for where it first is.
    assert {tuple(each) for each in found} == {(0, 0, 0), (1, 1, 1)}
