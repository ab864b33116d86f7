"""What processes are forked from: templates for data, for learning, for stores and for budgets."""

from __future__ import annotations

import threading
from pathlib import Path

from fed_assets.errors import ProcessNotStarted
from fed_assets.federation.origin import Origin, open_origin
from fed_assets.federation.preload import (
    FEDERATION_MODULES,
    learning_modules,
    predicting_modules,
    protecting_modules,
    training_modules,
)
from fed_assets.federation.walls import Walls
from fed_assets.resources.confinement import own_confinement
from fed_assets.resources.home import StoredOn
from fed_assets.resources.jobs import AUDIT, COMPARISON, LIFECYCLE, REFERENCES
from fed_assets.resources.worker_process import WORKER
from fed_assets.sandboxes.controls import UpdateProtection

# Plants a canary: of the store alone, but in a run that does more the other templates are open.
PLANT = "plant_canary"
PRIVATE = UpdateProtection.DIFFERENTIAL_PRIVACY
# A run begins with what needs no torch, and what does loads meanwhile.
DATA_TASKS = {"prepare_images", "contact_sheet", "validate_images", "clear_away", PLANT}
DATA_TASKS |= {"compare_images"}
# Of the store alone, and of what a source's files are: what is asked for beside any run.
STORE_TASKS = {"show_outbox", "rotate_key", "show_budget", "look_at_source"}
STORE_TASKS |= {"approve_code", "show_approval"}
# A run asks for it among tasks that learn; beside runs, what learns would take too long to load.
CHECK_BUDGET = "check_budget"
IMAGES_FIRST = {LIFECYCLE, REFERENCES}
DATA_MODULES = (
    WORKER,
    "fed_assets.hospital.images",
    "fed_assets.hospital.contact_sheet",
    "fed_assets.hospital.validation",
    "great_expectations",
    "pandas",  # pyarrow imports both as soon as it reads or writes a manifest
    "pyarrow.dataset",
)
# Beside what a federation needs: what its session imports, and a hospital that evaluates.
LEARNING_MODULES = (
    WORKER,
    "fed_assets.hospital.evaluation",
    "fed_assets.hospital.executor",
    "fed_assets.resources.session_child",
    "nvflare.fuel.flare_api.flare_api",
    "nvflare.lighter.provisioner",
)
# What learns, and what attacks what was learned, where there is no federation: half of the above.
TRAINING_MODULES = (WORKER, "fed_assets.hospital.evaluation", "fed_assets.hospital.reference")
ATTACKING_MODULES = (WORKER, "fed_assets.hospital.evaluation", "fed_assets.hospital.membership")


class Templates:
    """Opens each template when it is first wanted, and another one where it has broken.

    Args:
        temporary: folder for what an import may write; made if there is none.
        network: the whole name of the network that hospitals will train.
        stored_on: where hospitals keep what lasts.

    Attributes:
        walls: what their sites stand behind; set it before the first is opened.
    """

    def __init__(self, temporary: Path, network: str, stored_on: str = StoredOn.DISK) -> None:
        self.walls: Walls | None = None
        self._temporary = temporary
        self._modules: dict[str, tuple[str, ...]] = {
            "store": (WORKER,),
            "budget": (WORKER, "fed_assets.hospital.budget", *protecting_modules(PRIVATE)),
            "data": DATA_MODULES,
            "learning": (*LEARNING_MODULES, *FEDERATION_MODULES, *learning_modules(network)),
        }
        self._without_federation: dict[str, tuple[str, ...]] = {
            REFERENCES: (*TRAINING_MODULES, *training_modules(network)),
            COMPARISON: (*ATTACKING_MODULES, *predicting_modules(network)),
        }
        self._everywhere = ("azure.storage.blob",) if stored_on == StoredOn.BLOB else ()
        self._protecting: list[str] = []
        self._opened: dict[str, Origin] = {}
        self._opening = threading.Lock()

    def expect(self, protection: UpdateProtection) -> None:
        """Has what learns load what protects updates too; say it before the first is opened."""
        self._protecting = protecting_modules(protection)

    def open(self, job: str = "") -> None:
        """Has those that a run of a job needs load their modules, while other work goes on.

        One that is not opened here opens when a task first wants it. A run that begins with images
        has what prepares them load alone, and the rest with `load`: side by side, two take twice as
        long, and it waits for the first.
        """
        # An audit needs no images, and a comparison mostly compares what is known already.
        surely: dict[str, tuple[str, ...]] = {AUDIT: ("store",), COMPARISON: ()}
        if job in self._without_federation:
            self._modules["learning"] = self._without_federation[job]
        for name in surely.get(job, ("data", "learning")):
            self._origin(name, at_once=name == "data" or job not in IMAGES_FIRST)

    def load(self) -> None:
        """Has all that are open load, if they do not yet."""
        for opened in list(self._opened.values()):
            opened.load()

    def for_task(self, task: str) -> Origin:
        """Returns what starts the process of a worker's task."""
        if task in STORE_TASKS or (task == PLANT and "store" in self._opened):
            return self._origin("store")
        if task == CHECK_BUDGET and "learning" not in self._opened:
            return self._origin("budget")
        return self._origin("data" if task in DATA_TASKS else "learning")

    def for_federation(self) -> Origin:
        """Returns what starts a federation's processes."""
        return self._origin("learning")

    @property
    def opened(self) -> bool:
        """Returns whether any is open."""
        return bool(self._opened)

    def close(self) -> None:
        """Ends the templates, and all that was forked from them."""
        while self._opened:
            self._opened.popitem()[1].close()

    def _origin(self, name: str, *, at_once: bool = True) -> Origin:
        with self._opening:
            opened = self._opened.get(name)
            if opened is None or opened.broken():
                if opened is not None:
                    opened.close()
                if self.walls is not None and own_confinement() is not None:
                    raise ProcessNotStarted(
                        "The process that all others are forked from has ended, and what it takes "
                        "to start another was given up",
                        cure="Run again; `--job retrain` goes on after the last whole round",
                    )
                self._temporary.mkdir(parents=True, exist_ok=True, mode=0o700)
                also = self._protecting if name == "learning" else ()
                self._opened[name] = open_origin(
                    (*self._modules[name], *self._everywhere, *also),
                    self._temporary,
                    walls=self.walls,
                    at_once=at_once,
                )
            return self._opened[name]
