"""Rules of an operator's own, while the server runs."""

import json

from datanaut import ROOT, datanaut, wait_for
from journeys import drive
from peers import Client

SHIPPED = (ROOT / "enrich" / "rules" / "travel-offer.toml").read_text()

EVENT = {
    "time": "2026-01-15T12:00:00Z",
    "event": {
        "event": "border_crossed", "from": "DE", "to": "PL",
        "after_ms": 1768478398000, "before_ms": 1768478404000, "lat": 51.33, "lon": 15.0,
    },
    "reading": {"speed_mps": 27.8, "tyre": "summer"},
    "policy": {"insurer": "alpina", "home": "NL", "covers": ["DE"]},
}


def write(file, text):
    """As editors do: whole, at once."""
    fresh = file.with_suffix(".new")
    fresh.write_text(text)
    fresh.rename(file)


def test_rules_change_while_serving_and_a_wrong_one_changes_nothing(tmp_path, serving):
    rules = tmp_path / "rules"
    rules.mkdir()
    said = lambda: [told["data"] for told in server.triggers()]
    with serving(tmp_path, config='[rules]\ndir = "rules"\n') as server, Client(server) as car:
        drive(car, "car-01")
        wait_for("the rule that ships", lambda: len(said()) == 1)

        mine = SHIPPED.replace("version = 1", "version = 7").replace("You have come", "You came")
        write(rules / "mine.toml", mine)
        wait_for("the change", lambda: "rules have changed" in server.process.err.text())
        drive(car, "car-02")
        wait_for("my rule in its place", lambda: len(said()) == 2)
        assert said()[1]["rule"] == {"id": "travel-offer", "version": 7}
        assert said()[1]["explanation"]["en"].startswith("You came from")

        write(rules / "mine.toml", mine.replace("{event.to}", "{event.whither}"))
        wait_for("the refusal", lambda: "event.whither" in server.process.err.text())
        assert "mine.toml:" in server.process.err.text()
        drive(car, "car-03")
        wait_for("my rule, still", lambda: len(said()) == 3)
        assert said()[2]["rule"]["version"] == 7

        fails = mine.replace("priority", 'when = "1 / (size(policy.covers) - 1) > 0"\npriority')
        write(rules / "mine.toml", fails)
        wait_for("the change", lambda: server.process.err.text().count("rules have changed") == 2)
        drive(car, "car-04")
        wait_for("the fault", lambda: server.counts()["rule_faults"] == {"travel-offer": 1})
        drive(car, "car-05")
        wait_for("all else to go on", lambda: server.counts()["rule_faults"] == {"travel-offer": 2})
        assert len(said()) == 3

        # Beside the running server.
        candidate = tmp_path / "candidate.toml"
        candidate.write_text(SHIPPED.replace("[[offer]]", '[[offer]]\nkind="never"\nwhen="false"\nen=""\nnl=""\n[[offer]]', 1))
        code, out, err = datanaut("rules", "backtest", candidate, "--since", "2d", "--data", server.data)
        assert code == 0, err
        assert "5 events of border_crossed" in out and "5 triggers to 5 customers" in out, out
        assert "5 new, 0 no longer" in out, out
        # Who goes over the border and back hears of it once a day, if the rule says so.
        with Client(server) as again:
            drive(again, "car-06", count=4)
        server.settle()
        candidate.write_text(candidate.read_text().replace("priority =", 'cooldown = "24h"\npriority ='))
        code, out, err = datanaut("rules", "backtest", candidate, "--since", "2d", "--data", server.data)
        assert code == 0, err
        lines = {line[:10].strip(): line[10:] for line in out.splitlines()}
        assert lines["fires"].startswith("9 triggers to 6 customers"), out
        assert lines["would say"].startswith("6 triggers to 6 customers"), out
        assert "3 not said: 3 cooldown" in out, out

        # A file that goes while we serve takes its rule with it; a folder that goes changes nothing.
        (rules / "mine.toml").unlink()
        wait_for("the rule that ships", lambda: server.process.err.text().count("rules have changed") == 3)
        before = len(said())
        with Client(server) as car:
            drive(car, "car-07")
        wait_for("its words", lambda: len(said()) == before + 1)
        assert said()[-1]["rule"]["version"] == 1 and said()[-1]["explanation"]["en"].startswith("You have come")
        write(rules / "mine.toml", mine)
        wait_for("mine again", lambda: server.process.err.text().count("rules have changed") == 4)
        rules.rename(tmp_path / "elsewhere")
        wait_for("the complaint", lambda: "cannot read the rules in" in server.process.err.text())
        with Client(server) as car:
            drive(car, "car-08")
        wait_for("the last rules that were right", lambda: len(said()) == before + 2)
        assert said()[-1]["rule"]["version"] == 7


def test_a_rule_can_be_tried_before_it_is_in_force(tmp_path):
    event = tmp_path / "event.json"
    event.write_text(json.dumps(EVENT))
    code, out, err = datanaut("rules", "test", "travel-offer", event)
    assert code == 0 and "from Germany into Poland" in out and "Polen" in out, (out, err)

    rule = tmp_path / "mine.toml"
    rule.write_text(SHIPPED.replace("priority", "when = 'reading.speed_mps > 30'\npriority"))
    code, out, _ = datanaut("rules", "test", rule, event)
    assert code == 0 and "says nothing" in out

    rule.write_text(SHIPPED.replace("priority", "when = 'reading.sped_mps > 30'\npriority"))
    code, _, err = datanaut("rules", "check", tmp_path)
    line = 1 + [line.startswith("when") for line in rule.read_text().splitlines()].index(True)
    assert code == 1 and f"mine.toml:{line}:" in err and "reading.sped_mps" in err, err
    code, out, _ = datanaut("rules", "list")
    assert code == 0 and "travel-offer" in out
