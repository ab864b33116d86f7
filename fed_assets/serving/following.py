"""The one model that a process serves: it follows the champion, and never a package not genuine."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from fed_assets.errors import FedAssetsError
from fed_assets.serving.keys import public_key
from fed_assets.serving.model import Model, load_model

RETRY_SECONDS = 5.0


@dataclass(frozen=True)
class News:
    """What a serving process is told each second.

    Attributes:
        champion: The version that the registry names; None if none.
        former: The last version that was served; None if none was.
        trouble: Why the registry could not be asked; empty where it answered.
        barred: Versions that may not be served, whoever names them: a hospital that withdrew is in
            them, or they were retired.
        why: Why the champion is one of these; empty where it is not.
        closed: Why none may be served, as nobody can tell which are barred; empty where one may.
    """

    champion: int | None = None
    former: int | None = None
    trouble: str = ""
    barred: tuple[int, ...] = ()
    why: str = ""
    closed: str = ""

    def bars(self, version: int | None) -> bool:
        """Returns whether a version may not be served."""
        return version is not None and (bool(self.closed) or version in self.barred)

    @classmethod
    def from_line(cls, line: str | bytes) -> News:
        """Returns what a line of JSON says."""
        record = json.loads(line)
        return cls(**record | {"barred": tuple(record["barred"])})

    def as_line(self) -> bytes:
        """Returns it as a line of JSON."""
        return json.dumps(vars(self)).encode() + b"\n"


class Served:
    """What is served now, changed in one step.

    Whoever answers takes `model` once and keeps to it: so an answer is wholly of one version, and
    no request waits for another model to be loaded.

    Args:
        versions: the folder of all versions of the sandbox.
        key: the file of the public key whose signature counts.
        sandbox: its name.
    """

    def __init__(self, versions: Path, key: Path, *, sandbox: str) -> None:
        self.sandbox = sandbox
        self.model: Model | None = None
        self.news = News(trouble="the registry was not asked yet")
        self.refusal = ""
        self._versions, self._key = versions, key
        self._refused: int | None = None
        self._retry_at = 0.0

    @property
    def version(self) -> int | None:
        """Returns which version is served; None if none is."""
        return self.model.facts.version if self.model else None

    @property
    def trouble(self) -> str:
        """Returns why what is served may not be the champion; empty where it is."""
        if self.news.closed:
            return f"no model may be served: {self.news.closed}"
        if self.refusal:
            return self.refusal
        if self.news.trouble:
            return self.news.trouble
        return "" if self.model else f"the sandbox {self.sandbox} has no champion"

    def hear(self, news: News) -> None:
        """Follows what is told: loads another champion, or goes on with the former one.

        A registry that cannot be asked changes nothing. Where it says that there is no champion,
        nothing is served any more; and what is barred is not, whatever else is said.
        """
        self.news = news
        if news.bars(self.version):
            self.model = None
        if news.closed:
            self.refusal = ""
            return
        if news.trouble:
            if self.model is None and time.monotonic() >= self._retry_at:
                self.refusal, self._retry_at = "", time.monotonic() + RETRY_SECONDS
                self._take_former(news)
            return
        if news.champion is None:
            self.model, self.refusal = None, ""
            return
        if news.bars(news.champion):
            self.refusal = f"version {news.champion} may not serve: {news.why}"
            if news.champion != self._refused or time.monotonic() >= self._retry_at:
                self._refused, self._retry_at = None, time.monotonic() + RETRY_SECONDS
                self._take_former(news)
            return
        if news.champion == self.version:
            self.refusal = ""
            return
        if news.champion == self._refused and time.monotonic() < self._retry_at:
            return
        try:
            self.model, self.refusal, self._refused = self._load(news.champion), "", None
        except Exception as error:  # whatever it is, what is served goes on, and it is told
            self.refusal = f"version {news.champion} is not served: {_said(error)}"
            self._refused, self._retry_at = news.champion, time.monotonic() + RETRY_SECONDS
            self._take_former(news)

    def _take_former(self, news: News) -> None:
        """Takes what was served before this process was, where it came in another's place."""
        if news.former in (None, news.champion) or news.bars(news.former):
            return
        if self.model is None:
            try:
                self.model = self._load(news.former or 0)
            except Exception as error:
                also = f"Nor is version {news.former} served: {_said(error)}"
                self.refusal = f"{self.refusal} {also}".lstrip()

    def _load(self, version: int) -> Model:
        return load_model(self._versions, version, public_key(self._key), sandbox=self.sandbox)

    def told(self) -> dict[str, Any]:
        """Returns what the service says of what it serves."""
        return {
            "sandbox": self.sandbox,
            "model": self.model.told() if self.model else None,
            "champion": self.news.champion,
            "trouble": self.trouble,
        }


def _said(error: Exception) -> str:
    return str(error) if isinstance(error, FedAssetsError) else type(error).__name__
