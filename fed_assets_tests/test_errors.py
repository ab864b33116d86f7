from __future__ import annotations

import copy
import inspect
import json
import subprocess
import sys

import pytest

from fed_assets import errors
from fed_assets.errors import FedAssetsError, JobFailed, PriceError, caused_by, error_from_record

CLASSES = [
    each
    for each in vars(errors).values()
    if inspect.isclass(each) and issubclass(each, FedAssetsError)
]
RAISE_AND_TELL = """
import json
from fed_assets import errors
for name in {names!r}:
    try:
        raise getattr(errors, name)("It broke", where="round 3", seen="code 1", cure="Mend it")
    except errors.FedAssetsError as error:
        print(json.dumps(error.as_record()))
"""


def drawn_tree() -> dict[str, str]:
    """Returns every class of the tree in the module's docstring with its parent."""
    parents: dict[str, str] = {}
    line_of_descent: list[str] = []
    for line in (errors.__doc__ or "").splitlines()[2:]:
        branch = max(line.find("├── "), line.find("└── "))
        depth = 0 if branch < 0 else branch // 4 + 1
        name = line[0 if branch < 0 else branch + 4 :].split()[0]
        line_of_descent[depth:] = [name]
        parents[name] = line_of_descent[depth - 1] if depth else "Exception"
    return parents


def test_the_drawn_tree_is_the_tree_of_the_classes() -> None:
    assert drawn_tree() == {each.__name__: each.__mro__[1].__name__ for each in CLASSES}


@pytest.mark.parametrize("kind", CLASSES, ids=lambda kind: kind.__name__)
def test_every_error_says_what_it_is_and_how_to_mend_it(kind: type[FedAssetsError]) -> None:
    assert kind.__dict__["__doc__"]
    assert kind.cure.endswith(".")
    assert str(kind("It broke")) == f"It broke. To mend it: {kind.cure}"


def test_what_passes_by_itself_is_what_others_or_the_machine_may_have_mended_meanwhile() -> None:
    passing = {kind.__name__ for kind in CLASSES if kind.passing}
    assert passing == {
        *("DownloadFailed", "HostAway", "WorkerFailed", "CloudRefused", "DoorUnreachable"),
        *("PortTaken", "ProcessNotStarted", "FederationDidNotStart", "JobFailed"),
        *("TimeLimitPassed", "QuorumNotMet", "ContainerRefused"),
    }


def test_every_error_crosses_a_process_boundary_whole() -> None:
    names = [kind.__name__ for kind in CLASSES]
    told = subprocess.run(
        [sys.executable, "-c", RAISE_AND_TELL.format(names=names)],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    for kind, line in zip(CLASSES, told, strict=True):
        error = error_from_record(json.loads(line))
        assert type(error) is kind
        assert str(error) == "It broke. Where: round 3. Seen: code 1. To mend it: Mend it."


def test_a_record_of_an_unknown_kind_becomes_the_root_with_its_text() -> None:
    error = error_from_record({"kind": "SystemExit", "what": "It broke", "cure": "Mend it."})
    assert type(error) is FedAssetsError
    assert str(error) == "It broke. To mend it: Mend it."


def test_an_empty_record_is_still_an_error_with_a_cure() -> None:
    assert "fed-assets doctor" in str(error_from_record({}))


def test_a_copied_error_keeps_its_parts() -> None:
    error = errors.SourceCorrupt("It broke", where="a", seen="b", cure="c")
    copied = copy.copy(error)
    assert (type(copied), copied.as_record()) == (errors.SourceCorrupt, error.as_record())


def test_a_message_is_one_line_whatever_stands_in_its_parts() -> None:
    error = FedAssetsError("It\nbroke.", where="a\r\nb", seen="c\n\nd\n", cure="Look\nup")
    assert str(error) == "It broke. Where: a b. Seen: c d. To mend it: Look up."


def test_a_cure_that_asks_keeps_its_question_mark() -> None:
    assert str(FedAssetsError("It broke", cure="Did you mean `x`?")).endswith("Did you mean `x`?")


def test_an_error_that_comes_of_others_says_once_how_to_mend_it() -> None:
    prices = str(PriceError("Prices cannot be read", seen="a list", cure="Correct the file"))
    told = str(JobFailed("It failed", **caused_by([prices, prices, "code 1"], cure="Run again")))
    assert told == (
        "It failed. Seen: Prices cannot be read. Seen: a list; code 1. "
        "To mend it: Correct the file. Run again."
    )
    nested = str(JobFailed("It failed", seen=prices, cure="Run again"))
    assert nested.count("To mend it") == 2  # what it would be otherwise
