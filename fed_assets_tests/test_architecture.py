"""The import table of the design, held over every module of the package."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest

PACKAGE = "fed_assets"
ROOT = Path(__file__).parent.parent / PACKAGE
MOST_LINES = 260
MOST_LINES_OF = {"errors.py": 490}  # the one list of all errors, which is searched and not read
FORBIDDEN_NAMES = {"utils", "helpers", "manager", "base", "util", "helper", "managers", "common"}

# What a folder, or a module that stands alone, may import of the package beside itself.
ALLOWED = {
    "errors": set(),
    "sandboxes": {"errors"},
    "privacy": {"errors"},
    "pictures": set(),
    "containers": {"errors"},
    "comparison": {"sandboxes", "errors"},
    "azure": {"sandboxes", "errors"},
    "registry": {"sandboxes", "privacy", "errors"},
    # Its page calls things by the names that its sentences do, and lays its rows out as it does.
    "reporting": {"comparison", "errors"},
    "federation": {"privacy", "sandboxes", "errors"},
    "hospital": {"containers", "pictures", "privacy", "sandboxes", "errors"},
    "serving": {"pictures", "errors"},
    "posture": {"containers", "federation", "privacy", "sandboxes", "errors"},
    "hosts": {"federation", "privacy", "errors"},
    "resources": {
        *("containers", "registry", "posture", "hosts", "federation", "sandboxes", "serving"),
        "errors",
    },
    "assets": {
        "comparison",
        "registry",
        "resources",
        "reporting",
        "posture",
        "federation",
        "sandboxes",
        "serving",
        "errors",
    },
    "automation": {"assets", "resources", "reporting", "federation", "sandboxes", "errors"},
    "cli": {
        *("comparison", "resources", "reporting", "posture", "federation", "sandboxes"),
        *("containers", "registry", "privacy", "serving", "azure", "hosts", "errors"),
    },
    "definitions": {
        *("assets", "automation", "resources", "reporting", "posture", "federation", "sandboxes"),
        *("privacy", "errors"),
    },
    "__init__": {"definitions"},
    "ready": {"definitions"},  # by way of the package
}

# What every module of a folder may import from elsewhere, beside the standard library.
THIRD_PARTY = {
    "sandboxes": {"pydantic"},
    "privacy": {"numpy", "cryptography"},
    "pictures": {"numpy", "PIL", "pydicom"},
    "containers": {"azure"},
    "reporting": {"numpy", "matplotlib", "jinja2"},
    "comparison": {"numpy", "scipy", "pymcdm", "yaml"},
    "registry": set(),
    "azure": set(),
    "federation": {"nvflare", "numpy", "safetensors"},
    "hospital": {"torch", "monai", "great_expectations", "cryptography", "numpy"},
    "serving": {"numpy", "cryptography"},
    "posture": set(),
    "hosts": {"cryptography"},
    "resources": {"dagster", "dagster_azure", "dagster_pipes", "mlflow"},
    "assets": {"dagster"},
    "automation": {"dagster"},
    "definitions": {"dagster"},
    "ready": {"dagster"},
    "cli": {"typer", "rich"},
}

# What single modules may import besides; an entry that none of them uses any more is an error.
THIRD_PARTY_OF = {
    "assets/roster.py": {"pydantic"},  # fields of the run config
    "assets/comparison.py": {"pydantic"},
    "assets/reference.py": {"pydantic"},
    "assets/registry.py": {"pydantic"},
    "assets/training.py": {"pydantic"},
    "containers/job_messages.py": {"dagster_pipes"},  # which knows no Dagster
    "federation/automation.py": {"pydantic"},
    "federation/averaging.py": {"pydantic"},
    "federation/azure_ml.py": {"pydantic"},
    "federation/data_sources.py": {"pydantic"},
    "federation/learning.py": {"pydantic"},
    "federation/promotion.py": {"pydantic"},
    "federation/cost.py": {"psutil"},
    "federation/processes.py": {"psutil"},
    "federation/spawned.py": {"psutil"},
    "federation/warm_process.py": {"psutil"},
    "federation/roster.py": {"pydantic"},
    "federation/nvflare_process.py": {"cryptography"},
    "federation/site_key.py": {"cryptography"},
    "hospital/accountant.py": {"opacus", "scipy"},
    "hospital/attestation/approval.py": {"jwt"},
    "hospital/attestation/attempts.py": {"jwt"},
    "hospital/attestation/attester.py": {"jwt"},
    "hospital/attestation/evidence.py": {"jwt"},
    "hospital/canary_hospital.py": {"nvflare"},  # an executor too
    "hospital/contact_sheet.py": {"PIL"},
    "hospital/drift.py": {"scipy"},
    "hospital/executor.py": {"nvflare"},  # the one door through which NVFlare reaches images
    "hospital/expectations.py": {"pandas"},
    "hospital/key_vault.py": {"azure"},
    "hospital/manifest.py": {"pyarrow"},
    "hospital/open_images.py": {"PIL"},
    "hospital/packaging.py": {"onnxruntime"},
    "hospital/private_fit.py": {"opacus"},
    "hospital/private_training.py": {"opacus"},
    "hospital/references.py": {"pandas"},
    "hospital/validation.py": {"pandas"},
    "hospital/weights.py": {"safetensors"},
    "posture/canaries.py": {"numpy"},
    "privacy/encrypted_sums.py": {"tenseal"},
    "posture/canary_pictures.py": {"numpy"},
    "posture/dense_network.py": {"numpy"},
    "posture/keeping_controller.py": {"numpy", "nvflare"},
    "posture/kept.py": {"numpy"},
    "posture/update_attacks.py": {"numpy", "scipy"},
    # What stands in for a hospital, and for who is none, speaks NVFlare's own language.
    "posture/canary_executor.py": {"nvflare"},
    "posture/knocking.py": {"nvflare", "msgpack"},
    "posture/strangers.py": {"nvflare"},
    "reporting/canvas.py": {"PIL"},
    "reporting/comparison_words.py": {"yaml"},
    "resources/artifact_store.py": {"upath"},
    "resources/azure_clients.py": {"azure"},
    "resources/azure_jobs.py": {"azure"},
    "resources/azure_machine.py": {"azure"},
    "resources/azure_messages.py": {"azure"},
    "resources/azure_refusals.py": {"azure"},
    "resources/compute_logs.py": {"azure"},
    "resources/container_apps.py": {"azure"},
    "resources/instance.py": {"sqlalchemy"},  # what a full disk shows as
    "resources/orchestrator_container.py": {"azure", "upath"},
    "resources/quick_tables.py": {"sqlalchemy"},  # through which Dagster opens them
    "resources/whole_files.py": {"upath"},
    "resources/datasets.py": {"httpx", "yaml"},
    "resources/federation.py": {"pydantic"},
    "resources/hospital_runner.py": {"pydantic"},
    "resources/mixed_runner.py": {"pydantic"},
    "resources/host_settings.py": {"pydantic"},
    "resources/dead_runs.py": {"psutil"},
    "resources/machine.py": {"psutil"},
    # MLflow copies it beside the weights, and serves with it where fed_assets is not installed.
    "resources/served_model.py": {"torch", "monai", "numpy", "safetensors"},
    "resources/tracking.py": {"numpy"},
    "sandboxes/yaml_file.py": {"yaml"},
    "serving/app.py": {"fastapi", "starlette"},
    "serving/intake.py": {"fastapi", "starlette"},
    "serving/keeper.py": {"onnxruntime"},
    "serving/model.py": {"onnxruntime"},
    "serving/server.py": {"httpx"},
    "serving/smoke.py": {"httpx"},
    "serving/worker.py": {"uvicorn"},
}

# The environment is read in definitions.py and cli/__init__.py; these have a reason of their own.
ENVIRONMENT = {
    "__init__.py": "whether numpy starts threads is decided before it is imported",
    "definitions.py": "the wiring",
    "cli/__init__.py": "the wiring",
    "containers/job_messages.py": "Azure ML tells a job in it as which identity it acts",
    "federation/identity.py": "a forked process gets the environment of its site, built anew",
    "federation/program.py": "which graphics cards there are is passed on",
    "resources/instance.py": "which variables are empty that Dagster's settings name is told",
    "resources/run_process.py": "a job that a person starts gets that person's environment",
    "resources/quiet_mlflow.py": "MLflow's telemetry can be switched off there alone",
}
PICKLES = {"pickle", "cPickle", "dill", "cloudpickle", "joblib", "shelve", "marshal", "_pickle"}


@dataclass(frozen=True)
class Import:
    """One imported module, by its whole name, and whether it is for type checkers alone."""

    name: str
    line: int
    for_types: bool


@dataclass(frozen=True)
class Module:
    """One module of the tree under test."""

    path: str  # under the package, such as "hospital/worker.py"
    name: str  # such as "fed_assets.hospital.worker"
    tree: ast.Module
    lines: int

    @property
    def folder(self) -> str:
        """Returns the row of the table that it belongs to."""
        return self.path.split("/")[0].removesuffix(".py")


def read_modules(root: Path) -> list[Module]:
    modules = []
    for file in sorted(root.rglob("*.py")):
        path = file.relative_to(root).as_posix()
        name = ".".join([PACKAGE, *Path(path).with_suffix("").parts]).removesuffix(".__init__")
        text = file.read_text(encoding="utf-8")
        modules.append(Module(path, name, ast.parse(text), len(text.splitlines())))
    return modules


def imports(module: Module, known: set[str]) -> Iterator[Import]:
    """Yields every import, inside functions and under TYPE_CHECKING too; relative ones resolved."""
    for_types = {
        id(inner)
        for node in ast.walk(module.tree)
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        for inner in ast.walk(node)
    }
    for node in ast.walk(module.tree):
        if isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            package = module.name if module.path.endswith("__init__.py") else parent(module.name)
            for _ in range(node.level - 1):
                package = parent(package)
            source = ".".join(filter(None, [package if node.level else "", node.module]))
            inner = [f"{source}.{alias.name}" for alias in node.names]
            names = [name if name in known or source == PACKAGE else source for name in inner]
        elif is_import_call(node):
            names = [node.args[0].value]  # type: ignore[attr-defined]
        else:
            continue
        for name in dict.fromkeys(names):
            yield Import(name, node.lineno, id(node) in for_types)


def is_import_call(node: ast.AST) -> bool:
    """Returns whether it is `import_module("…")` or `__import__("…")` of a written name."""
    return (
        isinstance(node, ast.Call)
        and ast.unparse(node.func).split(".")[-1] in {"import_module", "__import__"}
        and bool(node.args)
        and isinstance(node.args[0], ast.Constant)
        and isinstance(node.args[0].value, str)
    )


def parent(name: str) -> str:
    return name.rpartition(".")[0]


def table_violations(modules: list[Module]) -> list[str]:
    """Returns every import that neither table allows."""
    known = {module.name for module in modules}
    found = []
    for module in modules:
        for each in imports(module, known):
            top, _, rest = each.name.partition(".")
            if top in sys.stdlib_module_names:
                continue
            if top == PACKAGE:
                target = rest.split(".")[0]
                allowed = target in {"", "__version__", module.folder} | ALLOWED.get(
                    module.folder, set()
                )
            else:
                allowed = top in THIRD_PARTY.get(module.folder, set()) | THIRD_PARTY_OF.get(
                    module.path, set()
                )
            if not allowed:
                found.append(f"{module.path}:{each.line} imports {each.name}")
    return found


def stale_exceptions(modules: list[Module], exceptions: Mapping[str, set[str]]) -> list[str]:
    """Returns the exceptions that no module needs any more."""
    known = {module.name for module in modules}
    used = {
        (module.path, each.name.split(".")[0])
        for module in modules
        for each in imports(module, known)
    }
    return [
        f"{path} no longer imports {name}"
        for path, names in exceptions.items()
        for name in sorted(names)
        if (path, name) not in used
    ]


def import_circles(modules: list[Module]) -> list[list[str]]:
    """Returns the circles of imports between modules; those for type checkers do not count.

    Nor do imports of the package itself, which every module loads before itself.
    """
    known = {module.name for module in modules}
    after: dict[str, set[str]] = {module.name: set() for module in modules}
    for module in modules:
        for each in imports(module, known):
            if each.name in known - {PACKAGE, module.name} and not each.for_types:
                after[module.name].add(each.name)
    circles: list[list[str]] = []
    done: set[str] = set()

    def visit(name: str, trail: list[str]) -> None:
        if name in trail:
            circles.append(trail[trail.index(name) :])
            return
        if name in done:
            return
        for following in sorted(after[name]):
            visit(following, [*trail, name])
        done.add(name)

    for name in sorted(after):
        visit(name, [])
    return circles


def shape_violations(modules: list[Module]) -> list[str]:
    """Returns the modules that are too long, do not say what they are, or have a name for all."""
    found = []
    for module in modules:
        most = MOST_LINES_OF.get(module.path, MOST_LINES)
        if module.lines > most:
            found.append(f"{module.path} has {module.lines} lines, and {most} are the most")
        if not ast.get_docstring(module.tree):
            found.append(f"{module.path} has no docstring")
        for part in Path(module.path).with_suffix("").parts:
            if part.strip("_") in FORBIDDEN_NAMES:
                found.append(f"{module.path} is named {part}, which says nothing")
    return found


def environment_reads(modules: list[Module]) -> list[str]:
    """Returns where the environment is read or written outside the modules that may."""
    names = {"environ", "environb", "getenv", "getenvb", "putenv"}
    found = []
    for module in modules:
        for node in ast.walk(module.tree):
            attribute = isinstance(node, ast.Attribute) and node.attr in names
            imported = (
                isinstance(node, ast.ImportFrom)
                and node.module == "os"
                and bool(names & {alias.name for alias in node.names})
            )
            if (attribute or imported) and module.path not in ENVIRONMENT:
                found.append(f"{module.path}:{node.lineno} touches the environment")  # type: ignore[attr-defined]
    return found


def pickles(modules: list[Module]) -> list[str]:
    """Returns where something is imported that unpickles, or is told to."""
    known = {module.name for module in modules}
    found = [
        f"{module.path}:{each.line} imports {each.name}"
        for module in modules
        for each in imports(module, known)
        if each.name.split(".")[0] in PICKLES
    ]
    for module in modules:
        for node in ast.walk(module.tree):
            if isinstance(node, ast.Call):
                called = ast.unparse(node.func)
                told = {word.arg: ast.unparse(word.value) for word in node.keywords}
                if called in {"torch.load", "torch.save"} or told.get("allow_pickle") == "True":
                    found.append(f"{module.path}:{node.lineno} calls {called}")
    return found


@pytest.fixture(scope="module")
def modules() -> list[Module]:
    return read_modules(ROOT)


def test_every_folder_stands_in_the_table(modules: list[Module]) -> None:
    assert {module.folder for module in modules} <= set(ALLOWED)
    assert len(modules) > 50


def test_the_table_runs_down_only() -> None:
    floors: dict[str, int] = {}
    while len(floors) < len(ALLOWED):
        ready = [row for row in ALLOWED if row not in floors and ALLOWED[row] <= floors.keys()]
        assert ready, f"the table itself has a circle among {ALLOWED.keys() - floors.keys()}"
        floors |= dict.fromkeys(ready, len(floors))
    for row, allowed in ALLOWED.items():
        assert "hospital" not in allowed, f"{row} looks behind the wall"


def test_imports_obey_the_table(modules: list[Module]) -> None:
    assert table_violations(modules) == []


def test_no_exception_has_outlived_its_need(modules: list[Module]) -> None:
    assert stale_exceptions(modules, THIRD_PARTY_OF) == []


def test_there_are_no_import_circles(modules: list[Module]) -> None:
    assert import_circles(modules) == []


def test_modules_are_short_and_say_what_they_are(modules: list[Module]) -> None:
    assert shape_violations(modules) == []


def test_the_environment_is_read_where_it_may_be(modules: list[Module]) -> None:
    assert environment_reads(modules) == []


def test_nothing_pickles(modules: list[Module]) -> None:
    assert pickles(modules) == []


@pytest.fixture
def planted(tmp_path: Path) -> Path:
    """Returns a small tree that obeys every rule, to plant violations in."""
    for path, text in {
        "__init__.py": "",
        "errors.py": "",
        "hospital/__init__.py": "",
        "hospital/worker.py": "import json\nimport torch\nfrom fed_assets import errors\n",
        "hospital/executor.py": "import nvflare.apis\nfrom fed_assets.hospital import worker\n",
        "resources/__init__.py": "",
        "resources/door.py": "def open():\n    import dagster\n",
        "cli/__init__.py": "import os\nimport typer\nos.environ.get('HOME')\n",
    }.items():
        put(tmp_path, path, text)
    return tmp_path


def put(root: Path, path: str, text: str) -> None:
    (root / path).parent.mkdir(exist_ok=True)
    (root / path).write_text(f'"""A module."""\n{text}')


def everything_found(root: Path) -> list[str]:
    modules = read_modules(root)
    return [
        *table_violations(modules),
        *(" -> ".join(circle) for circle in import_circles(modules)),
        *shape_violations(modules),
        *environment_reads(modules),
        *pickles(modules),
    ]


def test_a_tree_that_obeys_passes(planted: Path) -> None:
    assert everything_found(planted) == []


@pytest.mark.parametrize(
    ("path", "text", "found"),
    [
        ("resources/a.py", "import fed_assets.hospital.worker\n", "fed_assets.hospital.worker"),
        ("resources/a.py", "from fed_assets.hospital import worker\n", "fed_assets.hospital"),
        ("resources/a.py", "from fed_assets import hospital\n", "fed_assets.hospital"),
        ("resources/a.py", "from ..hospital import worker\n", "fed_assets.hospital"),
        ("resources/a.py", "from .. import hospital\n", "fed_assets.hospital"),
        ("resources/a.py", "def f():\n    from fed_assets.hospital import worker\n", "hospital"),
        (
            "resources/a.py",
            "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n"
            "    from fed_assets.hospital.worker import Identity\n",
            "fed_assets.hospital.worker",
        ),
        (
            "resources/a.py",
            "from importlib import import_module\nimport_module('fed_assets.hospital.worker')\n",
            "fed_assets.hospital.worker",
        ),
        ("cli/__init__.py", "import fed_assets.hospital.worker\n", "fed_assets.hospital.worker"),
        ("hospital/a.py", "def f():\n    import dagster\n", "imports dagster"),
        ("hospital/a.py", "from mlflow import log_metric\n", "imports mlflow"),
        ("hospital/a.py", "import nvflare\n", "imports nvflare"),
        ("hospital/a.py", "from fed_assets.resources import door\n", "fed_assets.resources"),
        ("hospital/a.py", "from fed_assets import defs\n", "imports fed_assets.defs"),
        ("errors.py", "import numpy\n", "imports numpy"),
        ("unheard_of/a.py", "import fed_assets.errors\n", "imports fed_assets.errors"),
        ("hospital/utils.py", "", "named utils"),
        ("hospital/base/a.py", "", "named base"),
        ("hospital/a.py", "x = 1\n" * MOST_LINES, "has 261 lines"),
        ("hospital/a.py", "import os\nos.environ['X']\n", "touches the environment"),
        ("hospital/a.py", "import os as o\no.getenv('X')\n", "touches the environment"),
        ("hospital/a.py", "from os import environ\n", "touches the environment"),
        ("hospital/a.py", "def f():\n    import pickle\n", "imports pickle"),
        ("hospital/a.py", "from joblib import load\n", "imports joblib"),
        ("hospital/a.py", "import torch\ntorch.load('x')\n", "calls torch.load"),
        ("hospital/a.py", "import numpy as n\nn.load('x', allow_pickle=True)\n", "calls n.load"),
        (
            "hospital/worker.py",
            "from fed_assets.hospital.executor import x\n",
            "fed_assets.hospital.executor -> fed_assets.hospital.worker",
        ),
    ],
)
def test_a_planted_violation_is_found(planted: Path, path: str, text: str, found: str) -> None:
    put(planted, path, text)
    assert any(found in each for each in everything_found(planted))


def test_a_module_that_says_nothing_of_itself_is_found(planted: Path) -> None:
    (planted / "hospital" / "a.py").write_text("x = 1\n")
    assert everything_found(planted) == ["hospital/a.py has no docstring"]


def test_a_circle_for_type_checkers_alone_is_none(planted: Path) -> None:
    text = (
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    import fed_assets.hospital.executor\n"
    )
    put(planted, "hospital/worker.py", text)
    assert everything_found(planted) == []


def test_a_stale_exception_is_found(planted: Path) -> None:
    modules = read_modules(planted)
    exceptions = {"hospital/executor.py": {"nvflare", "yaml"}, "hospital/gone.py": {"PIL"}}
    assert stale_exceptions(modules, exceptions) == [
        "hospital/executor.py no longer imports yaml",
        "hospital/gone.py no longer imports PIL",
    ]
