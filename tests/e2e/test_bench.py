"""The measurements run; what they say is for a machine that does nothing else."""

import json

from datanaut import datanaut

SMALL = ["--seconds", "1", "--connections", "20", "--rate", "200", "--devices", "300"]


def test_every_part_measures_something(tmp_path):
    code, out, err = datanaut("bench", *SMALL, "--json", seconds=150, cwd=tmp_path)
    assert code == 0, out + err
    report = json.loads(out)
    figures = {figure["what"]: figure for figure in report["figures"]}
    for what in (
        "journal alone, devices at 1 Hz: fsync of 10 ms",
        "Mosquitto, collector against bare subscriber",
        "embedded broker, 20 connections: readings",
        "embedded broker, one connection: to PUBACK, p50",
        "200 readings/s offered: publish → trigger, p99",
        "memory, resident: 300 devices, started again",
    ):
        assert figures[what]["value"] > 0, figures[what]
    for figure in figures.values():
        assert ("target" in figure) == ("met" in figure), figure
    assert list(tmp_path.iterdir()) == [], "it leaves nothing behind"


def test_a_part_that_there_is_not():
    code, _, err = datanaut("bench", "--only", "speed")
    assert code == 2 and "journal" in err and "latency" in err
