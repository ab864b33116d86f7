"""The process that runs a small federation and makes attempts on what passes between its sites.

`python -m fed_assets.posture.transit_process PLAN.json guarded` makes all attempts on a federation
as it is; `open` makes those that need a federation of their own on one whose server has no guard
against copied kits, and whose hospital has no list of classes. NVFlare's session wants a process of
its own.
"""

from __future__ import annotations

import json
import sys
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from fed_assets.errors import JobFailed, QuorumNotMet
from fed_assets.federation.follow import follow_rounds
from fed_assets.federation.job import write_job
from fed_assets.federation.live import check_files, federation_up
from fed_assets.federation.origin import Origin, lent_origin
from fed_assets.federation.plan import FederationPlan
from fed_assets.federation.policies import HOST
from fed_assets.federation.progress import Event, Progress
from fed_assets.federation.site import SITES
from fed_assets.posture.canaries import ARRAY, AUROC, canary, found_in, sign_of
from fed_assets.posture.copied_kit import Login, freeze, log_in_with_copy, take_guard_away
from fed_assets.posture.evidence import Attempt
from fed_assets.posture.joining import try_to_join
from fed_assets.posture.knocking import Impostor, bytes_answered
from fed_assets.posture.observed_run import leave, noted
from fed_assets.posture.relay import Relay, lead_through
from fed_assets.posture.strangers import Strangers, client_context
from fed_assets.posture.submitting import take_list_away, try_to_submit
from fed_assets.posture.tampering import Tampering, flipped, negated, rewritten
from fed_assets.posture.transit_notes import Notes
from fed_assets.posture.transit_runs import CERTIFICATES, COPIES, GUARDED, ROUNDS
from fed_assets.privacy.digests import weights_digest

# In the place of 15 s: until then a hospital whose connection was cut does not send again.
REPLY_SECONDS = 3.0
READ_ROUND, FLIP_ROUND, REWRITE_ROUND = ROUNDS
FLIP, REWRITE = "flip_a_bit", "rewrite_an_update"


@dataclass
class Eavesdropper:
    """Stands between a hospital and the server: as the server first, then as what passes on.

    Attributes:
        plan: The federation's.
        strangers: Whose certificates are tried on it.
        notes: Gets what came of it.
        guarded: Whether the server keeps its guard against copied kits, and the hospital its list.
    """

    plan: FederationPlan
    strangers: Strangers
    notes: Notes
    guarded: bool
    port: int = 0
    _stack: ExitStack = field(default_factory=ExitStack)
    _relay: Relay = field(init=False)
    _impostor: Impostor = field(init=False)
    _tampering: tuple[str, Tampering] | None = None
    _connections: int = 0

    @property
    def hospital(self) -> str:
        """The hospital whose connection it is."""
        return self.plan.hospitals[0]

    def on_event(self, event: Event) -> None:
        """Goes on with what comes next in a federation's run."""
        if event["event"] == "provisioned":
            self._stand_between(event["port"])
        elif event["event"] == "started":
            self._note_impostor()
            self._let_answer(READ_ROUND)
        elif event["event"] == "round":
            self._note_round(event["round"])

    def broke_off(self) -> None:
        """Notes that a round was lost, where that is what a change of its update came to."""
        if self._tampering and self._relay.changed:
            name, tampering = self._tampering
            self.notes.attempt(name, Attempt(False, {**tampering.counts, "round": "lost"}))

    def close(self) -> None:
        """Drops what is left of it."""
        self._stack.close()

    def _stand_between(self, port: int) -> None:
        self._stack.close()
        server = Path(self.plan.folder, SITES, HOST)
        self.strangers.trust(server)
        if not self.guarded:
            take_guard_away(server)
            take_list_away(Path(self.plan.folder, SITES, self.hospital))
        self.port = port
        self._relay = Relay(port)
        lead_through(self._relay, self.plan, self.hospital)
        secured = self.plan.transport == "mtls"
        self._impostor = Impostor(self.strangers.impostor() if secured else None, self._give_way)
        self._stack.callback(self._relay.close)
        self._stack.callback(self._impostor.close)
        # Somebody who trusts any server falls for it.
        bytes_answered(self._impostor.port, self.hospital, client_context() if secured else None)
        (heard,) = self._impostor.heard
        self.notes.control("pose_as_server", Attempt(heard > 0, {"bytes": heard}))
        self._relay.target = self._impostor.port

    def _give_way(self) -> None:
        """Leads the hospital to the server, once it has been with the impostor."""
        if len(self._impostor.heard) > 1:  # the first one was the control
            self._relay.target = self.port

    def _note_impostor(self) -> None:
        _, *heard = self._impostor.heard
        if heard:
            counts = {"connections": len(heard), "bytes": sum(heard)}
            self.notes.attempt("pose_as_server", Attempt(sum(heard) > 0, counts))

    def _let_answer(self, round_number: int) -> None:
        sign_of(Path(self.plan.stores[self.hospital]), round_number).touch()

    def _note_round(self, record: dict[str, Any]) -> None:
        number = record["round_number"]
        if number == READ_ROUND:
            update = canary(self.plan.seed, READ_ROUND)
            if read := found_in(bytes(self._relay.heard), update, self.hospital):
                self.notes.attempt("read_the_wire", read)
            self._tamper(FLIP, flipped())
        else:
            self._note_tampering(record)
            if number == FLIP_ROUND:
                self._tamper(REWRITE, rewritten(canary(self.plan.seed, REWRITE_ROUND)))
        if number != REWRITE_ROUND:
            self._let_answer(number + 1)

    def _tamper(self, name: str, tampering: Tampering) -> None:
        self._tampering, self._connections = (name, tampering), self._relay.connections
        least = canary(self.plan.seed, 0)[ARRAY].nbytes
        self._relay.change_next(tampering, least_bytes=least)

    def _note_tampering(self, record: dict[str, Any]) -> None:
        """Notes whether the round took what was changed; nothing, where nothing was."""
        if not self._tampering or not self._relay.changed:
            return
        (name, tampering), self._tampering = self._tampering, None
        honest = canary(self.plan.seed, record["round_number"])
        seen = {
            "weights": record["global_digest"],
            "auroc": record["participants"][self.hospital]["auroc"],
        }
        took = seen != {"weights": weights_digest(honest), "auroc": AUROC}
        inverted = seen["weights"] == weights_digest(negated(honest))
        counts = {**tampering.counts, "model": "inverted" if inverted else "honest"}
        counts |= {
            "auroc": str(seen["auroc"]),
            "connected_anew": self._relay.connections - self._connections,
        }
        self.notes.attempt(name, Attempt(took, counts))


def observe(plan: FederationPlan, notes: Notes, *, guarded: bool, origin: Origin | None) -> None:
    """Runs a plan's federation, and makes attempts on it.

    Raises:
        FedAssetsError: As `run_federation` does.
    """
    root = Path(plan.folder).parent
    strangers = Strangers.of(plan, root / CERTIFICATES)
    between = Eavesdropper(plan, strangers, notes, guarded)
    progress = Progress(plan, between.on_event)
    check_files(plan)
    with ExitStack() as stack:
        stack.callback(between.close)
        live = stack.enter_context(federation_up(progress, origin))
        job_id = live.admin.submit(_hastened(write_job(plan)))
        try:
            follow_rounds(progress, live.federation, live.admin, job_id)
        except (JobFailed, QuorumNotMet):
            between.broke_off()
        try_to_submit(live, plan, notes)
        freeze(live.federation, between.hospital)
        if guarded:
            try_to_join(plan, between.port, strangers, notes)
        for name in ("use_a_copied_kit", "join_revoked"):
            if name == "join_revoked":
                live.admin.disable(between.hospital)
            came = log_in_with_copy(live.federation, between.hospital, root / COPIES / name)
            if came is Login.NEITHER:
                raise JobFailed("A copied kit's client was neither let in nor refused in time")
            notes.attempt(name, Attempt(came is Login.LOGGED_IN, {"log_in": came}))


def _hastened(job: Path) -> Path:
    """Returns the job, whose hospital sends again soon what went lost."""
    config = job / "app" / "config" / "config_fed_client.json"
    content = json.loads(config.read_text())
    content["submit_task_result_timeout"] = REPLY_SECONDS
    config.write_text(json.dumps(content))
    return job


def main() -> int:
    """Observes the plan that argv names; returns 0, or 1 after noting what went wrong."""
    plan = FederationPlan.read(Path(sys.argv[1]))
    notes = Notes(Path(sys.argv[1]).parent)
    guarded = sys.argv[2] == GUARDED
    return noted(lambda: observe(plan, notes, guarded=guarded, origin=lent_origin()), notes)


if __name__ == "__main__":
    leave(main())
