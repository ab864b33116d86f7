"""What NVFlare's own processes load."""

from __future__ import annotations

import subprocess
import sys

import pytest

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
