"""No consent, no data: nothing of it, anywhere."""

from datanaut import ROOT
from journeys import legs, now_ms
from peers import Client

WITHDRAWN, UNKNOWN, CONSENTED = b"bram-was-here", b"stranger-was-here", b"anna-was-here"


def on_disk(server, marker):
    files = [path for path in server.data.rglob("*") if path.is_file()]
    assert any(path.name == "journal.sqlite" for path in files)
    return any(marker in path.read_bytes() for path in files)


def test_nothing_is_kept_of_who_did_not_consent(tmp_path, serving):
    """With the registry that ships, while it runs and after it has stopped."""
    with serving(tmp_path, registry=ROOT / "registry.toml") as server:
        with Client(server) as device:
            for marker, topic in (
                (WITHDRAWN, "telemetry/tracker/tracker-bram"),
                (UNKNOWN, "telemetry/tracker/tracker-stranger"),
                (CONSENTED, "telemetry/tracker/anna-phone"),
            ):
                device.publish(topic, b'{"ts": %d, "region": "%s"}' % (now_ms(), marker))
                device.publish(topic, b"not JSON: " + marker)
                device.publish(topic, b'{"ts": %d, "speed_mps": "%s"}' % (now_ms(), marker), retain=True)
        counts = server.counts()
        assert counts["refused"] == {"no_consent": 3, "unknown_device": 3}
        assert (counts["stored"], sum(counts["quarantined"].values())) == (1, 2)
        assert server.metric("readings_refused_total", reason="no_consent") == 3
        for stop in (None, server.kill, server.start, server.stop):
            if stop:
                stop()
            assert on_disk(server, CONSENTED), "what may be kept is, or this test looks wrong"
            assert not on_disk(server, WITHDRAWN)
            assert not on_disk(server, UNKNOWN)
            assert not on_disk(server, b"tracker-stranger")
    assert WITHDRAWN.decode() not in server.said() and UNKNOWN.decode() not in server.said()


def test_quarantine_keeps_what_a_consented_device_sent(server):
    payload = "not JSON: " + CONSENTED.decode()
    with Client(server) as device:
        device.publish("telemetry/tracker/anna-phone", payload)
    (row,) = server.get("/v1/quarantine")
    assert (row["device"], row["payload_text"]) == ("anna-phone", payload)


def test_a_reading_from_before_the_consent_is_refused(server):
    with Client(server) as device:
        device.publish("telemetry/car/car-01", b'{"ts": "2005-06-01T00:00:00Z", "speed_mps": 5}')
    assert server.counts()["refused"] == {"no_owner": 1}


def test_no_names_ids_or_positions_are_logged(server):
    with Client(server, user="car-07", client_id="car-07") as car:
        car.publish("telemetry/car/car-07", legs(1, now_ms()))
        car.publish("telemetry/car/car-07", "bad")
    with Client(server) as stranger:
        stranger.publish("telemetry/car/stranger", legs(1, now_ms()))
    assert server.stop() == 0
    log = server.process.err.text()
    assert "stopped" in log
    for word in ("car-07", "stranger", "51.37", "6.08"):
        assert word not in log
