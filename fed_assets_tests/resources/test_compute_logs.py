# No `from __future__ import annotations` here: Dagster reads the annotations of asset functions.

from pathlib import Path

import pytest
from dagster import DagsterEventType, DagsterInstance, asset, materialize

from fed_assets.containers.issuing import REVOKED
from fed_assets.containers.place import write_place
from fed_assets.resources.home import COORDINATOR, Home, StoredOn
from fed_assets_tests.azure_storage import Azurite


@asset
def talkative() -> None:
    print("a round begins")


def logged(home: Home) -> tuple[bool, str, str]:
    """Returns whether a run succeeded, what its log is called, and what another process reads."""
    with DagsterInstance.from_config(str(home.instance)) as instance:
        made = materialize([talkative], instance=instance, raise_on_error=False)
        (captured,) = instance.all_logs(made.run_id, of_type=DagsterEventType.LOGS_CAPTURED)
        key = [made.run_id, "compute_logs", captured.dagster_event.logs_captured_data.file_key]
    return made.success, "/".join(key), read(home, key)


def read(home: Home, key: list[str]) -> str:
    with DagsterInstance.from_config(str(home.instance)) as instance:
        logs = instance.compute_log_manager
        assert (
            logs.get_log_metadata(key).stdout_download_url in (None, "") or not home.on_containers
        )
        return (logs.get_log_data(key).stdout or b"").decode()


def test_on_disk_logs_stay_where_dagster_keeps_them(tmp_path: Path) -> None:
    home = Home(tmp_path / "home").prepare()
    assert "compute_logs" not in (home.instance / "dagster.yaml").read_text()
    success, _, told = logged(home)
    assert success
    assert "a round begins" in told


def test_a_steps_log_is_read_on_another_machine(azurite: Azurite, tmp_path: Path) -> None:
    party = azurite.party()
    issued = azurite.issue(party)
    home = Home(tmp_path / "home", StoredOn.BLOB).prepare()
    write_place(home.container(COORDINATOR), issued.own)
    success, name, told = logged(home)
    assert success
    assert "a round begins" in told
    assert {f"logs/storage/{name}.out", f"logs/storage/{name}.err"} <= azurite.names(party)
    settings = (home.instance / "dagster.yaml").read_text()
    assert issued.own.token not in settings
    assert "sig=" not in settings
    other = Home(tmp_path / "other", StoredOn.BLOB).prepare()
    write_place(other.container(COORDINATOR), issued.own)
    assert "a round begins" in read(other, name.split("/"))


@pytest.mark.parametrize("how", ["revoked", "gone", "no file"])
def test_without_the_container_a_run_goes_on_and_its_log_stays(
    azurite: Azurite, tmp_path: Path, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    party = azurite.party()
    issued = azurite.issue(party)
    home = Home(tmp_path / "home", StoredOn.BLOB).prepare()
    if how != "no file":
        write_place(home.container(COORDINATOR), issued.dead[REVOKED])
    if how == "gone":
        azurite.owned(party).delete_container()
    success, _, told = logged(home)
    assert success
    assert "a round begins" in told
    assert "A step's log stays on this machine" in caplog.text
    assert "sig=" not in caplog.text
