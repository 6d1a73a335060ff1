"""Another broker in front: what it has acknowledged is not lost on the way."""

import pytest

from datanaut import Datanaut, acknowledged, load, wait_for
from journeys import drive, now_ms, ways
from mosquitto import Mosquitto
from peers import Client, drained

pytestmark = pytest.mark.shape("collector")


def seqs(server, device):
    return [reading["seq"] for reading in server.readings(device, now_ms() - 600_000)]


def test_what_is_published_while_datanaut_is_away(server, tmp_path):
    """More than brokers keep by default."""
    server.stop()
    acked = tmp_path / "acked"
    with load(server, acked, "--devices", 20, "--connections", 20, "--rate", "max", "--seconds", 2) as loading:
        assert loading.wait() == 0, loading.said()
    with Client(server) as car:
        drive(car, "car-01")
    server.start()
    sent = acknowledged(acked)
    assert len(sent) > 3_000
    wait_for("all of it", lambda: server.counts()["stored"] == len(sent) + 40, 60)
    wait_for("the crossing", lambda: ways(server.triggers()) == [("NL", "DE")])


def test_a_restart_of_the_broker_in_between(server):
    """Datanaut comes back by itself, and so does what the broker had not passed on."""
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        drive(car, "car-01")
        wait_for("the trigger", lambda: insurer.received)
    server.kill()
    with Client(server) as car:
        for number in range(200):
            car.publish("telemetry/car/car-02", {"ts": now_ms(), "seq": number, "speed_mps": 1})
    server.mosquitto.stop()
    server.mosquitto.start()
    server.start()
    wait_for("all of it", lambda: seqs(server, "car-02") == list(range(200)))
    server.mosquitto.stop()
    wait_for("not to be ready", lambda: server.ready()[0] == 503)
    assert server.mosquitto.broker in server.ready()[1]
    server.mosquitto.start()
    wait_for("to be ready again", lambda: server.ready()[0] == 200, 30)
    with Client(server) as insurer, Client(server) as car:
        insurer.subscribe("triggers/#")
        drive(car, "car-03")
        wait_for("the trigger", lambda: insurer.received)


def test_beside_the_embedded_broker(tmp_path):
    """The same car on both: one history, and triggers on the embedded broker."""
    with Mosquitto(tmp_path) as mosquitto:
        config = f'[[collector]]\nurl = "{mosquitto.broker}"\n'
        with Datanaut(tmp_path, config=config) as server:
            def publish(client, number):
                client.publish("telemetry/car/car-01", {"ts": now_ms(), "seq": number, "speed_mps": 1})

            with Client(server) as here, Client(mosquitto) as there:
                # It may still be about to subscribe.
                publish(there, 0)
                wait_for("the first", lambda: (publish(there, 0), seqs(server, "car-01"))[1], every=0.5)
                for number in range(1, 20):
                    publish(here if number % 2 else there, number)
                wait_for("both", lambda: {*seqs(server, "car-01")} == {*range(20)})
                here.subscribe("triggers/#")
                drive(there, "car-02")
                wait_for("the trigger", lambda: here.received)


def test_a_broker_that_is_not_there_is_waited_for(tmp_path):
    """Datanaut starts, says what is missing, and collects once it is there."""
    mosquitto = Mosquitto(tmp_path)
    server = Datanaut(tmp_path, mosquitto=mosquitto)
    try:
        server.launch()
        status, body = wait_for("an answer", lambda: (a := server.ready())[0] and a)
        assert status == 503 and mosquitto.broker in wait_for(
            "the reason", lambda: (b := server.ready()[1]) and "mqtt://" in b and b)
        with mosquitto:
            wait_for("to be ready", lambda: server.ready()[0] == 200, 30)
            with Client(server) as car:
                car.publish("telemetry/car/car-01", {"ts": now_ms(), "speed_mps": 1})
            drained(server)
            assert server.counts()["stored"] == 1
    finally:
        server.process.end()
