"""The names of the jobs, by which commands start them and runs know what they are part of."""

from __future__ import annotations

LIFECYCLE = "federated_lifecycle"
# Goes on from a failed run by itself; every other starts anew, unless it is Dagster's re-execution
# of one.
RETRAIN = "retrain"
AUDIT = "security_audit"
REFERENCES = "references"
COMPARISON = "comparison"
