"""The registry of models: versions come into it, and one of them is chosen to serve.

MLflow's alias `champion` is the one truth of which version serves; the log beside the versions
tells how it came to that. Whatever changes either does so under one lock, and where one of the two
cannot be written the other stays as it was.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

from fed_assets.errors import PromotionRefused, StorageError
from fed_assets.registry.gate import Gate
from fed_assets.registry.promotions import Event, append, hold, make_folder
from fed_assets.registry.refusals import Standing, gates_refusal, refusal_of, require_reasons
from fed_assets.registry.version import ModelVersion
from fed_assets.resources.known_models import RETIRED, KnownModels
from fed_assets.resources.model_folders import folder_of, remove_folder, write_folder
from fed_assets.resources.registered_models import (
    CHALLENGER,
    CHAMPION,
    DIGEST,
    RUN,
    create_version,
    model_name,
    point,
    tag,
    tags_of,
    writing,
)

if TYPE_CHECKING:
    from pathlib import Path

WAIT_SECONDS = 30.0  # for a run that registers: it is not given up for a moment's sake


@dataclass(frozen=True)
class ModelRegistry(KnownModels):
    """The registered versions of a home's sandboxes, and who decides which one serves."""

    def register(self, record: ModelVersion, run: str, *, weights: Path, by: str = "") -> int:
        """Registers a run's model as the challenger; returns its version.

        The same run and weights give the same version, however often they are registered.

        Args:
            record: What made it; its `version` is not looked at.
            run: The MLflow run that logged its model.
            weights: Its safetensors file, which is copied.
            by: Who does it; the run, if nobody is named.

        Raises:
            PromotionRefused: Somebody else holds the registry for long.
            StorageError: It cannot be reached or written; then nothing is registered.
        """
        sandbox, models = record.sandbox, self.home.models(record.sandbox)
        by = by or f"run {record.run_id[:8]}"
        tags = {RUN: record.run_id, DIGEST: record.weights_digest}
        make_folder(models)
        with (
            writing(self.home.tracking) as client,
            self._held(sandbox, by, "registers a version", WAIT_SECONDS),
            ExitStack() as undo,
        ):
            known = tags_of(self.home.tracking, sandbox)
            found = [each for each in known if tags.items() <= known[each].items()]
            if found:
                version = found[0]
            else:
                made_up = {"synthetic": "yes"} if record.synthetic else {}
                told = tags | made_up  # MLflow's own page shall not pass it for a patient's
                version = create_version(client, sandbox, run, told, self.home.tracking)
                undo.callback(client.delete_model_version, model_name(sandbox), str(version))
            if not folder_of(models, version).exists():
                undo.callback(remove_folder, models, version)
            write_folder(models, record.numbered(version), weights)
            if version != self.champion(sandbox) and version not in self.kept_out(sandbox):
                self._point(undo, sandbox, CHALLENGER, version)
            if not any(each.event == "registered" for each in self.history(sandbox).of(version)):
                champion = self.champion(sandbox)
                append(models, [Event("registered", version, by, "", champion, champion)])
            undo.pop_all()
        return version

    def keep_judgement(
        self, sandbox: str, version: int, gates: Sequence[Gate], *, against: int | None, by: str
    ) -> None:
        """Keeps what the gates came to, beside the champion that the version was compared with.

        Raises:
            PromotionRefused: Somebody else holds the registry for long.
            StorageError: The log cannot be written.
        """
        failed = [f"{gate.name}: {gate.said}" for gate in gates if not gate.passed]
        why = "; ".join(failed) or "every gate was passed"
        records = tuple(gate.as_record() for gate in gates)
        with self._held(sandbox, by, f"judges version {version}", WAIT_SECONDS):
            event = Event("judged", version, by, why, against, against, records)
            append(self.home.models(sandbox), [event])

    def promote(
        self, sandbox: str, version: int, by: str, why: str, *, waived: Collection[str] = ()
    ) -> None:
        """Has a version serve; the champion stays as it is.

        Args:
            sandbox: The sandbox.
            version: Which version.
            by: Who decides so.
            why: What for.
            waived: Gates that this person opens, of those that may be.

        Raises:
            PromotionRefused: The version is not there, was retired, is not packaged, is not what
                was signed, was not judged beside the present champion, or did not pass a gate; or
                somebody else is at it. Of the version that serves, that it is not what was signed.
            RunConfigError: Nobody is named, no reason given, or `waived` names what is no gate, or
                one that no person can open.
            StorageError: The registry cannot be reached or written; what served serves on.
        """
        require_reasons(by, why)
        wrong = gates_refusal(waived)
        if wrong and version not in self.versions(sandbox):
            raise wrong  # there is nothing that it could be logged of
        with self._held(sandbox, by, f"promotes version {version}"):
            standing = self._standing(sandbox, version)
            champion = standing.champion
            if refusal := wrong or refusal_of(sandbox, standing, waived):
                wish = f" and {', '.join(waived)} opened" if waived else ""
                said = f"{refusal.what}. {refusal.seen}. It was wanted{wish}: {why}"
                event = Event("refused", version, by, said, champion, champion)
                append(self.home.models(sandbox), [event])
                raise refusal
            if champion == version:
                return
            opened = [
                Event("waived", version, by, why, champion, champion, (gate.as_record(),))
                for gate in standing.failed
            ]
            self._switch(sandbox, [*opened, Event("promoted", version, by, why, champion, version)])

    def rollback(
        self, sandbox: str, by: str, why: str, *, of: int | None = None
    ) -> tuple[int, int | None]:
        """Has the former champion serve again; returns which served, and which serves now.

        A former champion that was retired, or has no package, or whose package or records are not
        what was signed, is passed over; see `former`.

        Args:
            sandbox: The sandbox.
            by: Who decides so.
            why: What for.
            of: Only where this version serves; then who is at it is waited for, and without a
                former one none serves. Without `of` it is whichever serves, and nobody rolls back
                what somebody else is promoting.

        Raises:
            PromotionRefused: None serves, or another than `of`; there is no former one; or somebody
                else is at it.
            RunConfigError: Nobody is named, or no reason given.
            StorageError: The registry cannot be reached or written; what served serves on.
        """
        require_reasons(by, why)
        with self._held(sandbox, by, "rolls back", 0 if of is None else WAIT_SECONDS):
            champion, (former, passed) = self.champion(sandbox), self.former(sandbox)
            if champion is None or of not in (None, champion) or not (of or former):
                serves = "no version" if champion is None else f"version {champion}"
                wanted = "" if of in (None, champion) else f", and not version {of}"
                before = "" if wanted else ", and none did before that still may"
                before += "".join(f"; version {each}: {said}" for each, said in passed.items())
                raise PromotionRefused(
                    f"There is nothing to roll back in {sandbox}",
                    seen=f"{serves} serves{wanted}{before}",
                    cure=f"Look at `fed-assets models list {sandbox}`: what is not retired and "
                    "passed its gates can be promoted; else train anew",
                )
            after = former or champion
            self._switch(sandbox, [Event("rolled_back", after, by, why, champion, former)])
        return champion, former

    def retire(self, sandbox: str, version: int, why: str, *, by: str = "fed_assets") -> None:
        """Has a version serve never again; where it serves now, the former champion does, or none.

        A version whose own record is damaged is retired as any other.

        Raises:
            PromotionRefused: There is no such version, or somebody else is at it.
            RunConfigError: No reason is given.
            StorageError: The registry cannot be reached or written; what served serves on.
        """
        require_reasons(by, why)
        self.require_known(sandbox, version)
        with self._held(sandbox, by, f"retires version {version}", WAIT_SECONDS):
            if version in self.history(sandbox).retired:
                return
            after = champion = self.champion(sandbox)
            if champion == version:
                after = None
                with suppress(StorageError):  # where it cannot be told which other one may, none
                    after, _ = self.former(sandbox)
            self._switch(sandbox, [Event("retired", version, by, why, champion, after)])

    def _standing(self, sandbox: str, version: int) -> Standing:
        history = self.history(sandbox)
        return Standing(
            version=version,
            champion=self.champion(sandbox),
            retired=self.retired(sandbox).get(version),
            fault=self.fault(sandbox, version),
            packaged=self.is_packaged(sandbox, version),
            judgement=history.judgement(version),
            change=history.change(),
        )

    def _switch(self, sandbox: str, events: Sequence[Event]) -> None:
        """Has the version serve that the last event names, and logs them all; or does nothing."""
        last, folder = events[-1], self.home.models(sandbox)
        missed = self.history(sandbox).missed(last)
        with ExitStack() as undo:
            if last.event == "retired":
                named = self.home.tracking, sandbox, last.version, RETIRED
                tag(*named, last.why[:4000])
                undo.callback(tag, *named, None)
            if last.champion != last.before:
                self._point(undo, sandbox, CHAMPION, last.champion)
            if self.challenger(sandbox) == last.version:
                self._point(undo, sandbox, CHALLENGER, None)
            append(folder, [*missed, *events])
            undo.pop_all()

    def _point(self, undo: ExitStack, sandbox: str, alias: str, version: int | None) -> None:
        before = self._aliases(sandbox).get(alias)
        point(self.home.tracking, sandbox, alias, version)
        undo.callback(point, self.home.tracking, sandbox, alias, before)

    def _held(
        self, sandbox: str, by: str, doing: str, wait_seconds: float = 0
    ) -> AbstractContextManager[None]:
        return hold(self.home.models(sandbox), by=by, doing=doing, wait_seconds=wait_seconds)
