"""The controls of a sandbox, and the values that each can take."""

from __future__ import annotations

from enum import StrEnum


class Transport(StrEnum):
    """How hospitals and server speak to each other."""

    CLEAR = "clear"
    MTLS = "mtls"


class Storage(StrEnum):
    """How a hospital keeps its files: one store per hospital in either case."""

    PLAIN = "plain"
    SEALED = "sealed"


class KeyCustody(StrEnum):
    """Who can release the key of a sealed store."""

    NONE = "none"
    HOSPITAL = "hospital"
    ATTESTED = "attested"
    AZURE_KEY_VAULT = "azure_key_vault"


class Process(StrEnum):
    """Which process touches a hospital's images: one for all, one of its own, or a confined one."""

    SHARED = "shared"
    OWN = "own"
    CONFINED = "confined"


class Statistics(StrEnum):
    """What a hospital reports of itself."""

    FULL = "full"
    SMALL_COUNTS_SUPPRESSED = "small_counts_suppressed"


# Kinds of source whose classes bear the names of a hospital's own folders, see `Statistics`.
NAMED_BY_FOLDERS = frozenset({"folder", "dicom"})


class JobCode(StrEnum):
    """Whose code may run in a hospital's training job.

    `submitted` jobs may bring code along; `preinstalled` ones may name only classes that the
    hospital has installed and allowed; `measured` ones are moreover compared with a measurement.
    """

    SUBMITTED = "submitted"
    PREINSTALLED = "preinstalled"
    MEASURED = "measured"


class UpdateProtection(StrEnum):
    """What is done to an update before it leaves the hospital."""

    NONE = "none"
    CLIP = "clip"
    DIFFERENTIAL_PRIVACY = "differential_privacy"
    SECURE_AGGREGATION = "secure_aggregation"
    HOMOMORPHIC_ENCRYPTION = "homomorphic_encryption"


class Aggregation(StrEnum):
    """How the server makes one global model of the updates."""

    FEDAVG = "fedavg"
    WEIGHTED_MEDIAN = "weighted_median"
    TRIMMED_MEAN = "trimmed_mean"
    MULTI_KRUM = "multi_krum"
    FEDPROX = "fedprox"
    FEDOPT = "fedopt"
