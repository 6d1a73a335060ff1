"""The tools work with any broker: here with Mosquitto."""

import pytest

from datanaut import acknowledged, load, replay, wait_for
from journeys import legs, now_ms, record
from mosquitto import Mosquitto
from peers import Listener


@pytest.fixture
def mosquitto(tmp_path):
    with Mosquitto(tmp_path) as mosquitto:
        yield mosquitto


def test_a_replay_survives_a_restart_of_the_broker(mosquitto, tmp_path):
    file = record(tmp_path / "journey.jsonl", legs(4, now_ms()))
    with replay(mosquitto, file, "car-01", "--speed", "500") as replaying:
        with Listener(mosquitto, "telemetry/#") as before:
            wait_for("the first messages", lambda: len(before.messages()) > 20)
            mosquitto.process.end()
            mosquitto.start()
            # mosquitto_sub comes back by itself.
            assert replaying.wait() == 0, replaying.said()
    assert "acknowledged  160" in replaying.out.text()


def test_what_load_says_was_acknowledged_was_published(mosquitto, tmp_path):
    acked = tmp_path / "acked"
    with Listener(mosquitto, "telemetry/car/+") as subscriber:
        with load(mosquitto, acked, "--devices", 5, "--rate", 200, "--seconds", 3) as loading:
            assert loading.wait() == 0, loading.said()
        sent = acknowledged(acked)
        assert len(sent) == 600 and len(set(sent)) == 600

        def received():
            return {
                (topic.split("/")[-1], event["ts"], event["seq"])
                for (topic, _), event in zip(subscriber.messages(), subscriber.events())
            }

        wait_for("all of it", lambda: received() == set(sent))
