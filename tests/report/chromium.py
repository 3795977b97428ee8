"""A real Chromium, without a window, spoken to over a pipe by its DevTools protocol; nothing but Python's own library.

https://chromedevtools.github.io/devtools-protocol/
"""

import base64
import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

READ_FD, WRITE_FD = 3, 4
"""Where Chromium reads commands and writes answers: --remote-debugging-pipe says so."""

_FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run", "--disable-extensions",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-default-apps",
    "--hide-scrollbars", "--host-resolver-rules=MAP * ~NOTFOUND", "--remote-debugging-pipe",
)  # fmt: skip
_DRAWN_AGAIN = "new Promise(done => requestAnimationFrame(() => requestAnimationFrame(done)))"
"""What was hidden is seen when the next picture is drawn, not when the style changes."""


@dataclass
class Page:
    """One open tab.

    Attributes:
        events: what the browser told by itself, in order: requests, messages of the console, exceptions.
    """

    commands: BinaryIO
    answers: BinaryIO
    session: str = ""
    events: list[dict[str, Any]] = field(default_factory=list)
    _sent: int = 0
    _rest: bytes = b""

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:  # noqa: ANN401 (whatever the protocol takes)
        """One command; its result."""
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        self.commands.write(json.dumps(message).encode() + b"\0")
        self.commands.flush()
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, (method, answer)
                result: dict[str, Any] = answer["result"]
                return result
            self.events.append(answer)

    def open(self, path: Path) -> None:
        """Show a file, until it has loaded; the events are those since then."""
        self.events.clear()
        self.call("Page.navigate", url=path.resolve().as_uri())
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())

    def value(self, expression: str) -> Any:  # noqa: ANN401
        """What an expression is in the page."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True)
        assert "exceptionDetails" not in result, result
        return result["result"].get("value")

    def look(self, width: int, *, scheme: str = "light", media: str = "") -> None:
        """Take a width in CSS pixels, and light or dark, on the screen or on `print`."""
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self.call("Emulation.setEmulatedMedia", media=media, features=features)
        self.call("Runtime.evaluate", expression=_DRAWN_AGAIN, awaitPromise=True)

    def screenshot(self) -> bytes:
        """The whole page as a PNG."""
        result = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=self._whole())
        return base64.b64decode(result["data"])

    def pdf(self) -> bytes:
        """The page as it prints."""
        return base64.b64decode(self.call("Page.printToPDF", preferCSSPageSize=True)["data"])

    def of(self, *methods: str) -> list[dict[str, Any]]:
        """The events of some methods."""
        return [event["params"] for event in self.events if event.get("method") in methods]

    def _whole(self) -> dict[str, float]:
        size = self.call("Page.getLayoutMetrics")["cssContentSize"]
        return {"x": 0, "y": 0, "width": size["width"], "height": size["height"], "scale": 1}

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._rest:
            read = self.answers.read1(1 << 16)  # type: ignore[attr-defined]
            assert read, "Chromium has ended"
            self._rest += read
        message, _, self._rest = self._rest.partition(b"\0")
        answer: dict[str, Any] = json.loads(message)
        return answer


@contextlib.contextmanager
def open_page(program: Path, profile: Path) -> Iterator[Page]:
    """Start Chromium with a profile of its own and open a tab that tells what happens in it."""
    here_read, there_write = os.pipe()
    there_read, here_write = os.pipe()

    # The shell gives Chromium the two ends under the numbers at which it looks for them.
    script = f'exec "$0" "$@" {READ_FD}<&{there_read} {WRITE_FD}>&{there_write}'
    command = ["bash", "-c", script, str(program), *_FLAGS, f"--user-data-dir={profile}", "about:blank"]
    log = (profile.parent / "chromium.log").open("wb")
    running = subprocess.Popen(command, pass_fds=(there_read, there_write), stdout=log, stderr=log)
    os.close(there_read)
    os.close(there_write)
    with log, os.fdopen(here_write, "wb") as commands, os.fdopen(here_read, "rb") as answers:
        page = Page(commands, answers)
        target = page.call("Target.createTarget", url="about:blank")["targetId"]
        page.session = page.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            page.call(f"{domain}.enable")
        try:
            yield page
        finally:
            page.session = ""
            page.call("Browser.close")
            running.wait(timeout=10)
