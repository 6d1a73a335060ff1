"""Ctrl-C under load: everything acknowledged is kept, and it does not take long."""

import signal
import time

import pytest

from datanaut import acknowledged, load, wait_for
from journeys import now_ms
from peers import Client, Listener, drained


@pytest.mark.parametrize("which", [signal.SIGINT, signal.SIGTERM], ids=lambda which: which.name)
def test_stopping_under_load_with_fifty_connections(server, tmp_path, which):
    started = now_ms() - 60_000
    acked = tmp_path / "acked"
    # Subscribers and page watchers do not hold it up either.
    with Listener(server, "triggers/#"), watching(server):
        loading = load(server, acked, "--devices", 50, "--connections", 50, "--rate", "1500",
                       "--seconds", "30", "--drain", "0")
        wait_for("the load", lambda: server.counts()["stored"] > 1500)
        asked = time.monotonic()
        code = server.stop(which)
        took = time.monotonic() - asked
        assert code == 0 and took < 5, f"exit code {code} after {took:.1f} s"
        loading.signal(signal.SIGINT)
        loading.wait(10)
    server.start()
    drained(server)
    sent = acknowledged(acked)
    assert len(sent) > 1000
    stored = 0
    for device in {device for device, _, _ in sent}:
        seqs = [reading["seq"] for reading in server.readings(device, started)]
        stored += len(seqs)
        assert len(seqs) == len(set(seqs))
        assert {seq for name, _, seq in sent if name == device} <= set(seqs)
    assert server.counts()["stored"] == stored


class watching:
    """Somebody who has the page open: reads the live stream."""

    def __init__(self, server):
        import http.client

        self.connection = http.client.HTTPConnection("127.0.0.1", server.http, timeout=10)

    def __enter__(self):
        self.connection.request("GET", "/v1/stream")
        answer = self.connection.getresponse()
        assert answer.status == 200 and "text/event-stream" in answer.headers["content-type"]
        assert answer.readline()
        return self

    def __exit__(self, *_):
        self.connection.close()


def test_totals_and_history_are_the_same_after_a_restart(server):
    with Client(server) as car:
        for number in range(50):
            car.publish("telemetry/car/car-01", {"ts": now_ms(), "seq": number, "speed_mps": number})
        car.publish("telemetry/car/car-01", "bad")
        car.publish("telemetry/car/stranger", {"ts": now_ms(), "speed_mps": 1})
    before = server.counts(), server.readings("car-01", now_ms() - 600_000)
    fleet = server.get("/v1/fleet")["devices"]
    quarantine = server.get("/v1/quarantine")
    for stop in (server.stop, server.kill):
        stop()
        server.start()
        assert (server.counts(), server.readings("car-01", now_ms() - 600_000)) == before
        assert server.get("/v1/fleet")["devices"] == fleet
        assert server.get("/v1/quarantine") == quarantine
