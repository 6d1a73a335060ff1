"""The first minute of somebody who has just built it: no arguments, file or network."""

import re
import shlex
import signal
import socket
import time

import pytest

from browser import Page
from datanaut import BINARIES, IN_CI, Datanaut, Process, wait_for

MQTT, HTTP = 1883, 8080


@pytest.fixture(scope="module")
def newcomer(tmp_path_factory):
    """The banner of a server that was started with no arguments in an empty folder."""
    for port in (MQTT, HTTP):
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                assert not IN_CI, f"port {port} is taken"
                pytest.skip(f"port {port} is taken")
    folder = tmp_path_factory.mktemp("newcomer")
    with Process([BINARIES / "datanaut"], cwd=folder) as process:
        wait_for("the banner", lambda: "Ctrl-C" in process.out.text())
        yield process, folder
        started = time.monotonic()
        process.signal(signal.SIGINT)
        assert process.wait(5) == 0 and time.monotonic() - started < 5
        assert "panicked" not in process.said()


def test_the_banner_says_what_runs_where(newcomer):
    process, folder = newcomer
    banner = process.out.text()
    assert f"http://127.0.0.1:{HTTP}" in banner and f"mqtt://127.0.0.1:{MQTT}" in banner
    assert "datanaut-data" in banner and (folder / "datanaut-data" / "journal.sqlite").exists()
    assert sorted(path.name for path in folder.iterdir()) == ["datanaut-data"]


def test_the_line_to_try_next_shows_a_trigger_within_thirty_seconds(newcomer):
    process, _ = newcomer
    line = re.search(r"^ *(mosquitto_sub .*)$", process.out.text(), re.M).group(1)
    with Process(shlex.split(line)) as subscriber:
        crossed = re.compile(r"triggers/\w+/travel/\w+ \{.*border_crossed")
        wait_for("a crossing", lambda: any(map(crossed.match, subscriber.out.lines)), 30)


def test_the_page_shows_live_data(newcomer, tmp_path):
    with Page(f"http://127.0.0.1:{HTTP}/", tmp_path) as page:
        stored = 'document.getElementById("stored").textContent.replace(/\\D/g, "")'
        first = int(wait_for("a figure", lambda: page.evaluate(stored)))
        wait_for("it to grow", lambda: int(page.evaluate(stored)) > first)
        wait_for("a trigger", lambda: page.evaluate("document.querySelectorAll('#list li').length"), 30)
        for kind, devices in (("car", 12), ("tracker", 8), ("thermostat", 10), ("product", 10)):
            shown = f"document.querySelector('[data-kind={kind}] b').textContent"
            wait_for(f"all of kind {kind}", lambda: page.evaluate(shown) == str(devices))
        # Before the test itself reads the canvas, which the browser advises against.
        assert page.problems() == []
        painted = """(() => { const canvas = document.getElementById("ground");
            const {data} = canvas.getContext("2d").getImageData(0, 0, canvas.width, canvas.height);
            return new Set(new Uint32Array(data.buffer)).size; })()"""
        wait_for("the map", lambda: page.evaluate(painted) > 2)
        assert all(url.startswith(f"http://127.0.0.1:{HTTP}/") for url in page.requests())


def test_the_page_says_when_the_server_is_away(tmp_path):
    with Datanaut(tmp_path) as server, Page(f"http://127.0.0.1:{server.http}/", tmp_path) as page:
        link = "document.body.dataset.link"
        connected = wait_for("the stream", lambda: (now := page.evaluate(link)) != "connecting" and now)
        server.kill()
        wait_for("to say so", lambda: page.evaluate(link) != connected)
        server.start()
        wait_for("to come back", lambda: page.evaluate(link) == connected, 30)
