"""Our service beside MLflow's own server: one model, two processes each, on this machine's cores.

Each is asked the same 28 x 28 images, one a request, over connections that stay open:

- `start_seconds`: from the command to the first right answer;
- `one_by_one`: one client; milliseconds until the answer is there, median and 99th percentile;
- `at_once`: eight clients; requests a second, and milliseconds. The clients run on the same cores;
- `cpu_ms`: CPU milliseconds that the server's processes spent on a request, which a throttled or
  busy machine lengthens less than the clock.

Ours takes PNG files, MLflow's server a JSON list of pixels. Every answer is compared with torch's.
`inside_ms` is what decoding and inference of one PNG take within our process, without HTTP.

    python -m benchmarks.serving --folder FOLDER_WITH_100_MB_FREE
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import http.client
import io
import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import yaml
from PIL import Image

from benchmarks.record import write_record
from fed_assets.resources.settings import SHIPPED_ROSTER
from fed_assets.serving.keys import public_key, signing_key
from fed_assets.serving.manifest import ModelFacts
from fed_assets.serving.model import Model, load_model
from fed_assets.serving.package import sign_package
from fed_assets.serving.server import ModelServer

PROJECT = Path(__file__).resolve().parent.parent
RESULT = PROJECT / "benchmarks" / "results" / "serving.json"
SERVED_MODEL = PROJECT / "fed_assets" / "resources" / "served_model.py"
SANDBOX, CLASSES, WORKERS, CLIENTS = "minimal", ("normal", "pneumonia"), 2, 8
GOALS = {"median_ms": 5.0, "requests_per_second": 200.0}
Body = tuple[bytes, dict[str, str]]


def make_model(folder: Path, images: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    """Writes the shipped network in both servers' forms; returns torch's probabilities."""
    import torch
    from safetensors.torch import save

    from fed_assets.hospital.coordinator import probabilities_on_cpu
    from fed_assets.hospital.exports import as_onnx
    from fed_assets.hospital.network import build_network

    torch.set_num_threads(1)
    config = yaml.safe_load(SHIPPED_ROSTER.read_text())["network"]
    network = build_network(config, channels=1, classes=2, seed=0).eval()
    weights = save(network.state_dict())
    package = folder / "versions" / "v1" / "package"
    package.mkdir(parents=True)
    (package / "model.onnx").write_bytes(as_onnx(network, channels=1, image_size=28))
    (package / "weights.safetensors").write_bytes(weights)
    facts = ModelFacts(
        sandbox=SANDBOX,
        version=1,
        run_id="benchmark",
        participants={},
        record_digest="",
        lineage_digest="",
        classes=CLASSES,
        channels=1,
        image_size=28,
        threshold=0.5,
        calibration={"value": None, "low": None, "high": None},
        weights_digest=hashlib.sha256(weights).hexdigest(),
        synthetic=False,
        created="",
        versions={},
    )
    sign_package(package, facts, signing_key(folder / "models.key"))
    save_for_mlflow(folder, config, weights)
    return probabilities_on_cpu(network, images[:, None])


def save_for_mlflow(folder: Path, config: dict[str, Any], weights: bytes) -> None:
    os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"
    import mlflow
    from mlflow.models import ModelSignature
    from mlflow.types import Schema, TensorSpec

    (folder / "weights.safetensors").write_bytes(weights)
    settings = {"network": config, "channels": 1, "classes": 2}
    (folder / "network.json").write_text(json.dumps(settings))
    mlflow.pyfunc.save_model(
        str(folder / "mlflow"),
        python_model=str(SERVED_MODEL),
        artifacts={
            "weights": str(folder / "weights.safetensors"),
            "network": str(folder / "network.json"),
        },
        signature=ModelSignature(
            inputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 1, 28, 28))]),
            outputs=Schema([TensorSpec(np.dtype(np.float32), (-1, 2))]),
        ),
        pip_requirements=["mlflow", "monai", "safetensors", "torch"],
    )


def as_form(image: np.ndarray[Any, Any]) -> Body:
    held = io.BytesIO()
    Image.fromarray(image).save(held, "PNG")
    head = b'--b\r\nContent-Disposition: form-data; name="images"; filename="a"\r\n\r\n'
    body = head + held.getvalue() + b"\r\n--b--\r\n"
    return body, {"Content-Type": "multipart/form-data; boundary=b"}


def as_json(image: np.ndarray[Any, Any]) -> Body:
    body = json.dumps({"inputs": image[None, None].tolist()}).encode()
    return body, {"Content-Type": "application/json"}


def of_ours(answer: dict[str, Any]) -> float:
    return float(answer["images"][0]["probabilities"][CLASSES[1]])


def of_mlflow(answer: dict[str, Any]) -> float:
    return float(answer["predictions"][0][1])


@contextlib.contextmanager
def ours(folder: Path, port: int) -> Iterator[int]:
    with ModelServer(
        folder / "versions",
        folder / "models.pub",
        sandbox=SANDBOX,
        champion=lambda: 1,
        barred=dict,
        port=port,
        workers=WORKERS,
    ) as server:
        yield server.pid


@contextlib.contextmanager
def mlflows(folder: Path, port: int) -> Iterator[int]:
    environment = os.environ | {
        "PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}",
        "OMP_NUM_THREADS": "1",
    }
    with (folder / "mlflow.log").open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "mlflow", "models", "serve", "-m", str(folder / "mlflow")),
                *("--env-manager", "local", "-h", "127.0.0.1", "-p", str(port)),
                *("-w", str(WORKERS)),
            ],
            env=environment,
            stdout=log,
            stderr=log,
        )
    try:
        yield process.pid
    finally:
        family = psutil.Process(process.pid).children(recursive=True)
        for each in (process, *family):
            with contextlib.suppress(psutil.NoSuchProcess):
                each.terminate()
        _, alive = psutil.wait_procs(family, timeout=15)
        for each in alive:
            each.kill()
        process.wait(15)


class Client:
    """One connection that stays open."""

    def __init__(self, port: int, path: str) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._path = path

    def ask(self, body: Body) -> dict[str, Any]:
        """Returns the answer to one request."""
        self._connection.request("POST", self._path, *body)
        answer = self._connection.getresponse()
        content = answer.read()
        if answer.status != 200:
            raise RuntimeError(f"{answer.status}: {content[:200]!r}")
        return dict(json.loads(content))


def cpu_seconds(pid: int) -> float:
    total = 0.0
    for each in psutil.Process(pid).children(recursive=True):
        with contextlib.suppress(psutil.NoSuchProcess):
            times = each.cpu_times()
            total += times.user + times.system
    return total


def memory_bytes(pid: int) -> int:
    """Returns the proportional set size of the server's processes: shared pages count once."""
    family = [psutil.Process(pid), *psutil.Process(pid).children(recursive=True)]
    return sum(each.memory_full_info().pss for each in family)


def told(milliseconds: list[float]) -> dict[str, float]:
    return {
        "median_ms": round(float(np.median(milliseconds)), 2),
        "p99_ms": round(float(np.quantile(milliseconds, 0.99)), 2),
    }


def measure(
    start: Callable[[Path, int], contextlib.AbstractContextManager[int]],
    folder: Path,
    path: str,
    bodies: list[Body],
    right: Callable[[dict[str, Any], int], bool],
    *,
    requests: int,
    seconds: float,
) -> dict[str, Any]:
    """Returns what one server came to; ends where an answer is wrong."""
    port, began = free_port(), time.monotonic()
    with start(folder, port) as pid:
        while True:
            with contextlib.suppress(OSError, http.client.HTTPException, RuntimeError):
                if right(Client(port, path).ask(bodies[0]), 0):
                    break
            if time.monotonic() - began > 300:
                sys.exit(f"No server came: {path}")
            time.sleep(0.1)
        start_seconds = time.monotonic() - began

        def ask(client: Client, index: int) -> float:
            at = time.perf_counter()
            answer = client.ask(bodies[index % len(bodies)])
            took = (time.perf_counter() - at) * 1000
            if not right(answer, index % len(bodies)):
                sys.exit(f"A wrong answer: {answer}")
            return took

        client = Client(port, path)
        for index in range(50):
            ask(client, index)
        spent = cpu_seconds(pid)
        alone = [ask(client, index) for index in range(requests)]
        spent_alone = cpu_seconds(pid) - spent

        times: list[list[float]] = [[] for _ in range(CLIENTS)]
        over = threading.Event()

        def keep_asking(number: int) -> None:
            one, index = Client(port, path), number
            while not over.is_set():
                times[number].append(ask(one, index))
                index += 1

        threads = [threading.Thread(target=keep_asking, args=(n,)) for n in range(CLIENTS)]
        spent, at = cpu_seconds(pid), time.monotonic()
        for each in threads:
            each.start()
        time.sleep(seconds)
        over.set()
        for each in threads:
            each.join()
        took, spent_together = time.monotonic() - at, cpu_seconds(pid) - spent
        together = [each for row in times for each in row]
        return {
            "start_seconds": round(start_seconds, 1),
            "memory_mb": round(memory_bytes(pid) / 2**20),
            "one_by_one": {
                **told(alone),
                "cpu_ms": round(spent_alone / len(alone) * 1000, 2),
            },
            "at_once": {
                **told(together),
                "requests_per_second": round(len(together) / took, 1),
                "cpu_ms": round(spent_together / len(together) * 1000, 2),
            },
        }


def free_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def inside(folder: Path, images: np.ndarray[Any, Any]) -> dict[str, float]:
    """Returns what decoding a PNG and inference take, by the clock and of the CPU."""
    model: Model = load_model(
        folder / "versions", 1, public_key(folder / "models.pub"), sandbox=SANDBOX
    )
    files = []
    for image in images:
        held = io.BytesIO()
        Image.fromarray(image).save(held, "PNG")
        files.append(held.getvalue())
    model.answer(files[0])
    wall, began = [], time.process_time()
    for raw in files * 10:
        at = time.perf_counter()
        model.answer(raw)
        wall.append((time.perf_counter() - at) * 1000)
    cpu = (time.process_time() - began) / len(wall) * 1000
    return {**told(wall), "cpu_ms": round(cpu, 2)}


def main() -> None:
    os.environ["ORT_DISABLE_TELEMETRY"] = "1"
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, help="where to work; a temporary folder if none")
    parser.add_argument("--requests", type=int, default=500, help="asked one by one")
    parser.add_argument("--seconds", type=float, default=10, help="how long clients ask at once")
    parser.add_argument("--result", type=Path, default=RESULT)
    asked = parser.parse_args()
    images = np.random.default_rng(0).integers(0, 256, (50, 28, 28), dtype=np.uint8)
    with tempfile.TemporaryDirectory(dir=asked.folder) as name:
        folder = Path(name)
        expected = make_model(folder, images)[:, 1]

        def right(read: Callable[[dict[str, Any]], float]) -> Callable[[dict[str, Any], int], bool]:
            return lambda answer, index: abs(read(answer) - expected[index]) < 1e-4

        how = {"requests": asked.requests, "seconds": asked.seconds}
        load = os.getloadavg()[0]
        figures: dict[str, Any] = {
            "goals": GOALS,
            "load_before": round(load, 1),
            "inside_ms": inside(folder, images),
            "ours": measure(
                ours, folder, "/predict", [as_form(each) for each in images], right(of_ours), **how
            ),
            "mlflow": measure(
                mlflows,
                folder,
                "/invocations",
                [as_json(each) for each in images],
                right(of_mlflow),
                **how,
            ),
        }
    write_record(asked.result, figures, ("fastapi", "uvicorn", "onnxruntime", "mlflow", "torch"))
    print(json.dumps(figures, indent=1))


if __name__ == "__main__":
    main()
