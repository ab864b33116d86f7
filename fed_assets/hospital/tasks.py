"""What a hospital's process can be asked to do: each task takes arguments and the store."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from fed_assets.errors import WorkerFailed
from fed_assets.hospital.files import Store
from fed_assets.hospital.store import remove_abandoned, rotate_key

Task = Callable[[Mapping[str, Any], Store], dict[str, Any]]
# What the outbox log calls the tasks and their answers.
WHAT = {
    "prepare_images": "images",
    "validate_images": "validation",
    "look_at_source": "look at the source",
    "compare_images": "comparison with earlier images",
    "contact_sheet": "preview",
    "initial_weights": "initial weights",
    "evaluate": "evaluation",
    "compare_models": "comparison of models",
    "choose_threshold": "threshold",
    "train_reference": "reference model",
    "membership": "attack by membership inference",
    "package_model": "model package",
    "open_test_images": "open test images",
    "show_budget": "privacy budget",
    "check_budget": "reach of the privacy budget",
    "clear_away": "clearing away",
    "rotate_key": "key rotation",
    "plant_canary": "canary",
    "search_store": "search for the canary",
    "tamper": "tampering with the canary",
    "remove_canary": "removal of the canary",
    "knock": "attempt on another's container",
    "use_dead_tokens": "attempt with dead tokens",
}


def find_task(name: object, *, previews: bool) -> Task:
    """Returns a task, after importing what it needs and no more: torch alone takes seconds.

    Args:
        name: What it is called.
        previews: Whether pictures may leave the process.

    Raises:
        WorkerFailed: There is none of that name.
    """
    match name:
        case "prepare_images":
            from fed_assets.hospital.images import prepare_images

            return prepare_images
        case "validate_images":
            from fed_assets.hospital.validation import validate_images

            return validate_images
        case "look_at_source":
            from fed_assets.hospital.looking import look_at_source

            return look_at_source
        case "compare_images":
            from fed_assets.hospital.resemblance import compare_images

            return compare_images
        case "contact_sheet":
            from fed_assets.hospital.contact_sheet import contact_sheet

            return lambda arguments, store: contact_sheet(arguments, store, previews=previews)
        case "initial_weights":
            _one_torch_thread()
            from fed_assets.hospital.network import initial_weights

            return initial_weights
        case "evaluate":
            _one_torch_thread()
            from fed_assets.hospital.evaluation import evaluate

            return evaluate
        case "compare_models":
            _one_torch_thread()
            from fed_assets.hospital.comparing import compare_models

            return compare_models
        case "train_reference":
            _one_torch_thread()
            from fed_assets.hospital.reference import train_reference

            return train_reference
        case "membership":
            _one_torch_thread()
            from fed_assets.hospital.membership import membership

            return membership
        case "choose_threshold":
            _one_torch_thread()
            from fed_assets.hospital.threshold import choose_threshold

            return choose_threshold
        case "package_model":
            _one_torch_thread()
            from fed_assets.hospital.packaging import package_model

            return package_model
        case "open_test_images":
            _one_torch_thread()
            from fed_assets.hospital.open_images import open_test_images

            return open_test_images
        case "show_budget":
            from fed_assets.hospital.budget import show_budget

            return show_budget
        case "check_budget":
            from fed_assets.hospital.budget import check_budget

            return check_budget
        case "clear_away":
            return _clear_away
        case "plant_canary" | "search_store" | "tamper" | "remove_canary":
            from fed_assets.hospital.canary import TASKS

            return TASKS[name]
        case "knock" | "use_dead_tokens":
            from fed_assets.hospital.canary_container import TASKS as ATTEMPTS

            return ATTEMPTS[name]
        case "rotate_key":
            return lambda _, store: {"files": rotate_key(store)}
    raise WorkerFailed(
        "A hospital's process was asked for a task that it does not know",
        seen=str(name)[:40],
        cure="Use the same version of fed_assets on both sides",
    )


def _clear_away(_: Any, store: Store) -> dict[str, Any]:
    remove_abandoned(store)
    return {}


def _one_torch_thread() -> None:
    import torch

    # Hospitals share a machine: two threads each were measured six times slower than one.
    torch.set_num_threads(1)
