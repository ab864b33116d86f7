"""What NVFlare's own processes load, and how often."""

from __future__ import annotations

import subprocess
import sys

import pytest
from nvflare.lighter.utils import generate_keys, serialize_pri_key

# What the server's process of a job calls as the job ends.
ENDING = """
import sys
from nvflare.apis.fl_context import FLContext
from nvflare.apis.impl.wf_comm_server import WFCommServer
from fed_assets.federation import nvflare_process
{first}
WFCommServer()._cleanup_inflight_tensor_downloads(FLContext())
print("torch" in sys.modules)
"""


@pytest.mark.parametrize(
    ("first", "torch"), [("nvflare_process.send_no_tensors()", False), ("", True)]
)
def test_a_job_ends_without_torch_where_nothing_learns(first, torch):
    script = ENDING.format(first=first)
    ended = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert (ended.stdout.strip(), ended.returncode) == (str(torch), 0), ended.stderr


READING = """
import sys
from pathlib import Path
from nvflare.fuel.f3.cellnet.credential_manager import CredentialManager
from nvflare.lighter.utils import load_private_key_file
from fed_assets.federation import nvflare_process
{first}
manager = CredentialManager.__new__(CredentialManager)
manager.local_key = Path(sys.argv[1]).read_bytes()
print(manager.get_local_key() is manager.get_local_key() is load_private_key_file(sys.argv[1]))
print(load_private_key_file(sys.argv[1]) is load_private_key_file(sys.argv[2]))
"""


@pytest.mark.parametrize(
    ("first", "once"), [("nvflare_process.read_keys_once()", True), ("", False)]
)
def test_a_process_reads_its_key_once_and_another_as_another(tmp_path, first, once):
    files = [tmp_path / name for name in ("own.key", "other.key")]
    for file in files:
        file.write_bytes(serialize_pri_key(generate_keys()[0]))
    script = READING.format(first=first)
    ended = subprocess.run(
        [sys.executable, "-c", script, *files], capture_output=True, text=True, check=False
    )
    assert ended.stdout.split() == [str(once), "False"], ended.stderr
