"""Readings go on to a server that speaks InfluxDB's protocol and that we did not write:
VictoriaMetrics. It skips lines it cannot read without a word, so all of it is compared."""

import json
import signal
import time
import urllib.parse
import urllib.request

import pytest

from datanaut import Process, free_port, wait_for
from journeys import TELEMETRY, drive, now_ms
from peers import Client

# A whole day is asked for: what is published lies within the last hours.
DAY_S = 86_400

# Of a text it keeps no more than a 0.
TEXTS = {"tyre", "fault", "activity"}


class VictoriaMetrics:
    """Keeps its data and its port over restarts."""

    def __init__(self, folder):
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.data = folder / "victoria"
        self.process = None

    def start(self):
        self.process = Process([
            "victoria-metrics", f"-storageDataPath={self.data}", "-retentionPeriod=100y",
            f"-httpListenAddr=127.0.0.1:{self.port}", "-loggerLevel=ERROR",
        ])
        wait_for("VictoriaMetrics", lambda: self._get("/health"), 60)

    def stop(self):
        """In peace: killed, it loses what it has taken in the last seconds."""
        self.process.signal(signal.SIGINT)
        self.process.wait()

    def _get(self, path):
        try:
            with urllib.request.urlopen(self.url + path, timeout=10) as answer:
                return answer.read().decode()
        except OSError:
            return None

    def samples(self):
        """The value of every (series, device, ts)."""
        self._get("/internal/force_flush")
        asked = {"match[]": '{device!=""}', "start": time.time() - DAY_S, "end": time.time() + 600}
        found = {}
        for line in (self._get(f"/api/v1/export?{urllib.parse.urlencode(asked)}") or "").splitlines():
            series = json.loads(line)
            name, device = series["metric"]["__name__"], series["metric"]["device"]
            assert set(series["metric"]) <= {"__name__", "device", "db"}, series["metric"]
            for ts, value in zip(series["timestamps"], series["values"]):
                # What is written twice is the same.
                assert found.setdefault((name, device, ts), value) == value
        return found


def expected(kind, device, readings):
    """What should be found of these."""
    points = {}
    for reading in readings:
        for name, value in reading.items():
            if name != "ts":
                value = 0 if name in TEXTS else float(value)
                points[f"{kind}_{name}", device, reading["ts"]] = value
    return points


def arrives(victoria, points, seconds=120):
    """Waits until just these are there, with their values."""
    def all_there():
        found = victoria.samples()
        return found if len(found) >= len(points) else None

    try:
        found = wait_for("all points", all_there, seconds, every=0.3)
    except AssertionError:
        found = victoria.samples()
    missing = sorted(set(points.items()) - set(found.items()))[:5]
    surplus = sorted(set(found.items()) - set(points.items()))[:5]
    assert not missing and not surplus, f"missing {missing}, surplus {surplus}"


@pytest.fixture
def victoria(tmp_path):
    victoria = VictoriaMetrics(tmp_path)
    victoria.start()
    yield victoria
    victoria.process.end()


@pytest.fixture
def server(tmp_path, serving, victoria):
    (tmp_path / "token").write_text("any token\n")
    config = (
        f'[influx]\nurl = "{victoria.url}"\norg = "plant"\nbucket = "things"\n'
        f'token_file = "{tmp_path}/token"\nbatch_readings = 200\nbatch_age = "100ms"\ntimeout = "2s"\ndelete = false\n')
    with serving(tmp_path, config=config) as server:
        yield server


def track(start_ms, count, device):
    """Readings of all shapes, a second each."""
    return [
        {"ts": start_ms + second * 1000, "seq": second, "lat": round(52 + second / 1e4, 6),
         "lon": round(5.1 + int(device[-2:]) / 100, 6), "accuracy_m": 4.1, "speed_mps": second % 40 + 0.25,
         "odometer_m": 18_230_000 + second * 25, "ignition": second % 2 == 0,
         "tyre": "winter", "fault": 'a "quoted", \\ odd=text\\'}
        for second in range(count)
    ]


def publish(client, device, readings):
    for start in range(0, len(readings), 100):
        client.publish(TELEMETRY.format(device), readings[start : start + 100])


def kill(server, client):
    """Ends the server without a word, and starts it again."""
    server.kill()
    server.start()
    wait_for("the client to be back", client.up.is_set)


def test_everything_published_is_there_with_its_value_and_time(server, victoria):
    points, start = {}, now_ms() - 3_600_000
    with Client(server) as client:
        for device in ("car-01", "car-02", "car-03"):
            readings = track(start, 900, device)
            publish(client, device, readings)
            points |= expected("car", device, readings)
        # A kind of its own, late, alone, and sent twice.
        phone = {"ts": start - 60_000, "battery_pct": 55.5, "activity": "walking"}
        for _ in range(2):
            client.publish("telemetry/tracker/anna-phone", phone)
        points |= expected("tracker", "anna-phone", [phone])
        # What may not be kept does not go on.
        client.publish("telemetry/tracker/tracker-bram", phone)
    arrives(victoria, points)
    assert server.metric("influx_points_written_total") == 2701
    assert server.metric("influx_points_refused_total") == 0
    wait_for("nothing to be left", lambda: server.metric("influx_behind_seconds") == 0)
    assert server.status()["influx"]["state"] == "writing"
    assert server.counts()["quarantined"] == {}
    asked = time.monotonic()
    assert server.stop() == 0
    assert time.monotonic() - asked < 6


def test_an_outage_and_a_kill_lose_nothing_and_delay_nobody(server, victoria):
    points, start = {}, now_ms() - 7_200_000
    with Client(server, client_id="insurer", session=True) as client:
        client.subscribe("triggers/#")
        first = track(start, 300, "car-01")
        publish(client, "car-01", first)
        points |= expected("car", "car-01", first)
        arrives(victoria, points)

        victoria.stop()
        meanwhile = track(start + 1_000_000, 700, "car-02")
        publish(client, "car-02", meanwhile)
        points |= expected("car", "car-02", meanwhile)
        # Triggers go out as ever.
        driven = drive(client, "car-04", 2)
        points |= expected("car", "car-04", driven)
        wait_for("both triggers", lambda: len(client.events()) == 2, 30)
        status, body = wait_for("it to be said", lambda: "delayed" in (a := server.ready())[1] and a)
        delayed = json.loads(body)["delayed"][0]
        assert status == 200 and delayed["what"] == "influx" and "refused" in delayed["error"]
        assert server.metric("influx_writing") == 0
        assert server.metric("influx_behind_seconds") > 0

        kill(server, client)
        late = track(start + 500_000, 100, "car-01")
        publish(client, "car-01", late)
        points |= expected("car", "car-01", late)

        victoria.start()
        arrives(victoria, points)
        # Killed while it writes: what it does not know to have arrived it writes again.
        more = track(start + 2_000_000, 900, "car-03")
        publish(client, "car-03", more)
        points |= expected("car", "car-03", more)
        kill(server, client)
        arrives(victoria, points)
    wait_for("it to be said", lambda: "delayed" not in server.ready()[1])
    assert server.counts()["passed_over"] == 0
