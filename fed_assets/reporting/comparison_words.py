"""The words of the comparison's page, in the language that is asked for.

Names of criteria, groups, methods and units are those of `comparison.sentence`, so that page and
sentences call one thing by one name; what only the page says stands in templates/comparison.yaml.
Numbers have the language's decimal mark; in the files beside it that is always a point.
"""

from __future__ import annotations

from collections.abc import Callable, Container, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any

from fed_assets.comparison.caveats import measured_with
from fed_assets.comparison.decision import LIKELY
from fed_assets.comparison.measurements import NO_AUDIT
from fed_assets.comparison.ranking import NOT_MEASURED
from fed_assets.comparison.sentence import LANGUAGES, MOST, percent, with_percents, words
from fed_assets.comparison.surroundings import AUDIT_FAILED, RUN_FAILED
from fed_assets.errors import ConfigurationError
from fed_assets.reporting import formats
from fed_assets.reporting.page import TEMPLATES

# Seconds, bytes and joules stand with the numbers, and of shares and steps the name of a criterion
# says enough; other units stand with it: the ladders', and a price table's currency.
UNNAMED_UNITS = ("", "s", "B", "J", "share", "steps")
NOT_RUN, LEFT_OUT = "not_run", "left_out"  # beside RUN_FAILED why nothing was measured
SIMULATED = "SIMULATED"  # what a control's value says where it is enforced by an imitation


@dataclass(frozen=True)
class Words:
    """The words of one language.

    Attributes:
        language: "en" or "es".
        page: what the page alone says (templates/comparison.yaml).
        shared: what the sentences say too (comparison/words.yaml).
    """

    language: str
    page: Mapping[str, Any]
    shared: Mapping[str, Any]

    @property
    def synthetic_mark(self) -> tuple[str, str]:
        """How a picture says that its data are synthetic, and what that means."""
        return self.page["synthetic"], self.page["made_up"]

    def figure(self, write: Callable[..., str], *values: Any) -> str:
        """Returns what a function of `formats` writes, as the language writes numbers."""
        return formats.localized(write, self.language)(*values)

    def title(self, data: str | None, *, measured: int, of: int) -> str:
        """Returns what the page compares: of how many sandboxes how many were measured."""
        kinds = {of: "all_measured", 1: "one_measured", 0: "none_measured"}
        told = str(self.page["titles"][kinds.get(measured, "some_measured")]).format(
            measured=measured, of=of
        )
        return f"{data}: {told}" if data else f"{told[:1].upper()}{told[1:]}"

    def data(self, name: str | None) -> str | None:
        """Returns what data are called; of what is not made up, as they stand."""
        called: Mapping[str, str] = self.page["data_names"]
        return name if name is None else called.get(name, name)

    def criterion(self, name: str, unit: str = "") -> str:
        """Returns what a criterion is called, with its unit where no number has it."""
        called = str(self.shared["criteria"][name])
        unbroken = self.unit(unit).replace(" ", formats.NO_BREAK)
        return called if unit in UNNAMED_UNITS else f"{called} ({unbroken})"

    def unit(self, name: str) -> str:
        """Returns what a unit is called; a currency, by its three capitals."""
        return str(self.shared["units"].get(name, name))

    def sandbox(self, name: str, simulated: Container[str]) -> str:
        """Returns what a picture calls a sandbox; one that is simulated says so."""
        return f"{name} ({self.page['simulated']})" if name in simulated else name

    def criteria(self, names: Iterable[str]) -> str:
        """Returns criteria as a list."""
        return ", ".join(self.criterion(name) for name in names)

    def standing(self, row: Mapping[str, Any]) -> str:
        """Returns whether a sandbox may win, or why not and what to do, of its row."""
        if row["standing"] == NOT_MEASURED and why_missing(row) != NOT_RUN:
            return self.missing(row, "sandboxes")
        return str(self.shared["standings"][row["standing"]]).format(sandbox=row["sandbox"])

    def audit(self, row: Mapping[str, Any]) -> str:
        """Returns how a sandbox's posture check ended, or that there was none, of its row."""
        of = self.page["sandboxes"]
        if row["audit"] == NO_AUDIT and AUDIT_FAILED in row["failed"]:
            return str(of["audits"][AUDIT_FAILED])
        if row["keeps_its_word"] is None:
            return str(of["audits"][row["audit"]])
        return str(of["passed"] if row["keeps_its_word"] else of["failed"])

    def missing(self, row: Mapping[str, Any], part: str = "wholly_missing") -> str:
        """Returns that nothing was measured of a sandbox, and why, of its row.

        Args:
            row: the row.
            part: of the page, whose words are taken.
        """
        why = self.page["left_out"].get(row["left_out"])
        return str(self.page[part][why_missing(row)]).format(sandbox=row["sandbox"], why=why)

    def caution(self, caution: Mapping[str, Any]) -> str:
        """Returns what weakens a comparison, in a sentence or two."""
        plain = self.shared["cautions"].get(caution["kind"])
        return measured_with(caution, self.language) if plain is None else self._of(caution, plain)

    def detail(self, caution: Mapping[str, Any]) -> str:
        """Returns why that is, and what stands in; nothing where the caution says it all."""
        return self._of(caution, self.shared["details"].get(caution["kind"], ""))

    def _of(self, caution: Mapping[str, Any], plain: str) -> str:
        names = {name: ", ".join(of) for name, of in caution.items() if isinstance(of, list)}
        names["criteria"] = self.criteria(caution.get("criteria", ()))
        called = self.criterion(caution["criterion"]) if "criterion" in caution else ""
        return str(plain.format(**names, criterion=called))

    def profile(self, name: str) -> str:
        """Returns what a profile is called; a user's own bears the name that they gave it."""
        return str(self.page["profiles"].get(name, name))

    def answer(
        self, decision: Mapping[str, Any], *, measured: bool, tells_nothing: float | None = None
    ) -> tuple[str, str]:
        """Returns a profile's choice, and before whom it is, as briefly as can be.

        Args:
            decision: of `decision.decide`.
            measured: whether any sandbox was.
            tells_nothing: how much of the profile's weight tells nothing apart, where it is known.
        """
        of, status = self.page["answer"], decision["status"]
        known = [each for each in decision["contenders"] if each["probability"] is not None]
        choice = of["choices"][status if measured else "none_measured"].format(
            choice=decision["choice"],
            probability=percent(decision["probability"] or 0.0, self.language),
            contenders=with_percents(known, self.language),
        )
        choice += self.shared["alike"] if (tells_nothing or 0.0) > MOST else ""
        others = with_percents(known[1:], self.language) if status == LIKELY else ""
        return choice, of["before"].format(others=others) if others else ""

    def profile_text(self, profile: Mapping[str, Any], entry: str) -> str:
        """Returns a profile's "reasons" or "source": the shipped ones' in this language."""
        name, given = profile["name"], profile[entry]
        if page_words("en").page[entry].get(name) == given:
            return str(self.page[entry][name])
        return str(given)

    def control(self, name: str) -> str:
        """Returns what a control is called."""
        return str(self.page["controls"].get(name, name.replace("_", " ")))

    def value(self, told: str) -> str:
        """Returns a control's value in words; one that is not known, as it stands."""
        plain = told.removesuffix(f" ({SIMULATED})")
        value = str(self.page["values"].get(plain, plain))
        return value if plain == told else f"{value} ({self.page['simulated']})"

    def level(self, measured: Mapping[str, Any]) -> str:
        """Returns what an audit measured of a control: its ladder, and how high on it."""
        ladder = self.shared["criteria"][measured["ladder"]]
        return str(self.page["features"]["level"]).format(**{**measured, "ladder": ladder})


def weakening(record: Mapping[str, Any], words: Words) -> list[tuple[str, str]]:
    """Returns what weakens a comparison, each with its details, where there are any.

    First what concerns the choices themselves, with whose they are where not everybody's, and then
    the cautions. What a caution says of a choice is not said twice.

    Args:
        record: of `Comparison.as_record`.
        words: of the language.
    """
    cautions, profiles = record["cautions"], record["profiles"]
    known = {each["kind"] for each in cautions}
    by_said: dict[str, list[str]] = {}
    for name, of in profiles.items():
        for caveat in of["caveats"][words.language]:
            if caveat["kind"] not in known:
                by_said.setdefault(caveat["said"], []).append(words.profile(name))
    everybodys = [(said, "") for said, whose in by_said.items() if len(whose) == len(profiles)]
    some = [
        (f"{', '.join(whose)}: {said}", "")
        for said, whose in by_said.items()
        if len(whose) < len(profiles)
    ]
    return everybodys + some + [(words.caution(each), words.detail(each)) for each in cautions]


def simulated_sandboxes(record: Mapping[str, Any]) -> list[str]:
    """Returns the sandboxes of which a control says that it is enforced by a simulation."""
    found = [
        row["sandbox"]
        for row in record["features"]
        if any(SIMULATED in value for value in row["declared"])
    ]
    return list(dict.fromkeys(found))


def why_missing(row: Mapping[str, Any]) -> str:
    """Returns why nothing was measured of a sandbox, of its row."""
    if row["left_out"]:
        return LEFT_OUT
    return RUN_FAILED if RUN_FAILED in row["failed"] else NOT_RUN


@cache
def page_words(language: str) -> Words:
    """Returns the words of a language.

    Raises:
        ConfigurationError: there is no page in this language.
    """
    if language not in LANGUAGES:
        raise ConfigurationError(
            "There is no page in this language",
            seen=repr(language),
            cure=f"Choose one of {', '.join(LANGUAGES)}.",
        )
    import yaml

    text = (TEMPLATES / "comparison.yaml").read_text(encoding="utf-8")
    text = text.replace(" %", f"{formats.NO_BREAK}%")
    return Words(language, yaml.safe_load(text)[language], words(language))
