"""What insurers report, from their MQTT packets on."""

import json
import zipfile

from datanaut import datanaut, wait_for
from journeys import drive, now_ms
from peers import Client


def on(reported, reason):
    """What was explained for a reason."""
    return [event for event in reported.events() if event["reason"] == reason]


def test_reports_are_acknowledged_counted_and_explained(tmp_path, server):
    trip = {"id": "T-1", "customer": "car-01-owner", "place": "Oslo", "activities": ["skiing"],
            "from": "2030-01-10T10:00:00Z", "to": "2030-01-17T10:00:00Z"}
    with Client(server) as alpina, Client(server, version=4) as car:
        alpina.subscribe("errors/alpina")
        drive(car, "car-01")
        (crossing,) = wait_for("the trigger", server.triggers)
        before = server.counts()
        for mark in (8, 9):
            alpina.publish("trips/alpina", trip)
            alpina.publish("feedback/alpina", {"trigger": crossing["id"], "mark": mark, "time": now_ms()})
        # Another's: told apart from nobody's by nothing.
        for customer in ("anna", "bram", "nobody"):
            alpina.publish("trips/boreal" if customer == "anna" else "trips/alpina", {**trip, "customer": customer})
        alpina.publish("claims/alpina", {"id": "C-1", "policy": "A-1", "time": now_ms(), "kind": "collision"})
        alpina.publish("claims/alpina", "{")
        alpina.publish("claims/ghost", {"id": "C-1"})
        counts = server.counts()
        assert counts["reports"] == {"trip": 1, "feedback": 2}
        assert counts["stored"] - before["stored"] == 3 and counts["duplicate"] - before["duplicate"] == 1
        assert counts["refused"] == {"not_insured": 4, "unknown_insurer": 1}
        assert counts["quarantined"] == {"not_decodable": 1}
        wait_for("explanations", lambda: on(alpina, "not_insured") and on(alpina, "not_decodable"))
        assert on(alpina, "not_insured")[0]["detail"] == "T-1"

    (row,) = server.get("/v1/quarantine")
    assert (row["insurer"], row["device"], row["reason"]) == ("alpina", None, "not_decodable")
    code, out, _ = datanaut("quarantine", "show", row["number"], "--server", f"http://127.0.0.1:{server.http}")
    assert code == 0 and "alpina" in out

    # What was acknowledged is there after a kill.
    server.kill()
    server.start()
    assert server.counts()["reports"] == {"trip": 1, "feedback": 2}
    out = tmp_path / "export.zip"
    at = f"http://127.0.0.1:{server.http}"
    assert datanaut("customer", "export", "car-01-owner", "--out", out, "--server", at)[0] == 0
    reports = json.loads(zipfile.ZipFile(out).read("reports.json"))
    assert {report["reported"]["report"] for report in reports} == {"trip", "feedback"}
    assert all(report["legal_basis"] == "contract" for report in reports)
