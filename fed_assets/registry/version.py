"""One record per registered version: what made it, and what it was worth when it was made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from fed_assets.errors import StorageError

THE_FEDERATION = "the federation"  # what a shortfall of no hospital alone is said of
LISTS = ("classes", "participants", "shortfalls")
DAMAGED = (
    "Put the file back from a backup, or retire the version: what a model was made of is told there"
)


@dataclass(frozen=True, kw_only=True)
class ModelVersion:
    """A version of a sandbox's model, as it was registered; nothing of it changes after.

    Attributes:
        sandbox: The partition's name.
        version: Its number in the registry, from 1 on; 0 before it is registered.
        run_id: Dagster's run that reported it.
        mlflow_run: The MLflow run that its model is logged in.
        weights_digest: sha256 (hex) of its safetensors file.
        final_digest: Digest of its arrays, by which the rounds' records name it.
        data_digest: Digest over the participants' validated images.
        common_test_digest: Digest of the common test set; None where the roster names none.
        classes: Names of the classes, by label.
        channels: Number of image channels.
        image_size: Pixels a side.
        network: The MONAI config of the network.
        recipe: How each hospital trained in a round.
        threshold: The probability from which on an image counts as positive.
        participants: Hospitals that took part in a round.
        absent: What is said of each hospital of the roster that was not there all the time, be it
            on purpose.
        evaluation: `test`, the metrics on the common test set, and `hospitals`, those on each
            hospital's own test images; each metric has `value`, `low` and `high`.
        controls: The sandbox's controls, as the run was under them.
        epsilon: What each participant had spent of its privacy budget, None where it did not tell;
            None where privacy is not differential.
        epsilon_budget: How much it was allowed; None where privacy is not differential.
        seed: The federation's seed.
        rounds: How many were finished.
        code_version: Of fed_assets: its number, and a digest of its sources.
        synthetic: Whether any image was made up.
        degraded: Whether a hospital was missed.
        shortfalls: Where the federation was less than its roster, as the report says it.
        created: When the report was made, ISO 8601.
    """

    sandbox: str
    version: int
    run_id: str
    mlflow_run: str
    weights_digest: str
    final_digest: str
    data_digest: str
    common_test_digest: str | None
    classes: tuple[str, ...]
    channels: int
    image_size: int
    network: Mapping[str, Any]
    recipe: Mapping[str, Any]
    threshold: float
    participants: tuple[str, ...]
    absent: Mapping[str, str]
    evaluation: Mapping[str, Any]
    controls: Mapping[str, str]
    epsilon: Mapping[str, float | None] | None
    epsilon_budget: float | None
    seed: int
    rounds: int
    code_version: str
    synthetic: bool
    degraded: bool
    shortfalls: tuple[Mapping[str, Any], ...]
    created: str

    def as_record(self) -> dict[str, Any]:
        """Returns it as a JSON-ready object."""
        return asdict(self) | {name: list(getattr(self, name)) for name in LISTS}

    @classmethod
    def from_record(cls, record: Mapping[str, Any], *, where: str = "") -> ModelVersion:
        """Returns the version that `as_record` described; what else stands there is passed by.

        Args:
            record: The object.
            where: The file that it stands in, for a message.

        Raises:
            StorageError: An entry is missing, or is no list that has to be one.
        """
        names = [field.name for field in fields(cls)]
        missing = [name for name in names if name not in record]
        wrong = [name for name in LISTS if not _is_list(record.get(name, []))]
        if missing or wrong:
            raise StorageError(
                "The record of a registered version is damaged",
                where=where,
                seen=f"without {', '.join(missing)}" if missing else f"no list: {', '.join(wrong)}",
                cure=DAMAGED,
            )
        known = {name: record[name] for name in names}
        return cls(**known | {name: tuple(record[name]) for name in LISTS})

    def numbered(self, version: int) -> ModelVersion:
        """Returns it with the number that the registry gave it."""
        return replace(self, version=version)

    @property
    def untested(self) -> dict[str, str]:
        """Returns what is said of each hospital of the roster that did not test it."""
        there = (*self.evaluation["hospitals"], THE_FEDERATION)
        return {name: said for name, said in self.absent.items() if name not in there}

    def figure(self, place: str, metric: str) -> float | None:
        """Returns a metric's value at a hospital, or at `test`; None where there is none."""
        tested: Mapping[str, Any] = self.evaluation
        entry = tested["test"] if place == "test" else tested["hospitals"].get(place, {})
        value: float | None = entry.get(metric, {}).get("value")
        return value


def _is_list(value: Any) -> bool:
    return isinstance(value, Sequence) and not isinstance(value, str)
