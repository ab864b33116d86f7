"""What it costs to have hospitals on hosts of their own, 50 ms away.

Three hospitals run the same lifecycle in three ways, in turn and several times over, so that
whatever else the machine does falls on all of them:

- `local`: all three on the orchestrator's machine.
- `hosts`: two of them on hosts of their own, each a network namespace, with no delay.
- `hosts_50_ms`: the same, with 25 ms each way.

Of each are told the seconds of the whole command, and of a round (the median of all but the first,
which waits for what processes load). It takes root and `/dev/net/tun`.

    python -m benchmarks.hosts --pairs 2
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from benchmarks.record import write_record
from fed_assets.federation.roster import read_roster
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets_tests.hosts.hubs import Consortium, consortium
from fed_assets_tests.hosts.network import HUB, Network, network, why_not

PROJECT = Path(__file__).resolve().parent.parent
SANDBOX = "eyes_on"
HOSPITALS = ("north", "east", "south")
ELSEWHERE = ("east", "south")
ONE_WAY_SECONDS = 0.025
PACKAGES = ("fed_assets", "nvflare", "torch")


@contextmanager
def arms(made: Network, folder: Path, rounds: int) -> Iterator[dict[str, Consortium]]:
    """Yields the hub of each arm; the two with hosts are one."""
    with ExitStack() as stack:
        hubs = {}
        for number, (name, elsewhere) in enumerate((("local", ()), ("hosts", ELSEWHERE))):
            own = folder / name
            own.mkdir()
            hubs[name] = stack.enter_context(
                consortium(
                    own,
                    made.start,
                    address=f"{HUB}:{8443 + number}",
                    here=[each for each in HOSPITALS if each not in elsewhere],
                    elsewhere=elsewhere,
                    accepts=[SANDBOX],
                    rounds=rounds,
                    network=dict(read_roster(SHIPPED_ROSTER).network),
                )
            )
        yield {**hubs, "hosts_50_ms": hubs["hosts"]}


def measured(made: Consortium) -> dict[str, float]:
    """Runs a lifecycle, and returns the seconds of all of it and of a round."""
    began = time.monotonic()
    code, told = made.tell("hub", "run", SANDBOX, seconds=1800)
    seconds = time.monotonic() - began
    if code != 0:
        sys.exit(told)
    of_rounds = [float(each["seconds"]) for each in made.rounds(SANDBOX)]
    return {"run_seconds": seconds, "round_seconds": statistics.median(of_rounds[1:])}


def main() -> None:
    """Measures all arms in turn, and writes `benchmarks/results/hosts.json`."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=6)
    options = parser.parse_args()
    if reason := why_not():
        sys.exit(reason)
    found: dict[str, list[dict[str, float]]] = {"local": [], "hosts": [], "hosts_50_ms": []}
    with (
        tempfile.TemporaryDirectory(prefix="fed_assets_") as folder,
        network(ELSEWHERE) as made,
        arms(made, Path(folder), options.rounds) as hubs,
    ):
        for _ in range(options.pairs):
            for name, results in found.items():
                delay = ONE_WAY_SECONDS if name == "hosts_50_ms" else 0.0
                for hospital in ELSEWHERE:
                    made.tell(hospital, f"delay {delay}")
                results.append(measured(hubs[name]))
                print(name, results[-1], flush=True)
    figures: dict[str, Any] = {
        "arms": {
            name: {
                measure: round(statistics.median(each[measure] for each in results), 3)
                for measure in ("run_seconds", "round_seconds")
            }
            | {"all": results}
            for name, results in found.items()
        },
        "hospitals": len(HOSPITALS),
        "elsewhere": len(ELSEWHERE),
        "rounds": options.rounds,
        "round_trip_seconds": 2 * ONE_WAY_SECONDS,
        "load": os.getloadavg()[1],
    }
    write_record(PROJECT / "benchmarks" / "results" / "hosts.json", figures, PACKAGES)
    print({name: each["round_seconds"] for name, each in figures["arms"].items()})


if __name__ == "__main__":
    main()
