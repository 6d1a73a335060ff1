"""What has been kept long enough goes, from the page and from the disk, and does not come back."""

from datetime import datetime

import pytest

from datanaut import Datanaut, wait_for
from disk import encodings, journey_at, on_disk
from journeys import STEPS, TELEMETRY
from peers import Client

pytestmark = pytest.mark.shape("embedded")

KEEP = """
[retention]
readings = "31d"
events = "31d"
triggers = "31d"
[relevance]
quiet_hours = ""
"""
DAY_MS = 86_400_000


def clock_ms(server):
    return int(datetime.fromisoformat(server.status()["now"]).timestamp() * 1000)


def aged(server, what):
    return server.metric("aged_total", what=what)


def test_old_things_go_while_serving_and_a_replay_brings_nothing_back(tmp_path):
    # A month takes half a minute.
    flags = ["--clock-start", "2026-01-10T12:00:00Z", "--clock-speed", "100000"]
    latitude = 51.3712347
    with Datanaut(tmp_path, *flags, config=KEEP) as server, Client(server) as car:
        old = journey_at(latitude, clock_ms(server) - 60_000)
        car.publish(TELEMETRY.format("car-01"), old)
        assert len(server.readings("car-01", old[0]["ts"])) == STEPS and server.events("car-01")
        (told,) = server.triggers()
        assert "place" in told["data"]
        assert any(on_disk(server, mark) for mark in encodings(latitude)), "or this test looks wrong"

        def published_lately():
            last = {"ts": clock_ms(server), "speed_mps": 1}
            car.publish(TELEMETRY.format("car-02"), last)
            return aged(server, "readings") >= STEPS and aged(server, "triggers") == 1
        wait_for("the month to end", published_lately, 120, every=0.5)
        assert server.readings("car-01", old[0]["ts"]) == [] and server.events("car-01") == []
        assert server.readings("car-02", clock_ms(server) - 10 * DAY_MS), "what is not old stays"
        (place,) = server.triggers()
        assert (place["id"], place["sequence"]) == (told["id"], told["sequence"])
        assert place["type"] == "io.datanaut.trigger.erased"
        assert place["data"]["reason"] == "no_longer_kept" and "place" not in place["data"]
        for mark in encodings(latitude):
            wait_for(f"no {mark} on the disk", lambda mark=mark: not on_disk(server, mark), 60, every=0.5)

        stored = server.counts()["stored"]
        car.publish(TELEMETRY.format("car-01"), old)
        counts = server.counts()
        assert counts["refused"] == {"too_old": STEPS} and counts["stored"] == stored
        server.stop()
    # Half a year later nothing says yet that the clock is right.
    flags = ["--clock-start", "2026-09-10T12:00:00Z"]
    with Datanaut(tmp_path, *flags, data=server.data, config=KEEP) as server, Client(server) as car:
        before = aged(server, "readings")
        assert before < stored and server.metric("clock_doubted") == 1
        car.publish(TELEMETRY.format("car-03"), {"ts": clock_ms(server), "speed_mps": 1})
        # Whoever starts anew looks again, and finds nothing that is left.
        wait_for("all to be gone", lambda: aged(server, "readings") == stored, 60)
        assert [device["device"] for device in server.get("/v1/fleet")["devices"]] == ["car-03"]
        assert server.metric("clock_doubted") == 0
