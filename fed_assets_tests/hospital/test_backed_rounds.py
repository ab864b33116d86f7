"""Rounds of a hospital whose store its own container backs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from nvflare.apis.fl_constant import ReturnCode
from nvflare.apis.shareable import Shareable
from nvflare.apis.signal import Signal
from nvflare.app_common.decomposers import common_decomposers

from fed_assets.containers.issuing import REVOKED
from fed_assets.containers.place import write_place
from fed_assets.hospital.executor import ERROR_HEADER, HospitalExecutor
from fed_assets.privacy.chain import OUTBOX_LOG
from fed_assets_tests.azure_storage import Azurite
from fed_assets_tests.hospital.test_evaluation import a_validated_store
from fed_assets_tests.hospital.test_executor import a_site, a_task


def test_an_update_leaves_only_when_what_was_noted_of_it_lasts(
    azurite: Azurite, tmp_path: Path
) -> None:
    common_decomposers.register()
    party = azurite.party()
    issued = azurite.issue(party)
    store = a_validated_store(tmp_path)
    container = tmp_path / "container.json"
    told: dict[str, Any] = {
        "store": str(store.folder),
        "storage": "plain",
        "key_custody": "none",
        "container": str(container),
    }
    context = a_site(tmp_path, store, told=told)

    def round_with(place: Any) -> Shareable:
        write_place(container, place)
        return HospitalExecutor().execute("train", a_task(), context, Signal())

    assert round_with(issued.own).get_return_code() == ReturnCode.OK
    log = f"hospital_01/{store.folder.name}/{OUTBOX_LOG}"
    assert log in azurite.names(party)
    with azurite.owned(party) as owned:
        assert owned.download_blob(log).readall() == (store.folder / OUTBOX_LOG).read_bytes()
    refused = round_with(issued.dead[REVOKED])
    assert refused.get_return_code() == ReturnCode.EXECUTION_EXCEPTION
    assert refused.get_header(ERROR_HEADER)["kind"] == "AccessRefused"
    azurite.owned(party).delete_container()
    refused = round_with(issued.own)
    assert "lies on this machine" in refused.get_header(ERROR_HEADER)["cure"]
    assert round_with(azurite.issue(party).own).get_return_code() == ReturnCode.OK
    assert log in azurite.names(party)
