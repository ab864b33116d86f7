"""Which versions may not serve as a hospital in them withdrew, told by plain files."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import pytest

from fed_assets.assets.packaging import facts_of, origin_of
from fed_assets.errors import StorageError
from fed_assets.federation.withdrawals import rejoin, withdraw
from fed_assets.resources.artifact_store import write_whole
from fed_assets.resources.home import Home
from fed_assets.resources.known_models import KnownModels
from fed_assets.resources.model_registry import ModelRegistry
from fed_assets.serving.keys import signing_key
from fed_assets.serving.package import sign_package
from fed_assets_tests.lineages import RUN, THREE, lineage, put_lineage, round_of
from fed_assets_tests.registry.versions import a_version
from fed_assets_tests.resources.test_ledger import put_version

SECOND = "77777777-0000-4000-8000-000000000003"


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """Returns a home with two versions of minimal, the second without south."""
    home = Home(tmp_path / "home")
    put_lineage(home, lineage())
    put_version(home, 1, RUN)
    put_lineage(home, lineage(SECOND, hospitals=THREE[:2], rounds=[round_of(1, THREE[:2])]))
    put_version(home, 2, SECOND, participants=THREE[:2])
    return home


@pytest.fixture
def known(home: Home) -> KnownModels:
    return KnownModels(home)


def leave(home: Home) -> None:
    withdraw(home.withdrawals, "south", by="Ada", because="its board said so")


def test_what_contains_data_of_who_withdrew_is_barred_until_it_joins_again(
    known: KnownModels, home: Home
) -> None:
    assert known.never_to_serve("minimal") == {}
    leave(home)
    (said,) = known.never_to_serve("minimal").items()
    assert said[0] == 1
    assert said[1].startswith("south is in it: it withdrew on ")
    rejoin(home.withdrawals, "south", by="Eve", because="a new contract")
    assert known.never_to_serve("minimal") == {}


def test_so_is_what_a_record_was_edited_or_damaged_of(known: KnownModels, home: Home) -> None:
    leave(home)
    paths = home.lineage / f"{RUN}.json", home.models("minimal") / "v1" / "version.json"
    for path in paths:
        whole = path.read_bytes()
        for content in (whole.replace(b"south", b"delta"), b"{", b""):
            write_whole(path, content)
            assert known.never_to_serve("minimal").keys() == {1}
        write_whole(path, whole)


def sign(home: Home, number: int, run: str) -> None:
    """Packages a version of made-up weights, as its records stand."""
    version = a_version(number, run_id=run, weights_digest=hashlib.sha256(b"weights").hexdigest())
    put_version(home, number, run, weights_digest=version.weights_digest)
    folder = home.models("minimal") / f"v{number}" / "package"
    origin = origin_of(ModelRegistry(home), version)
    folder.mkdir()
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "model.onnx").write_bytes(b"no onnx is loaded here")
    sign_package(folder, facts_of(version, origin), signing_key(home.models_key))


@pytest.mark.parametrize("gone", [False, True])
def test_a_signed_version_whose_records_are_others_now_serves_nowhere_whoever_withdrew(
    known: KnownModels, home: Home, gone: bool
) -> None:
    sign(home, 1, RUN)
    if gone:
        leave(home)
    before = known.never_to_serve("minimal")
    assert before.keys() == ({1} if gone else set())
    record = home.models("minimal") / "v1" / "version.json"
    for path in (record, home.lineage / f"{RUN}.json"):
        whole = path.read_bytes()
        for content in (whole.replace(b"south", b"delta"), whole + b"\n", b"{", b"", None):
            path.unlink() if content is None else write_whole(path, content)
            assert known.untrue("minimal").keys() == {1}
            assert known.never_to_serve("minimal").keys() == {1}
        write_whole(path, whole)
        assert known.never_to_serve("minimal") == before


@pytest.mark.parametrize("name", ["manifest.json", "manifest.sig", "the key"])
def test_a_package_whose_word_cannot_be_checked_serves_nowhere(
    known: KnownModels, home: Home, name: str
) -> None:
    sign(home, 1, RUN)
    package = home.models("minimal") / "v1" / "package"
    path = home.models_key.with_suffix(".pub") if name == "the key" else package / name
    whole = path.read_bytes()
    for content in (b"{}", None):
        path.unlink() if content is None else write_whole(path, content)
        assert known.never_to_serve("minimal").keys() == {1}
    write_whole(path, whole)
    assert known.never_to_serve("minimal") == {}


def test_who_only_tested_it_though_no_other_record_knows_of_that_is_counted_and_told(
    known: KnownModels, home: Home
) -> None:
    evaluation = a_version().evaluation
    put_version(home, 2, SECOND, participants=THREE[:2], evaluation=evaluation)
    said = known.never_to_serve("minimal")[2]
    assert f"south tested it, which lineage/{SECOND}.json does not tell" in said
    leave(home)
    assert known.withdrawn("minimal").keys() == {1, 2}


def test_where_no_record_tells_who_took_part_all_is_barred_while_anybody_withdrew(
    known: KnownModels, home: Home
) -> None:
    (home.models("minimal") / "v2" / "version.json").unlink()
    assert "it is gone" in known.never_to_serve("minimal")[2]
    leave(home)
    assert known.never_to_serve("minimal")[2].startswith("south may be in it: ")


def test_a_hospital_that_only_chose_the_threshold_is_in_it_too(
    known: KnownModels, home: Home
) -> None:
    chosen = {"value": 0.4, "hospitals": 3}
    put_lineage(home, lineage(SECOND, rounds=[round_of(1, THREE[:2])], threshold=chosen))
    leave(home)
    assert known.never_to_serve("minimal").keys() == {1, 2}


def test_it_is_told_though_the_registry_and_the_log_cannot_be_read(
    known: KnownModels, home: Home
) -> None:
    leave(home)
    home.tracking.mkdir()
    (home.tracking / "mlflow.db").write_bytes(b"no database" * 100)
    write_whole(home.models("minimal") / "promotions.jsonl", b"{\n")
    assert known.never_to_serve("minimal").keys() == {1}


def test_where_the_list_cannot_be_used_nothing_is_told(known: KnownModels, home: Home) -> None:
    home.withdrawals.parent.mkdir()
    home.withdrawals.write_text(json.dumps({}))
    home.withdrawals.chmod(0o600)
    with pytest.raises(StorageError, match="so that nobody may take part"):
        known.never_to_serve("minimal")
