"""What cannot be used: named, counted, explained, and put away or left alone."""

import json
import re
import socket
import time
from dataclasses import dataclass

import pytest

from datanaut import COLLECTED, ROOT, Datanaut, wait_for
from journeys import now_ms
from peers import Client

CAR = "telemetry/car/car-01"
QUARANTINED, REFUSED = "quarantined", "refused"
WEEK_MS = 7 * 24 * 3_600_000
KEPT = '[retention]\nreadings = "31d"\n'
DOCUMENTED = re.findall(
    r"^\| `(\w+)` \|", (ROOT / "docs/formats.md").read_text().split("## Reasons")[1], re.M
)
# No message of a device brings it about.
OF_OUTPUTS = {"refused_by_influx"}
# What insurers report is tried in test_reports.
OF_REPORTS = {"unknown_insurer", "incomplete", "needs_qos_1", "not_insured", "unknown_trigger"}


@dataclass
class Bad:
    """A message that cannot be used; `{now}` in it is the time in milliseconds."""

    reason: str
    payload: object
    topic: str = CAR
    # Logged in as this device.
    user: str | None = None
    outcome: str = QUARANTINED
    # Whom it is explained to and kept for; None if nobody is known.
    device: str | None = "car-01"
    readings: int = 1
    # How many of the readings in it are fine.
    stored: int = 0
    now_plus_ms: int = 0

    def is_collected(self):
        return not self.user and COLLECTED.fullmatch(self.topic)


GOOD = b'{"ts": {now}, "speed_mps": 5, "seq": 1}'

BAD = [
    Bad("unknown_device", GOOD, "telemetry/car/nobodys-car", outcome=REFUSED, device="nobodys-car"),
    Bad("unknown_device", b'{"_type":"location","lat":1,"lon":2,"tst":1750000000}',
        "owntracks/No Body/Phone 3", outcome=REFUSED, device="no-body-phone-3"),
    Bad("no_owner", GOOD, "telemetry/tracker/tracker-sold", outcome=REFUSED, device="tracker-sold"),
    Bad("no_consent", GOOD, "telemetry/tracker/tracker-bram", outcome=REFUSED, device="tracker-bram"),
    Bad("no_consent", b"{", "telemetry/tracker/tracker-bram", outcome=REFUSED, device="tracker-bram"),
    Bad("no_consent", b'{"ts": "2015-01-01T00:00:00Z", "steps": 7}',
        "telemetry/tracker/tracker-bram", outcome=REFUSED, device="tracker-bram"),
    Bad("too_old", GOOD, outcome=REFUSED, now_plus_ms=-5 * WEEK_MS),
    Bad("unknown_topic", GOOD, "some/where/else", outcome=REFUSED, device=None),
    Bad("unknown_topic", GOOD, "telemetry/rocket/car-01"),
    Bad("unknown_topic", GOOD, "some/where/else", user="car-01"),
    Bad("not_own_topic", GOOD, "telemetry/car/car-02", user="car-01"),
    Bad("not_own_topic", b'{"ts": {now}, "speed_mps": 5, "device": "car-02"}'),
    Bad("not_own_topic", GOOD, "triggers/alpina/travel/me", user="car-01"),
    Bad("too_large", b'{"ts": {now}, "speed_mps": 5, "pad": "' + b"x" * 70_000 + b'"}'),
    Bad("not_decodable", b""),
    Bad("not_decodable", b"\xff\xfe"),
    Bad("not_decodable", b'{"ts": {now}, "speed_mps": NaN}'),
    Bad("not_decodable", b'{"ts": {now}, "speed_mps": 1, "speed_mps": 2}'),
    Bad("not_decodable", b'{"ts": {now}, "speed_mps": 5'),
    Bad("not_decodable", b"\xa2\x62ts"),
    Bad("not_decodable", b"[" * 60_000),
    Bad("no_time", b'{"speed_mps": 5}'),
    Bad("no_time", b'{"ts": null, "speed_mps": 5}'),
    Bad("no_time", b'{"ts": "2026-01-01T00:00:00", "speed_mps": 5}'),
    Bad("clock_ahead", GOOD, now_plus_ms=600_000),
    Bad("clock_unset", b'{"ts": 0, "speed_mps": 5}'),
    Bad("clock_unset", b'{"ts": "1980-01-06T00:00:00Z", "speed_mps": 5}'),
    Bad("gps_week_rollover", GOOD, now_plus_ms=-1024 * WEEK_MS - 3_600_000),
    Bad("out_of_range", b'{"ts": {now}, "speed_mps": 341}'),
    Bad("out_of_range", b'{"ts": {now}, "tyre": "square"}'),
    Bad("wrong_type", b'{"ts": {now}, "speed_mps": "5"}'),
    Bad("wrong_type", b'{"ts": {now}, "ignition": "on"}'),
    Bad("nothing_measured", b'{"ts": {now}}'),
    Bad("nothing_measured", b"[]"),
    Bad("no_valid_fix", b'{"ts": {now}, "lat": 0, "lon": 0}'),
    Bad("no_valid_fix", b'{"ts": {now}, "lat": 91, "lon": 5}'),
    Bad("no_valid_fix", b'{"ts": {now}, "lat": 52}'),
    Bad("encrypted", b'{"_type":"encrypted","data":"QmFzZTY0"}', "owntracks/anna/phone",
        device="anna-phone"),
    Bad("out_of_range", b'[{"ts": {now}, "speed_mps": 1}, {"ts": {now}, "speed_mps": -1}, {"ts": {now}, "speed_mps": 3}]',
        readings=3, stored=2),
]


@pytest.fixture(scope="module")
def server(tmp_path_factory, serving):
    with serving(tmp_path_factory.mktemp("refusals"), config=KEPT) as server:
        yield server


def test_every_documented_reason_is_tried_and_in_the_metrics(server):
    assert {bad.reason for bad in BAD} == set(DOCUMENTED) - OF_OUTPUTS - OF_REPORTS
    for reason in DOCUMENTED:
        for outcome in (QUARANTINED, REFUSED):
            server.metric(f"readings_{outcome}_total", reason=reason)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: f"{bad.reason}-{bad.payload[:24]!r}")
def test_a_bad_message(server, shape, bad):
    if shape == "collector" and not bad.is_collected():
        pytest.skip("who logs in at another broker, and on which topics, is that broker's to decide")
    before, row_before = server.counts(), newest(server)
    payload = bad.payload.replace(b"{now}", str(now_ms() + bad.now_plus_ms).encode())
    with Client(server, user=bad.user) as device:
        device.publish(bad.topic, payload)
    after = server.counts()
    metric = server.metric(f"readings_{bad.outcome}_total", reason=bad.reason)
    assert after["received"] - before["received"] == bad.readings
    assert after["messages"] - before["messages"] == 1
    assert after["stored"] - before["stored"] == bad.stored
    assert after[bad.outcome][bad.reason] - before[bad.outcome].get(bad.reason, 0) == 1
    assert metric == after[bad.outcome][bad.reason]
    row = newest(server)
    if bad.outcome == REFUSED:
        assert row == row_before, "what is refused leaves nothing"
        return
    assert row != row_before and row["reason"] == bad.reason and row["advice"]
    assert (row["device"], row["topic"]) == (bad.device, bad.topic)
    if bad.readings == 1:
        assert row["payload_bytes"] == min(len(payload), 65_536)
    else:
        assert json.loads(row["payload_text"])["speed_mps"] == -1, "only the bad reading"


def newest(server):
    rows = server.get("/v1/quarantine", limit=1)
    return rows[0] if rows else None


@pytest.mark.shape("embedded")
def test_a_device_is_told_why_at_most_once_a_minute_and_reason(tmp_path, shape):
    tried = {bad.reason: bad for bad in BAD if bad.device}
    assert set(tried) == set(DOCUMENTED) - OF_OUTPUTS - OF_REPORTS
    with Datanaut(tmp_path, config=KEPT) as server, Client(server) as listener:
        listener.subscribe("errors/#")
        for _ in range(3):
            for bad in tried.values():
                payload = bad.payload.replace(b"{now}", str(now_ms() + bad.now_plus_ms).encode())
                with Client(server, user=bad.user) as device:
                    device.publish(bad.topic, payload)

        def heard():
            return sorted((m.topic, json.loads(m.payload)["reason"]) for m in list(listener.received))

        expected = sorted((f"errors/{bad.device}", reason) for reason, bad in tried.items())
        wait_for("all explanations", lambda: len(heard()) >= len(expected))
        # One that came too much would have come before this answer to a new reason.
        with Client(server) as device:
            device.publish("telemetry/car/car-09", b'{"speed_mps": 5}')
        wait_for("the last one", lambda: ("errors/car-09", "no_time") in heard())
        assert heard() == sorted([*expected, ("errors/car-09", "no_time")])
        for explanation in listener.events():
            assert explanation["advice"] and explanation["at"].endswith("Z")


def test_a_device_hears_again_after_a_minute(tmp_path, serving):
    """With a clock on which a minute takes a second."""
    with serving(tmp_path, "--clock-speed", "60") as server, Client(server) as device:
        device.subscribe("errors/car-01")
        deadline = time.monotonic() + 20
        while len(device.received) < 2 and time.monotonic() < deadline:
            device.publish(CAR, b'{"speed_mps": 5}')
            time.sleep(0.1)
        first, second = (json.loads(message.payload)["at"] for message in device.received[:2])
        assert first[:16] < second[:16], "not within the same minute"


def test_messages_without_a_reading_count_nothing(server):
    before = server.counts()
    with Client(server) as phone:
        phone.publish("owntracks/anna/phone", b'{"_type":"lwt","tst":1750000000}')
        phone.publish("owntracks/anna/phone/waypoints", b'{"_type":"waypoints","waypoints":[]}')
        phone.publish("owntracks/anna/phone", b'{"_type":"of a later version"}')
    after = server.counts()
    assert after["messages"] - before["messages"] == 3
    assert {**after, "messages": 0} == {**before, "messages": 0}


@pytest.mark.parametrize("version", [4, 5])
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_both_versions_and_every_qos_are_counted_alike(server, version, qos):
    before = server.counts()
    with Client(server, version=version) as device:
        device.publish(CAR, b'{"ts": %d, "speed_mps": 5}' % now_ms(), qos=qos)
        device.publish(CAR, b"bad", qos=qos)
        wait_for("both", lambda: server.counts()["received"] - before["received"] == 2)
    after = server.counts()
    assert after["stored"] - before["stored"] == 1
    assert after["quarantined"]["not_decodable"] - before["quarantined"].get("not_decodable", 0) == 1


@pytest.mark.shape("embedded")
def test_garbage_on_the_port_hurts_nobody(server):
    for garbage in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 64, b"\x10\xff\xff\xff\xff\xff", b"\xf0" * 999):
        with socket.create_connection(("127.0.0.1", server.mqtt), 5) as connection:
            connection.sendall(garbage)
    with Client(server) as device:
        device.publish(CAR, b'{"ts": %d, "speed_mps": 6}' % now_ms())
    assert server.ready()[0] == 200
