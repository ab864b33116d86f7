"""The names of the jobs, by which commands start them and runs know what they are part of."""

from __future__ import annotations

LIFECYCLE = "federated_lifecycle"
# Goes on from a failed run by itself, as do the runs that sensors and schedules ask for; every
# other starts anew, unless it is Dagster's re-execution of one.
RETRAIN = "retrain"
# Judges the last model anew, packages it, and has it serve where its gates are open.
DEPLOYMENT = "deployment"
AUDIT = "security_audit"
REFERENCES = "references"
COMPARISON = "comparison"
# Of the lanes whose images are new, and all that follows: what sensors and schedules ask for.
NEW_IMAGES = "take_up_new_images"
