"""kill -9 at any instant: nothing acknowledged is lost, nothing goes out under two ids."""

import random
import time
from collections import Counter

from datanaut import acknowledged, load, replay, wait_for
from journeys import final, legs, now_ms, record, ways
from peers import Client, drained

KILLS = 10
DEVICES = 20


def check_stored(server, acked, from_ms):
    """Every acknowledged message is in the journal once, and nothing else but what was sent is."""
    sent = acknowledged(acked)
    assert len(sent) > 1000 and len(set(sent)) == len(sent)
    stored = 0
    for device in {device for device, _, _ in sent}:
        readings = Counter()
        for reading in server.readings(device, from_ms):
            readings[reading["seq"]] += 1
        stored += sum(readings.values())
        assert max(readings.values()) == 1, f"{device} has a reading twice"
        lost = {seq for name, _, seq in sent if name == device} - set(readings)
        assert not lost, f"{device} lost {len(lost)} acknowledged readings"
    return stored


def check_told(told, crossings):
    """One id a crossing, one crossing an id, and sequence numbers without a gap."""
    # Sequence numbers are counted by product, and cars may have tyres to hear of too.
    told = [message for message in told if message["data"]["event"] == "border_crossed"]
    by_id = {}
    for message in told:
        crossing = (message["subject"], message["data"]["place"]["to"]["country"],
                    message["data"]["happened_at"])
        by_id.setdefault(message["id"], set()).add(crossing)
    assert all(len(crossing) == 1 for crossing in by_id.values()), "an id for two crossings"
    distinct = [crossing.copy().pop() for crossing in by_id.values()]
    assert len(set(distinct)) == len(distinct), "two ids for a crossing"
    assert len(by_id) == crossings
    numbers = sorted({int(message["sequence"]) for message in told})
    assert numbers == list(range(1, len(numbers) + 1)), "a gap in the sequence"


def test_ten_kills_in_the_middle_of_a_load(server, tmp_path, seed):
    chance = random.Random(seed)
    started = now_ms() - 60_000
    acked = tmp_path / "acked"
    journeys = {f"car-{number:02}": legs(6, now_ms()) for number in range(1, 5)}
    replays = []
    with Client(server, client_id="insurer") as insurer:
        insurer.subscribe("triggers/#")
        # At most 40 a second for each device, so that its history fits in one page.
        loading = load(server, acked, "--devices", DEVICES, "--connections", DEVICES,
                       "--rate", "800", "--seconds", "40", "--drain", "60")
        try:
            for device, journey in journeys.items():
                file = record(tmp_path / f"{device}.jsonl", journey)
                # An hour in about 40 s.
                replays.append(replay(server, file, device, "--speed", "90"))
            for number in range(KILLS):
                time.sleep(chance.uniform(0.5, 4.5))
                counts = server.counts()
                server.kill()
                server.start()
                after = server.counts()
                assert after["stored"] >= counts["stored"], f"kill {number} lost readings"
            for process in [*replays, loading]:
                assert process.wait(90) == 0, process.said()
        finally:
            for process in [*replays, loading]:
                process.end()
        drained(server)
        crossings = 6 * len(journeys)
        wait_for("all crossings", lambda: len(final(insurer.events())) >= crossings, 30)
        stored = check_stored(server, acked, started)
        for device, journey in journeys.items():
            readings = server.readings(device, started - 24 * 3_600_000)
            assert [reading["seq"] for reading in readings] == [r["seq"] for r in journey]
            stored += len(readings)
        assert server.counts()["stored"] == stored
        told = server.triggers()
        check_told(told, crossings)
        check_told(insurer.events(), crossings)
        assert Counter(ways(final(insurer.events()))) == {("NL", "DE"): 12, ("DE", "NL"): 12}
        assert server.mosquitto or insurer.drops > 0
