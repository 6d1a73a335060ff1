"""Logs and metrics say how much, never who or where."""

import re

import pytest

from datanaut import datanaut, wait_for
from journeys import drive, now_ms
from peers import Client, Listener

# Of the registry and of what is sent below: devices, customers and their names, policies.
PEOPLE = ("car-01", "car-02", "anna", "Anna", "bram", "Bram", "tracker-bram", "nobodys-car", "A-1")
PLACE = re.compile(r"\b(?:lat|lon|latitude|longitude)\b|\b\d{1,2}\.\d{4,}\b.*\b\d{1,3}\.\d{4,}\b|50\.77\d|6\.08\d")


def said_of_people(text):
    lines = re.sub(r"\x1b\[[0-9;]*m", "", text).splitlines()
    names = [re.compile(rf"(?<![\w-]){re.escape(name)}(?![\w-])") for name in PEOPLE]
    return [line for line in lines if PLACE.search(line) or any(name.search(line) for name in names)]


@pytest.mark.shape("embedded", "collector")
def test_nobody_is_in_the_log_or_the_metrics(server):
    ask = ["--server", f"http://127.0.0.1:{server.http}"]
    with Client(server, client_id="car-01") as car, Listener(server, "triggers/#") as insurer:
        drive(car, "car-01", count=3)
        wait_for("the triggers", lambda: len(insurer.messages()) >= 3)
        # Refused, quarantined, explained.
        for topic in ("telemetry/car/nobodys-car", "telemetry/tracker/tracker-bram", "telemetry/car/car-02"):
            car.publish(topic, f'{{"ts":{now_ms()},"lat":95.5551,"lon":6.0841,"speed_mps":-1}}')
            car.publish(topic, b"\xff not JSON: 50.7751 6.0841")
        server.counts()
    if not server.mosquitto:
        with Client(server, user="tracker-bram", client_id="tracker-bram") as bram:
            bram.publish("telemetry/car/car-01", "{}")
    assert datanaut("consent", "withdraw", "car-02-owner", "alpina", "travel", *ask)[0] == 0
    assert datanaut("customer", "export", "anna", "--out", server.folder / "anna.zip", *ask)[0] == 0
    assert datanaut("customer", "erase", "anna", "--confirm", "anna", *ask)[0] == 0
    assert datanaut("device", "rotate", "car-01", *ask)[0] == 0
    for path in ("/v1/customers/bram", "/v1/devices/car-01/events", "/v1/customers/nobody/export"):
        server.request(path)
    status, metrics = server.request("/metrics")
    assert status == 200 and not said_of_people(metrics), said_of_people(metrics)
    assert server.stop() == 0
    log = server.process.err.text()
    assert "the broker listens" in log or server.mosquitto, "it does log"
    assert not said_of_people(log), said_of_people(log)
