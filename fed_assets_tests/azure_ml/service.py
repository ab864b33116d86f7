"""A double of Azure ML's REST interface, as far as command jobs need it, which really runs them.

It checks every request: method, path, API version, token, and a job's body by `job_schema`; what
it does not know, it refuses and notes. A job's command runs as a process of this machine, in
folders that stand for the workspace's datastores. It was written by the interface's reference and
by what Azure's client sends; it is not Azure.
"""

from __future__ import annotations

import json
import re
import ssl
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from functools import partial
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import jwt

from fed_assets_tests.azure_ml.job_schema import WORKSPACE, complaints
from fed_assets_tests.azure_ml.jobs import Job

# As of which version of the interface azure-ai-ml 1.35.2 asks for what.
VERSIONS = {"PUT": "2025-01-01-preview", "GET": "2024-01-01-preview", "POST": "2023-04-01-preview"}
_JOB = re.compile(rf"^({WORKSPACE})/jobs/([A-Za-z0-9][A-Za-z0-9_-]{{0,254}})(/cancel)?$")
STORAGE = "https://storage.azure.com"
TENANT = "11111111-2222-3333-4444-555555555555"
_SECRET = "of the identity's endpoint"
_SIGNING_KEY = "of this double alone, and of no directory"


@dataclass
class Fault:
    """What the service answers in place of what it was asked, so many times.

    With the status 0 it hangs up.
    """

    method: str
    status: int
    code: str
    times: int = 1
    headers: Mapping[str, str] = field(default_factory=dict)
    message: str = "xrays/patient_0042.png cannot be read; sig=c2VjcmV0"


@dataclass(frozen=True)
class Answer:
    """A status, a JSON-ready body, and headers."""

    status: int
    body: Any
    headers: Mapping[str, str] = field(default_factory=dict)


class AzureMLDouble:
    """One workspace.

    Args:
        folder: Where the datastores and the jobs' own folders lie.
        workspace: Its resource id.
        computes: The names of its computes.
        environments: `NAME/versions/VERSION` of its environments.
        trusted: The file of the certificate that jobs trust.
        image: The folder of the commands that jobs find.

    Attributes:
        jobs: What was handed in, by name.
        requests: Method and path of every request.
        tokens: For what each token was asked, by path: the resource, and whose identity.
        strange: Those that were refused because nothing here knows them.
        faults: What goes wrong next.
        compute_is_free: Whether jobs start.
        before_end: What happens after a job's process has ended and before the job is said to have.
    """

    def __init__(
        self,
        folder: Path,
        *,
        workspace: str,
        computes: tuple[str, ...],
        environments: tuple[str, ...],
        trusted: Path,
        image: Path,
    ) -> None:
        self.folder = folder
        self.workspace = workspace
        self.jobs: dict[str, Job] = {}
        self.requests: list[tuple[str, str]] = []
        self.tokens: list[tuple[str, tuple[str, str]]] = []
        self.strange: list[str] = []
        self.faults: list[Fault] = []
        self.url = self.identity_url = ""
        self.compute_is_free = threading.Event()
        self.compute_is_free.set()
        self.image = image
        self.before_end: Callable[[Job], None] = lambda _: None
        self._known = {f"{workspace}/computes/{name}" for name in computes} | {
            f"{workspace}/environments/{name}" for name in environments
        }
        self._trusted = trusted

    def datastore(self, name: str, path: str) -> Path:
        """Returns the folder of a datastore's path."""
        return self.folder / "datastores" / name / path

    def client_environment(self) -> dict[str, str]:
        """Returns what leads Azure's own clients here: a cloud of its own, and an identity."""
        return {
            "ARM_CLOUD_METADATA_URL": f"{self.url}/metadata/endpoints?api-version=2019-05-01",
            "IDENTITY_ENDPOINT": f"{self.identity_url}/orchestrator/token",
            "IDENTITY_HEADER": _SECRET,
            "REQUESTS_CA_BUNDLE": str(self._trusted),
        }

    def job_environment(self) -> dict[str, str]:
        """Returns what Azure ML tells a job of its identity, and what its image trusts."""
        return {
            "MSI_ENDPOINT": f"{self.identity_url}/job/token",
            "MSI_SECRET": _SECRET,
            "REQUESTS_CA_BUNDLE": str(self._trusted),
        }

    def answer(self, method: str, url: str, headers: Any, body: bytes) -> Answer:
        """Returns what the service answers."""
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        self.requests.append((method, parts.path))
        if (method, parts.path) == ("GET", "/metadata/endpoints"):
            return self._cloud(query)
        found = _JOB.match(parts.path)
        if found is None or method not in VERSIONS or (method == "POST") != bool(found[3]):
            return self._refuse(f"{method} {parts.path} is not known here")
        if query != {"api-version": VERSIONS[method]}:
            return self._refuse(f"{method} of a job with {query}")
        if not self._is_let_in(headers.get("Authorization", "")):
            return error(401, "InvalidAuthenticationToken", "The access token is invalid.")
        for fault in self.faults:
            if fault.method == method and fault.times > 0:
                fault.times -= 1
                return error(fault.status, fault.code, fault.message, fault.headers)
        if found[1] != self.workspace:
            return error(404, "ResourceNotFound", f"The resource {found[1]} was not found.")
        if method == "PUT":
            return self._create(parts.path, found[2], headers, body)
        job = self.jobs.get(found[2])
        if job is None:
            return error(404, "UserError", f"Could not find job {found[2]}")
        if method == "POST":
            job.cancel()
            return Answer(202, None, {"Location": f"{self.url}/operations/1", "Retry-After": "1"})
        return Answer(200, self._shown(parts.path, job))

    def token(self, path: str, query: Mapping[str, str], headers: Any) -> Answer:
        """Returns a token, as the endpoint of a managed identity does."""
        # App Service's dialect for the orchestrator, Azure ML's own for a job.
        known = {
            "/orchestrator/token": ("2019-08-01", "X-IDENTITY-HEADER"),
            "/job/token": ("2017-09-01", "secret"),
        }
        version, header = known.get(path, ("", ""))
        resource = query.get("resource", "")
        if query.get("api-version") != version or headers.get(header) != _SECRET:
            return self._refuse(f"a token by {path} with {sorted(query)}")
        if resource not in (self.url, STORAGE):
            return self._refuse(f"a token for {resource}")
        self.tokens.append((path, (resource, query.get("clientid", ""))))
        now = int(time.time())
        claims = {
            "aud": resource,
            "iss": f"https://sts.windows.net/{TENANT}/",
            "tid": TENANT,
            **dict.fromkeys(("iat", "nbf"), now - 60),
            "exp": now + 3600,
        }
        return Answer(
            200,
            {
                "access_token": jwt.encode(claims, _SIGNING_KEY, algorithm="HS256"),
                "expires_on": str(claims["exp"]),
                "resource": resource,
                "token_type": "Bearer",
            },
        )

    def close(self) -> None:
        """Ends every job."""
        for job in self.jobs.values():
            job.end()

    def _is_let_in(self, header: str) -> bool:
        with suppress(jwt.InvalidTokenError):
            token = header.removeprefix("Bearer ")
            jwt.decode(token, _SIGNING_KEY, algorithms=["HS256"], audience=self.url)
            return True
        return False

    def _cloud(self, query: Mapping[str, str]) -> Answer:
        if query != {"api-version": "2019-05-01"}:
            return self._refuse(f"the cloud's metadata with {query}")
        cloud = {
            "name": f"Double{urlsplit(self.url).port}",
            "portal": "https://portal.double.test/",
            "resourceManager": f"{self.url}/",
            "authentication": {"loginEndpoint": f"{self.url}/"},
            "suffixes": {"storage": "double.test"},
        }
        return Answer(200, [cloud])

    def _create(self, path: str, name: str, headers: Any, body: bytes) -> Answer:
        if headers.get("Content-Type") != "application/json":
            return self._refuse("a job that is not JSON")
        job = json.loads(body)
        wrong = complaints(job)
        if not wrong:
            names = {job["properties"]["environmentId"], job["properties"].get("computeId")}
            wrong = [f"{each} does not exist" for each in names - self._known]
        if wrong:
            return self._refuse("; ".join(wrong))
        if name in self.jobs:
            return Answer(200, self._shown(path, self.jobs[name]))
        made = Job(name, job["properties"], self)
        self.jobs[name] = made
        made.start()
        return Answer(201, self._shown(path, made))

    def _shown(self, path: str, job: Job) -> dict[str, Any]:
        studio = f"https://ml.double.test/runs/{job.name}?wsid={self.workspace}"
        return {
            "id": path,
            "name": job.name,
            "type": "Microsoft.MachineLearningServices/workspaces/jobs",
            "properties": {
                **job.described,
                "status": job.status,
                "services": {"Studio": {"jobServiceType": "Studio", "endpoint": studio}},
            },
            "systemData": {"createdAt": "2026-01-01T00:00:00Z", "createdByType": "Application"},
        }

    def _refuse(self, what: str) -> Answer:
        self.strange.append(what)
        return error(400, "BadRequest", what)


def error(status: int, code: str, message: str, headers: Mapping[str, str] | None = None) -> Answer:
    """Returns an error as Azure's resource manager writes it."""
    return Answer(status, {"error": {"code": code, "message": message}}, headers or {})


@contextmanager
def serving(double: AzureMLDouble, certificate: Path, key: Path) -> Iterator[AzureMLDouble]:
    """Yields the double while it serves: its interface by TLS, its identities in clear."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    interface = _server(double.answer)
    interface.socket = context.wrap_socket(
        interface.socket, server_side=True, do_handshake_on_connect=False
    )

    def token(_method: str, url: str, headers: Any, _body: bytes) -> Answer:
        parts = urlsplit(url)
        query = {name: values[0] for name, values in parse_qs(parts.query).items()}
        return double.token(parts.path, query, headers)

    servers = [interface, _server(token)]
    double.url = f"https://127.0.0.1:{servers[0].server_address[1]}"
    double.identity_url = f"http://127.0.0.1:{servers[1].server_address[1]}"
    threads = [threading.Thread(target=each.serve_forever, args=(0.05,)) for each in servers]
    for thread in threads:
        thread.start()
    try:
        yield double
    finally:
        double.close()
        for server, thread in zip(servers, threads, strict=True):
            server.shutdown()
            thread.join()
            server.server_close()


def _server(answer: Any) -> ThreadingHTTPServer:
    server = ThreadingHTTPServer(("127.0.0.1", 0), partial(_Handler, answer))
    server.daemon_threads = True
    return server


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 30

    def __init__(self, answer: Any, *arguments: Any) -> None:
        self._answer = answer
        super().__init__(*arguments)

    def log_message(self, *_: Any) -> None:
        """Says nothing: pytest's output is for failures."""

    def _respond(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        answer = self._answer(self.command, self.path, self.headers, body)
        if answer.status == 0:
            self.close_connection = True
            return
        content = b"" if answer.body is None else json.dumps(answer.body).encode()
        self.send_response(answer.status)
        self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(content)))
        for name, value in answer.headers.items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_PUT = do_POST = do_PATCH = do_DELETE = do_HEAD = _respond
