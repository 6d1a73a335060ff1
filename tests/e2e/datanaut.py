"""Runs Datanaut and its tools as their users do: as processes, over sockets."""

import json
import os
import random
import re
import signal
import socket
import subprocess
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from pathlib import Path

HERE = Path(__file__).parent
ROOT = HERE.parent.parent
BINARIES = Path(os.environ.get("DATANAUT_BIN", ROOT / "target" / "release"))
REGISTRY = HERE / "registry.toml"
IN_CI = os.environ.get("CI") == "true"


def wait_for(what, condition, seconds=20.0, every=0.05):
    """The first true value of `condition`, or a failure that says what was waited for."""
    deadline = time.monotonic() + seconds
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s for {what}")
        time.sleep(every)


def free_port():
    """Below the range that the system gives to outgoing connections: a client that keeps calling a
    server which is away could otherwise be given that very port, and talk to itself."""
    while True:
        port = random.randint(15_000, 31_000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
            return port


class Lines:
    """What a process writes, line by line, while it runs."""

    def __init__(self, stream):
        self.lines = []
        self._thread = threading.Thread(target=self._read, args=(stream,), daemon=True)
        self._thread.start()

    def _read(self, stream):
        for line in stream:
            self.lines.append(line.decode(errors="replace").rstrip("\n"))
        stream.close()

    def text(self):
        return "\n".join(self.lines)

    def finish(self):
        self._thread.join(5)
        return self.text()


class Process:
    """A process with its output."""

    def __init__(self, command, **options):
        self.command = [str(word) for word in command]
        self.process = subprocess.Popen(
            self.command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options
        )
        self.out, self.err = Lines(self.process.stdout), Lines(self.process.stderr)

    def running(self):
        return self.process.poll() is None

    def signal(self, which):
        if self.running():
            self.process.send_signal(which)

    def wait(self, seconds=30.0):
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.end()
            raise AssertionError(f"{self.command[0]} still ran after {seconds:g} s\n{self.said()}")
        self.out.finish()
        self.err.finish()
        return code

    def end(self):
        self.signal(signal.SIGKILL)
        self.process.wait(10)
        self.out.finish()
        self.err.finish()

    def said(self):
        return f"--- {' '.join(self.command)}\n{self.out.text()}\n{self.err.text()}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.end()


# What is collected from another broker.
COLLECTED = re.compile(r"telemetry/[^/]+/[^/]+|(claims|trips|feedback)/[^/]+|owntracks/[^/]+/[^/]+(/[^/]+)?|plant/[^/]+")


class Datanaut:
    """A server with a data directory and ports of its own, which it keeps over restarts.

    With a Mosquitto it embeds no broker: devices and insurers are on that one, and what it has
    acknowledged may still be on its way. Whoever asks for anything here waits for that first.
    """

    def __init__(self, folder, *flags, registry=REGISTRY, wrap=(), data=None, mosquitto=None, config=""):
        self.folder = Path(folder)
        self.mosquitto = mosquitto
        self.config = config
        # Of each, how many of its messages were acknowledged.
        self.publishers = []
        self.data = Path(data) if data else self.folder / "data"
        self.mqtt, self.http = mosquitto.mqtt if mosquitto else free_port(), free_port()
        self.flags = ["--no-sim", *flags]
        self.registry = registry
        self.wrap = list(wrap)
        self.process = None
        self.ended = []

    def command(self):
        return [
            *self.wrap, BINARIES / "datanaut", *self._config(), *self.flags,
            "--http", f"127.0.0.1:{self.http}",
            "--data", self.data, "--registry", self.registry,
        ]

    def _config(self):
        config = self.config
        if self.mosquitto:
            config += f'\n[mqtt]\nembedded = false\n[[collector]]\nurl = "{self.mosquitto.broker}"\n'
        port = [] if self.mosquitto else ["--port", self.mqtt]
        if not config:
            return port
        file = self.folder / "datanaut.toml"
        file.write_text(config)
        return ["--config", file, *port]

    def launch(self):
        self.process = Process(self.command(), cwd=self.folder)

    def start(self, seconds=30.0):
        """Starts and waits until it says that it is ready."""
        self.launch()
        wait_for("the server to be ready", lambda: self._ready_or_dead(), seconds, every=0.02)
        return self

    def _ready_or_dead(self):
        if not self.process.running():
            self.process.wait()
            raise AssertionError(f"the server ended\n{self.process.said()}")
        return self.ready()[0] == 200

    def stop(self, which=signal.SIGINT, seconds=10.0):
        """Tells it to stop and returns its exit code."""
        self.process.signal(which)
        code = self.process.wait(seconds)
        self.ended.append(self.process)
        return code

    def kill(self):
        self.process.end()
        self.ended.append(self.process)

    def said(self):
        return "\n".join(process.said() for process in [*self.ended, self.process] if process)

    def __enter__(self):
        return self.start()

    def __exit__(self, kind, *_):
        if self.process:
            self.process.end()
        if kind:
            print(self.said()[-20_000:])

    @property
    def broker(self):
        return f"mqtt://127.0.0.1:{self.mqtt}"

    def request(self, path, seconds=10.0, **query):
        """Status and body of an answer; (0, "") when nobody answers."""
        asked = {name: value for name, value in query.items() if value is not None}
        url = f"http://127.0.0.1:{self.http}{path}"
        if asked:
            url += "?" + urllib.parse.urlencode({k.rstrip("_"): v for k, v in asked.items()})
        try:
            with urllib.request.urlopen(url, timeout=seconds) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            return error.code, error.read().decode()
        except OSError:
            return 0, ""

    def settle(self):
        """Waits until what was acknowledged by another broker has come through."""
        if self.mosquitto and self.process.running():
            owed = sum(publisher() for publisher in self.publishers)
            wait_for(f"{owed} messages to come through", lambda: self._messages() >= owed, 180)

    def _messages(self):
        status, body = self.request("/v1/status")
        return json.loads(body)["counts"]["messages"] if status == 200 else 0

    def get(self, path, **query):
        self.settle()
        status, body = self.request(path, **query)
        assert status == 200, f"{path} {query}: {status} {body}"
        return json.loads(body)

    def ready(self):
        return self.request("/readyz", seconds=2.0)

    def status(self):
        return self.get("/v1/status")

    def counts(self):
        """The totals, after checking that every reading received has its outcome."""
        status = self.status()
        counts = status["counts"]
        outcomes = counts["stored"] + counts["duplicate"] + sum(counts["quarantined"].values())
        outcomes += sum(counts["refused"].values())
        assert status["balanced"] and counts["received"] == outcomes, counts
        return counts

    def metric(self, name, **labels):
        """The value of a sample in /metrics."""
        self.settle()
        status, text = self.request("/metrics")
        assert status == 200, text
        inner = ",".join(f'{key}="{value}"' for key, value in labels.items())
        sample = f"datanaut_{name}{{{inner}}} " if inner else f"datanaut_{name} "
        values = [line[len(sample):] for line in text.splitlines() if line.startswith(sample)]
        assert len(values) == 1, f"{sample!r} is {len(values)} times in /metrics"
        return float(values[0])

    def readings(self, device, from_ms):
        """All readings of a device from then on."""
        readings, most = [], 10_000
        page = self.get(f"/v1/devices/{device}/readings", from_=from_ms, limit=most)
        assert len(page) < most, "more readings than a page holds: ask for a shorter time"
        readings.extend(page)
        return readings

    def events(self, device):
        return self.get(f"/v1/devices/{device}/events", limit=1000)

    def triggers(self, insurer="alpina", product="travel"):
        """All that the insurer was told, in order."""
        told, after = [], 0
        while True:
            answer = self.get("/v1/triggers", insurer=insurer, product=product, after=after, limit=1000)
            told += [shown["message"] for shown in answer["triggers"]]
            if not answer["more"]:
                return told
            after = int(told[-1]["sequence"])


def replay(server, file, device, *flags):
    """Starts `datanaut replay`."""
    command = [BINARIES / "datanaut", "replay", file, "--as", device, "--broker", server.broker, *flags]
    process = Process(command)

    def published():
        said = re.search(r"acknowledged +(\d+)", "" if process.running() else process.out.finish())
        return int(said.group(1)) if said else 0

    getattr(server, "publishers", []).append(published)
    return process


def load(server, acked, *flags):
    """Starts `device-sim load`."""
    def published():
        return Path(acked).read_bytes().count(b"\n") if Path(acked).exists() else 0

    getattr(server, "publishers", []).append(published)
    return Process([BINARIES / "device-sim", "load", "--broker", server.broker, "--acked", acked, *flags])


def acknowledged(acked):
    """The (device, ts, seq) of every message whose acknowledgement arrived."""
    return [
        (device, int(ts), int(seq))
        for device, ts, seq in (line.split() for line in Path(acked).read_text().splitlines())
    ]


def run(*command, seconds=30.0, **options):
    """Runs a command to its end: exit code, standard output, standard error."""
    process = Process(command, **options)
    code = process.wait(seconds)
    return code, process.out.text(), process.err.text()


def datanaut(*arguments, **options):
    return run(BINARIES / "datanaut", *arguments, **options)
