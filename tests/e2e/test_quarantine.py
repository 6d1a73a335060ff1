"""What could not be used is looked at, tried again or dropped, from the command line."""

import json

import pytest

from datanaut import BINARIES, Process, datanaut, free_port, wait_for
from journeys import legs, now_ms, ways
from peers import Client

SOURCES = """
[[source]]
topic = "telemetry/{{kind}}/{{device}}"
format = "native"

[[source]]
topic = "plant/{{device}}"
format = "{format}"
kind = "car"
"""
# What the plant sends is native.
MISTAKEN, RIGHT = SOURCES.format(format="owntracks"), SOURCES.format(format="native")


@pytest.fixture
def mistaken(tmp_path, serving):
    """A server that takes what the plant sends for something else."""
    with serving(tmp_path, config=MISTAKEN) as server:
        yield server


def set_right(server):
    server.stop()
    server.config = RIGHT
    server.start()


def quarantine(server, *arguments):
    server.settle()
    return datanaut("quarantine", *arguments, "--server", f"http://127.0.0.1:{server.http}")


def test_looking_at_it(server):
    with Client(server) as car:
        car.publish("telemetry/car/car-01", '{"speed_mps": 5}')
        car.publish("telemetry/car/car-02", "not JSON")
    code, out, _ = quarantine(server, "list")
    lines = out.splitlines()
    assert code == 0 and len(lines) == 2
    assert lines[0].split()[0] == "2" and "not_decodable" in lines[0] and "car-02" in lines[0]
    code, out, _ = quarantine(server, "list", "--reason", "no_time", "--json")
    assert [row["number"] for row in json.loads(out)] == [1]
    code, out, _ = quarantine(server, "show", "2")
    assert code == 0 and out.rstrip().endswith("not JSON") and "advice" in out
    code, out, err = quarantine(server, "show", "3")
    assert code == 1 and "no such row" in err
    code, out, err = quarantine(server, "list", "--reason", "odd")
    assert code == 1 and "odd" in err and "no_time" in err


def test_a_source_set_right(mistaken):
    """What could not be read becomes history, and the crossing in it a trigger."""
    server = mistaken
    journey = legs(1, now_ms())
    with Client(server) as car:
        for start in range(0, len(journey), 10):
            car.publish("plant/car-01", journey[start : start + 10])
        car.publish("plant/car-01", "bad")
    assert server.counts()["quarantined"] == {"not_decodable": 5}
    code, out, _ = quarantine(server, "retry", "--all")
    assert code == 1 and "5 stay: not_decodable" in out
    set_right(server)
    code, out, _ = quarantine(server, "retry", "--reason", "not_decodable")
    assert code == 1 and "4 left quarantine" in out and "1 stay: not_decodable" in out
    assert [reading["seq"] for reading in server.readings("car-01", now_ms() - 3_600_000)] == list(range(40))
    wait_for("the crossing", lambda: ways(server.triggers()) == [("NL", "DE")])
    counts = server.counts()
    assert (counts["received"], counts["stored"], counts["messages"]) == (41, 40, 5)
    code, out, _ = quarantine(server, "drop", "5")
    assert code == 0 and "1 dropped" in out
    assert server.get("/v1/quarantine") == []
    counts = server.counts()
    assert counts["quarantined"] == {"not_decodable": 1} and counts["dropped"] == 1


def test_killed_while_everything_is_tried_again(mistaken):
    server, rows = mistaken, 3_000
    with Client(server) as car:
        start = now_ms() - rows
        sent = [car.send("plant/car-01", {"ts": start + n, "seq": n, "speed_mps": 1}) for n in range(rows)]
        wait_for("all acknowledgements", lambda: all(one.is_published() for one in sent), 60)
    assert server.counts()["quarantined"] == {"not_decodable": rows}
    set_right(server)
    command = [BINARIES / "datanaut", "quarantine", "retry", "--all", "--json",
               "--server", f"http://127.0.0.1:{server.http}"]
    with Process(command):
        wait_for("some to be stored", lambda: server.counts()["stored"])
        server.kill()
    server.start()
    counts = server.counts()
    left = sum(counts["quarantined"].values())
    assert 0 < counts["stored"] and counts["stored"] + left == rows
    code, out, err = quarantine(server, "retry", "--all")
    assert code == 0, out + err
    counts = server.counts()
    assert (counts["received"], counts["stored"], counts["duplicate"]) == (rows, rows, 0)
    assert [r["seq"] for r in server.readings("car-01", start)] == list(range(rows))


def test_without_consent_nothing_is_left(tmp_path, serving):
    """What waited in quarantine goes when it is tried after the consent was withdrawn."""
    with serving(tmp_path, "--clock-start", "2024-05-01T00:00:00Z") as server:
        with Client(server) as phone:
            phone.publish("telemetry/tracker/tracker-bram", "bad")
        assert server.counts()["quarantined"] == {"not_decodable": 1}
        server.stop()
        server.flags[-1] = "2024-06-02T00:00:00Z"
        server.start()
        code, out, _ = quarantine(server, "retry", "1")
        assert code == 0 and "1 left" in out
        counts = server.counts()
        assert counts["refused"] == {"no_consent": 1} and counts["quarantined"] == {}
        assert server.get("/v1/quarantine") == []


def test_what_was_cut_says_so(server):
    with Client(server) as car:
        car.publish("telemetry/car/car-01", "x" * 70_000)
    code, out, _ = quarantine(server, "retry", "1")
    assert code == 1 and "65536 of 70000 bytes" in out
    assert server.counts()["quarantined"] == {"too_large": 1}


@pytest.mark.parametrize("arguments", [("list",), ("show", "1"), ("retry", "1"), ("drop", "--all")])
def test_no_server(arguments):
    code, _, err = datanaut("quarantine", *arguments, "--server", f"http://127.0.0.1:{free_port()}")
    assert code == 1 and "no server answers" in err and "--server" in err
