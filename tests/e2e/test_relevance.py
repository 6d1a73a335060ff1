"""Who hears what, when: cooldown, cap, quiet hours."""

from datanaut import ROOT, Datanaut, wait_for
from journeys import drive, now_ms, ways
from peers import Client

SHIPPED = (ROOT / "enrich" / "rules" / "travel-offer.toml").read_text()


def config(folder, settings, rule=SHIPPED):
    """A configuration with a rule of one's own in the place of the one that ships."""
    (folder / "rules").mkdir()
    (folder / "rules" / "mine.toml").write_text(rule)
    file = folder / "datanaut.toml"
    file.write_text(f'[rules]\ndir = "rules"\n[relevance]\n{settings}\n')
    return file


def outcomes(server):
    """Of all triggers, oldest first: outcome and reason."""
    newest = server.get("/v1/triggers", limit=100)["triggers"]
    return [(shown["outcome"], shown.get("reason")) for shown in reversed(newest)]


def test_a_cooldown_holds_back_the_way_home(tmp_path):
    rule = SHIPPED.replace("priority =", 'cooldown = "24h"\npriority =')
    with Datanaut(tmp_path, "--config", config(tmp_path, "", rule)) as server, Client(server) as car:
        drive(car, "car-01", count=2)
        wait_for("both", lambda: len(outcomes(server)) == 2)
        assert outcomes(server) == [("released", None), ("suppressed", "cooldown")]
        drive(car, "car-02")
        wait_for("somebody else", lambda: len(outcomes(server)) == 3)
        assert outcomes(server)[2] == ("released", None)
        told = server.triggers()
        assert [int(message["sequence"]) for message in told] == [1, 2], "no gap for what was held back"
        assert server.counts()["triggers_suppressed"] == {"cooldown": 1}
        assert server.metric("triggers_suppressed_total", reason="cooldown") == 1
        assert server.metric("triggers_suppressed_total", reason="feedback") == 0


def test_a_cap_holds_over_a_restart(tmp_path):
    server = Datanaut(tmp_path, "--config", config(tmp_path, "cap = 2"))
    with server:
        with Client(server) as car:
            drive(car, "car-01", count=2, end_ms=now_ms() - 2 * 3_600_000)
            wait_for("two", lambda: len(outcomes(server)) == 2)
        server.kill()
        server.start()
        with Client(server) as car:
            drive(car, "car-01", count=4)
            wait_for("the rest", lambda: ("suppressed", "cap") in outcomes(server))
        assert len(server.triggers()) == 2


def test_a_trigger_waits_for_the_night_to_end(tmp_path):
    """The customers live by UTC, where the night ends at seven."""
    rule = SHIPPED.replace('quiet_hours = "ignore"', 'quiet_hours = "wait"')
    clock = ["--clock-start", "2026-01-15T06:50:00Z", "--clock-speed", "60"]
    before_ms = 1768459800000
    server = Datanaut(tmp_path, "--config", config(tmp_path, "", rule), *clock)
    with server:
        with Client(server) as car:
            drive(car, "car-01", end_ms=before_ms)
            wait_for("it to wait", lambda: outcomes(server) == [("waiting", "quiet_hours")])
        assert server.triggers() == []
        (message,) = wait_for("the morning", server.triggers, 60)
        assert outcomes(server) == [("released", None)]
        assert ways([message]) == [("NL", "DE")]
        assert (message["revision"], message["type"]) == (0, "io.datanaut.trigger.fired")
        assert message["time"][:19] >= "2026-01-15T07:00:00"
