"""Modules that are imported once, before any process of the federation is forked."""

from __future__ import annotations

import gc
import importlib
import inspect
import os
import pkgutil
import sys
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

from fed_assets.errors import FederationDidNotStart
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.site import SITE_MODULES
from fed_assets.sandboxes.controls import UpdateProtection
from fed_assets.sandboxes.protection import Protection

# Each process would otherwise import all of them when it opens its first connection.
_DRIVERS = "nvflare.fuel.f3.drivers"
FEDERATION_MODULES = (
    *SITE_MODULES,
    "cryptography.hazmat.backends.openssl.backend",
    "encodings.cp437",
    "encodings.idna",
    "numpy",
    "safetensors.numpy",
    "nvflare.apis.impl.job_def_manager",
    "nvflare.app_common.job_schedulers.job_scheduler",
    "nvflare.app_common.resource_consumers.gpu_resource_consumer",
    "nvflare.app_common.resource_managers.gpu_resource_manager",
    "nvflare.app_common.state_persistors.storage_state_persistor",
    "nvflare.app_common.decomposers.numpy_decomposers",
    "nvflare.app_common.storages.filesystem_storage",
    "nvflare.fuel.utils.fobs.decomposers.core_decomposers",
    "fed_assets.federation.carried",
    "fed_assets.federation.controller",
    "fed_assets.federation.launcher",
    "fed_assets.federation.nvflare_process",
    "fed_assets.federation.tls",
    _DRIVERS,
)
_PREDICTING = ("torch", "monai.bundle.config_parser", "pyarrow.dataset")
# An optimizer imports `torch._dynamo` when it is first built, which takes a second.
_TRAINING = ("torch.optim", "torch._dynamo")
# Beside them, where the update is protected so.
_PROTECTING = {
    UpdateProtection.DIFFERENTIAL_PRIVACY: ("opacus",),
    UpdateProtection.HOMOMORPHIC_ENCRYPTION: ("tenseal",),
}
# MONAI imports them where they are installed, which takes 2 s; hospitals have no use for them.
_OPTIONAL = {"matplotlib", "mlflow"}
# By who takes them: MONAI (0.8 s) for transforms, readers of files, downloads and plots, none of
# them networks; Great Expectations (0.8 s) for tables that are elsewhere.
_OPTIONAL_TO = {
    "monai": {
        "jsonschema",
        "pydicom",
        "requests",
        "scipy.ndimage",
        "scipy.optimize",
        "scipy.signal",
        "scipy.spatial",
        "sklearn",
    },
    "great_expectations": {"azure", "sqlalchemy"},
}


def modules_of(plan: FederationPlan) -> list[str]:
    """Returns the names of what a plan's hospitals will import beside `FEDERATION_MODULES`.

    Where the executor needs no torch, neither does the template: none is preloaded then.
    """
    network = str(plan.network.get("_target_", ""))
    learning = learning_modules(network) if _module_of(network) else []
    protection = Protection.of(plan.update_protection).kind
    return [*learning, *protecting_modules(protection), _module_of(plan.executor)]


def learning_modules(network: str) -> list[str]:
    """Returns the names of what a federation's hospitals train with, for a network's whole name."""
    return ["nvflare.app_common.executors.client_api_executor", *training_modules(network)]


def training_modules(network: str) -> list[str]:
    """Returns the names of what training will import, for a network's whole name."""
    return [*predicting_modules(network), *_TRAINING]


def predicting_modules(network: str) -> list[str]:
    """Returns the names of what predicting will import, for a network's whole name."""
    return [*_PREDICTING, _module_of(network)]


def protecting_modules(protection: UpdateProtection) -> list[str]:
    """Returns the names of what protecting an update will import."""
    return list(_PROTECTING.get(protection, ()))


def _module_of(name: str) -> str:
    return name.rpartition(".")[0]


def preload(names: Iterable[str]) -> dict[str, str]:
    """Imports modules, and keeps their objects from garbage collection, so that forks share them.

    Returns:
        Why each of those that could not be imported could not. It is no failure here: the process
        that needs one of them will say so itself.
    """
    failures = {}
    gc.disable()  # modules keep what they make: looking through it time and again took a fifth
    for name in names:
        try:
            with _hidden(_OPTIONAL | _OPTIONAL_TO.get(name.partition(".")[0], set())):
                module = importlib.import_module(name)
                for inner in pkgutil.iter_modules(module.__path__) if name == _DRIVERS else ():
                    importlib.import_module(f"{name}.{inner.name}")
        except Exception as error:
            failures[name] = f"{type(error).__name__}: {error}"
    # NVFlare does it in every process of a job; its walk through all modules is then done already.
    if "nvflare" in sys.modules:
        inspect.stack()
    gc.collect()
    gc.freeze()
    gc.enable()
    return failures


@contextmanager
def _hidden(names: set[str]) -> Iterator[None]:
    """Has imports find no module of these names, but for what is loaded already."""
    hidden = names - sys.modules.keys()
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # how Python hides one from imports
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]


def check_forkable(ours: Collection[int]) -> None:
    """Makes sure that forking is safe and passes nothing on: one thread, no open file but ours.

    gRPC, once in use, has threads and descriptors of its own and does not survive a fork.

    Args:
        ours: The descriptors that may be open beside stdin, stdout and stderr.

    Raises:
        FederationDidNotStart: An import left more.
    """
    threads = len(os.listdir("/proc/self/task"))
    # Listing the folder takes a descriptor itself.
    listed = [int(name) for name in os.listdir("/proc/self/fd")]
    files = [number for number in listed if os.path.exists(f"/proc/self/fd/{number}")]
    beyond = sorted(set(files) - {0, 1, 2, *ours})
    if threads != 1 or beyond:
        opened = ", ".join(os.readlink(f"/proc/self/fd/{number}") for number in beyond)
        raise FederationDidNotStart(
            "The template cannot be forked",
            seen=f"{threads} threads; open: {opened or 'nothing more'}",
            cure="Report it: a preloaded module has opened a file or started a thread",
        )
