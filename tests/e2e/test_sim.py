"""The simulator's own word on what happened, against what an insurer was told."""

import json
import re

from datanaut import BINARIES, Process, wait_for


def verify(server, ledger, report, *flags):
    """Starts `device-sim verify`, and returns when it listens."""
    process = Process([
        BINARIES / "device-sim", "verify", "--broker", server.broker, "--ledger", ledger,
        "--report", report, "--devices", "car-", "--late", "60", *flags,
    ])
    wait_for("it to listen", lambda: "listening" in process.err.text())
    return process


def test_the_demo_is_told_as_its_ledger_says(server, tmp_path):
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "verdict.json"
    with verify(server, ledger, report, "--grace", "10") as judge:
        with Process([
            BINARIES / "device-sim", "run", "--broker", server.broker, "--seconds", "45",
            "--ledger", ledger,
        ]) as fleet:
            assert fleet.wait(120) == 0, fleet.said()
            assert re.search(r"^acknowledged", fleet.out.text(), re.M)
        assert judge.wait(60) == 0, judge.said()
    travel = json.loads(report.read_text())["products"]["travel"]
    # The two cars that kept their fixes, at least.
    assert travel["found"] == travel["expected"] >= 2
    assert travel["false"] == travel["doubled"] == travel["missed"] == 0


def test_what_was_not_told_fails_the_verification(server, tmp_path):
    ledger, report = tmp_path / "ledger.jsonl", tmp_path / "verdict.json"
    with verify(server, ledger, report, "--grace", "1") as judge:
        truth = {
            "device": "car-01", "at": "2026-01-15T12:00:00Z", "lat": 51.4, "lon": 6.2,
            "event": "border_crossed", "from": "NL", "to": "DE", "expect": "trigger",
            "reports_every_ms": 1000, "published_from": "2026-01-15T12:00:00Z",
        }
        lines = [{"truth": truth}, {"end": "2026-01-15T12:10:00Z"}]
        ledger.write_text("".join(json.dumps(line) + "\n" for line in lines))
        assert judge.wait(60) == 1, judge.said()
    assert "missed: car-01" in judge.out.text() and "FAILED" in judge.out.text()
