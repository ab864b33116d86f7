from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

HEAVY = ("torch", "monai", "mlflow", "great_expectations", "azure.ai.ml", "sklearn", "matplotlib")


def loaded_by(statement: str, home: Path) -> set[str]:
    """Returns the modules that a fresh Python has loaded after a statement."""
    ran = subprocess.run(
        [sys.executable, "-c", f"{statement}\nimport sys\nprint(*sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"FED_ASSETS_HOME": str(home)},
    )
    return set(ran.stdout.split())


def test_the_package_alone_loads_neither_the_orchestrator_nor_torch(tmp_path: Path) -> None:
    loaded = loaded_by("import fed_assets", tmp_path / "home")
    assert "fed_assets" in loaded
    assert not loaded & {"dagster", "torch", "numpy", "pydantic", *HEAVY}
    assert not (tmp_path / "home").exists()


def test_definitions_load_without_what_costs_seconds(tmp_path: Path) -> None:
    loaded = loaded_by("import fed_assets; fed_assets.defs", tmp_path / "home")
    assert "fed_assets.definitions" in loaded
    assert (tmp_path / "home").exists()
    assert not loaded & set(HEAVY)
    assert not {name for name in loaded if name.startswith("fed_assets.hospital")}
    assert not loaded & {"adlfs", "azure.storage.blob", "dagster_azure"}


def test_a_comparison_loads_what_ranks_only_when_it_ranks(tmp_path: Path) -> None:
    loaded = loaded_by("import fed_assets.comparison.comparison", tmp_path / "home")
    assert "numpy" in loaded
    assert not loaded & {"scipy", "pymcdm", "pandas", *HEAVY}


def test_the_check_would_see_a_heavy_import(tmp_path: Path) -> None:
    assert "matplotlib" in loaded_by("import fed_assets, matplotlib", tmp_path / "home")


def test_containers_load_nothing_of_azures_before_one_is_asked(tmp_path: Path) -> None:
    for module in ("folder_copy", "place", "issuing"):
        loaded = loaded_by(f"import fed_assets.containers.{module}", tmp_path / "home")
        assert not {name for name in loaded if name.split(".")[0] in {"azure", "adlfs"}}


@pytest.mark.parametrize(
    "module", ["worker", "store", "images", "contact_sheet", "dataset", "manifest", "expectations"]
)
def test_a_hospitals_process_never_loads_the_orchestrator(tmp_path: Path, module: str) -> None:
    loaded = loaded_by(f"import fed_assets.hospital.{module}", tmp_path / "home")
    assert not loaded & {"dagster", "mlflow", "torch", "azure.ai.ml"}


def test_dagster_finds_the_definitions_in_the_package(tmp_path: Path) -> None:
    statement = (
        "import fed_assets, dagster\nassert isinstance(fed_assets.defs, dagster.Definitions)\n"
        "assert fed_assets.defs is fed_assets.defs"
    )
    assert "fed_assets.definitions" in loaded_by(statement, tmp_path / "home")


def test_what_loaded_the_definitions_looks_for_no_garbage_at_its_end(tmp_path: Path) -> None:
    last = "import atexit, gc; atexit.register(lambda: print(gc.get_freeze_count() > 10_000))"
    assert "True" in loaded_by(f"{last}; import fed_assets; fed_assets.defs", tmp_path / "home")
    assert "False" in loaded_by(f"{last}; import fed_assets", tmp_path / "other")


def test_the_public_face_is_exact() -> None:
    import fed_assets

    assert sorted(fed_assets.__all__) == ["__version__", "defs"]
    assert "defs" in dir(fed_assets)
    with pytest.raises(AttributeError, match="has no attribute 'deffs'"):
        _ = fed_assets.deffs  # type: ignore[attr-defined]
