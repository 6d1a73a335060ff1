"""Made-up journeys over a real border."""

import csv
import json
import os
import time
from pathlib import Path

import pytest

TELEMETRY = "telemetry/car/{}"

# East of Venlo, along one parallel: the border between NL and DE lies near 6.2 degrees.
LATITUDE, WEST, EAST = 51.37, 6.08, 6.34
STEPS, STEP_MS = 40, 15_000

# Two cars whose owners have a policy about tyres with alpina.
TYRE_POLICIES = """
[[insurer]]
id = "alpina"
name = "Alpina"

[[fleet]]
prefix = "car-"
kind = "car"
first = 1
count = 2
insurer = "alpina"
products = ["winter_tyres"]
since = "2010-01-01T00:00:00Z"
wording = "test-1"
"""

READ_SHARED = "DATANAUT_SHARED is not set: this test reads recordings that are not in the repository"


def now_ms():
    return int(time.time() * 1000)


def legs(count, end_ms):
    """Drives to and fro over the border, `count` times over it, and ends at `end_ms`."""
    readings = []
    for leg in range(count):
        start, end = (WEST, EAST) if leg % 2 == 0 else (EAST, WEST)
        for step in range(STEPS):
            lon = start + (end - start) * step / STEPS
            readings.append({"lat": LATITUDE, "lon": round(lon, 6), "accuracy_m": 8, "speed_mps": 30})
    start_ms = end_ms - (len(readings) - 1) * STEP_MS
    return [
        {"ts": start_ms + number * STEP_MS, "seq": number, **reading}
        for number, reading in enumerate(readings)
    ]


def drive(client, device, count=1, end_ms=None):
    """Publishes such a journey, a message a leg; returns what was sent."""
    readings = legs(count, end_ms or now_ms())
    for start in range(0, len(readings), STEPS):
        client.publish(TELEMETRY.format(device), readings[start : start + STEPS])
    return readings


def ways(messages):
    """From where to where, for each trigger about a crossing."""
    crossings = (message for message in messages if message["data"]["event"] == "border_crossed")
    places = (message["data"]["place"] for message in crossings)
    return [(place["from"]["country"], place["to"]["country"]) for place in places]


def final(messages):
    """The last word on each id, in the order in which the ids first came, without what was
    withdrawn."""
    last = {}
    for message in messages:
        known = last.get(message["id"])
        if known is None or message["revision"] >= known["revision"]:
            last[message["id"]] = message
    return [message for message in last.values() if not message["type"].endswith(".withdrawn")]


def by_subject(messages):
    """The ways of each customer, in order."""
    subjects = {}
    for message in messages:
        subjects.setdefault(message["subject"], []).append(message)
    return {subject: ways(told) for subject, told in subjects.items()}


def shared():
    """The folder of recordings, or a skip."""
    folder = os.environ.get("DATANAUT_SHARED")
    if not folder:
        pytest.skip(READ_SHARED)
    return Path(folder) / "data"


def recorded_tracks():
    """Each recorded track, with the crossings that are in it."""
    folder = shared() / "tracks"
    truth = {}
    with open(folder / "crossings_truth.csv", newline="") as rows:
        for row in csv.DictReader(rows):
            truth.setdefault(folder / row["file"], []).append((row["from"], row["to"]))
    assert len(truth) == 3
    return truth


def record(file, readings):
    """Writes readings as JSON lines, with the times that `datanaut replay` moves."""
    with open(file, "w") as lines:
        for reading in readings:
            moment = time.gmtime(reading["ts"] / 1000)
            stamp = time.strftime("%Y-%m-%dT%H:%M:%SZ", moment)
            lines.write(json.dumps({**reading, "ts": stamp}) + "\n")
    return file
