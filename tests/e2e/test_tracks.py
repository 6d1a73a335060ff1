"""A track driven over a real border comes out as the crossings that are in it."""

from datanaut import datanaut, load, replay, wait_for
from journeys import (
    by_subject,
    drive,
    final,
    legs,
    now_ms,
    record,
    recorded_tracks,
    shared,
    ways,
)
from peers import Client, Listener

PHONE = """\
2024-03-01T10:00:00Z\t*                 \t{"_type":"location","lat":52.52,"lon":13.40,"tst":1709287200,"acc":12,"vel":-1,"batt":80}
2024-03-01T10:00:30Z\t*                 \t{"_type":"location","lat":52.53,"lon":13.41,"tst":"1709287230","acc":12,"vel":36}
2024-03-01T10:00:40Z\tlwt               \t{"_type":"lwt","tst":1709287240}
2024-03-01T10:01:00Z\t*                 \t{"_type":"location","lat":52.54,"lon":13.42,"tst":1709287260,"acc":12}
"""


def check_recorded_tracks(server):
    """Replays all three at once and compares what an insurer's subscriber gets."""
    truth = recorded_tracks()
    with Listener(server, "triggers/#") as insurer:
        replays = [
            replay(server, track, f"car-{number:02}", "--speed", "max")
            for number, track in enumerate(truth, 1)
        ]
        for process in replays:
            assert process.wait(120) == 0, process.said()
        crossings = sum(map(len, truth.values()))
        wait_for("all crossings", lambda: len(insurer.events()) >= crossings)
        # What has been released by now has reached the subscriber once the cursor is there too.
        released = server.triggers()
        wait_for("the rest", lambda: len(insurer.events()) >= len(released))
        events = insurer.events()
    assert sorted(by_subject(final(events)).values()) == sorted(truth.values())
    assert len({event["id"] for event in events}) == crossings, "none extra, also none taken back"
    for number, expected in enumerate(truth.values(), 1):
        kept = [e for e in server.events(f"car-{number:02}") if not e["withdrawn"]]
        assert [(event["from"], event["to"]) for event in kept] == expected


def test_recorded_tracks_give_their_crossings_and_no_others(server):
    check_recorded_tracks(server)
    counts = server.counts()
    assert counts["stored"] == counts["received"] > 10_000


def test_recorded_tracks_give_their_crossings_under_load(server, tmp_path):
    shared()
    with load(server, tmp_path / "acked", "--devices", "50", "--rate", "1000", "--seconds", "120"):
        wait_for("the load", lambda: server.counts()["stored"] > 500)
        check_recorded_tracks(server)


def test_a_made_up_journey_over_the_border_and_back_twice(server):
    with Listener(server, "triggers/alpina/travel/+") as insurer, Client(server) as car:
        drive(car, "car-05", count=4)
        wait_for("four crossings", lambda: len(insurer.events()) >= 4)
        assert ways(insurer.events()) == [("NL", "DE"), ("DE", "NL")] * 2
    assert [event["data"]["offer"]["kind"] for event in server.triggers()] == ["covered", "home"] * 2


def test_a_phones_owntracks_recording(server, tmp_path):
    file = tmp_path / "phone.rec"
    file.write_text(PHONE)
    with replay(server, file, "anna/phone", "--speed", "max") as replaying:
        assert replaying.wait() == 0, replaying.said()
    readings = server.readings("anna-phone", now_ms() - 3_600_000)
    assert [reading["lat"] for reading in readings] == [52.52, 52.53, 52.54]
    assert "speed_mps" not in readings[0] and readings[1]["speed_mps"] == 10
    assert server.counts()["stored"] == 3


def test_recorded_phones(server):
    """Real recordings: every location is stored."""
    recordings = sorted((shared() / "owntracks").glob("*.rec"))
    assert recordings
    for recording in recordings:
        before = server.counts()
        with replay(server, recording, "anna/phone", "--speed", "max") as replaying:
            assert replaying.wait() == 0, replaying.said()
        after = server.counts()
        received = after["received"] - before["received"]
        assert received > 10 and after["quarantined"] == before["quarantined"] == {}
        assert after["refused"] == {}, after


def test_json_lines(server, tmp_path):
    file = record(tmp_path / "journey.jsonl", legs(1, 1_750_000_000_000))
    with replay(server, file, "car-06", "--speed", "max") as replaying:
        assert replaying.wait() == 0, replaying.said()
    assert "acknowledged  40" in replaying.out.text()
    stored = server.readings("car-06", now_ms() - 3_600_000)
    assert [reading["seq"] for reading in stored] == list(range(40))
    wait_for("the crossing", lambda: ways(server.triggers()) == [("NL", "DE")])


def test_an_old_recording_happens_now_for_a_server_with_its_clock(tmp_path, serving):
    """--at recorded, with the clock of the time of the recording."""
    tracks = recorded_tracks()
    track = next(track for track in tracks if "2022-05-28" in track.name)
    with serving(tmp_path, "--clock-start", "2022-05-28T09:00:00Z") as server:
        with replay(server, track, "car-01", "--speed", "max", "--at", "recorded") as replaying:
            assert replaying.wait(60) == 0, replaying.said()
        wait_for("the crossing", lambda: ways(server.triggers()) == tracks[track])
        message = server.triggers()[0]
        assert message["data"]["happened_at"].startswith("2022-05-28T07:44:")


def test_a_file_with_nothing_to_publish_is_an_error(tmp_path):
    file = tmp_path / "empty.gpx"
    file.write_text('<gpx><trk><trkseg><trkpt lat="1" lon="2"/></trkseg></trk></gpx>')
    code, out, err = datanaut("replay", file, "--as", "car-01", "--broker", "mqtt://127.0.0.1:9")
    assert code != 0 and "empty.gpx" in err, out + err
