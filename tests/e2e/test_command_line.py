"""What the command line says."""

import json
import subprocess

import pytest

from datanaut import BINARIES, ROOT, datanaut


def test_the_sample_configuration_is_fine():
    code, out, err = datanaut("check", ROOT / "datanaut.toml")
    assert code == 0 and "datanaut.toml: ok" in out and err == ""
    for section in ("mqtt", "http", "data", "sim", "clock", "weather", "journal"):
        assert f"\n  {section} " in out


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ('[mqtt]\nlisten = "127.0.0.1:1883"\n\nanonymos = true\n', 4, ["anonymos", "did you mean `anonymous`"]),
        ('[jurnal]\nhorizon = "72h"\n', 1, ["jurnal", "journal"]),
        ('[http]\nlisten = "here"\n', 2, ["`here`", "as in 127.0.0.1:1883"]),
        ("[mqtt]\nmax_clients = 0\n", 2, ["give 1 or more"]),
        ('[mqtt]\nlisten = "0.0.0.0:1883"\n', 2, ["anonymous"]),
        ('[journal]\n\nhorizon = "1s"\n', 3, ["horizon", "5m"]),
        ("[clock]\nspeed = 0\n", 2, ["speed"]),
        ('[mqtt\nlisten = ""\n', 1, []),
    ],
)
def test_a_wrong_configuration_is_refused_with_its_line(tmp_path, text, line, words):
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    code, out, err = datanaut("check", file)
    assert code == 1 and out == ""
    assert f"wrong.toml:{line}:" in err, err
    for word in words:
        assert word in err, err
    # Serving refuses the same.
    code, out, served = datanaut("--config", file, "--data", tmp_path / "data")
    assert code != 0 and err.strip() in served
    assert not (tmp_path / "data").exists()


def test_a_file_that_is_not_there(tmp_path):
    code, _, err = datanaut("check", tmp_path / "nowhere.toml")
    assert code == 2 and "nowhere.toml" in err


@pytest.mark.parametrize("command", [[], ["check"], ["replay"], ["quarantine"], ["quarantine", "retry"], ["bench"]])
def test_help(command):
    code, out, _ = datanaut(*command, "--help")
    assert code == 0 and "Usage: datanaut" in out


def test_a_place_is_explained():
    moment = ["--at", "2026-01-15T12:00:00Z"]
    code, out, _ = datanaut("where", "51.4409", "4.9327", "--accuracy", "3", *moment)
    assert code == 0
    for part in ("Belgium (BE), certain", "to the Netherlands (NL)", "Europe/Brussels", "thetyrelab"):
        assert part in out, out
    code, out, _ = datanaut("where", "45.9237", "6.8694", "--json", *moment)
    here = json.loads(out)
    assert (here["country"], here["certainty"], here["border"]["with"]) == ("FR", "certain", "IT")
    assert here["region"] == {"code": "FR-74", "name": "Haute-Savoie"}
    assert here["weather"]["row"]["source"] == "synthetic" and here["road"]["reason"]
    assert here["tyres"]["demand"] == "depends_on_signs" and here["tyres"]["not_verified"]
    code, _, err = datanaut("where", "95", "5")
    assert code == 1 and "is no place" in err


def test_a_place_knows_the_areas_of_risk_of_the_configuration(tmp_path):
    areas = {"type": "FeatureCollection", "features": [{
        "type": "Feature", "properties": {"name": "old town", "premium_factor": 1.5},
        "geometry": {"type": "Polygon", "coordinates": [[[5, 52], [5.2, 52], [5.2, 52.2], [5, 52.2], [5, 52]]]},
    }]}
    config = tmp_path / "config.toml"
    config.write_text(f'[places]\nrisk_areas = "{tmp_path}/areas.geojson"\n')
    (tmp_path / "areas.geojson").write_text(json.dumps(areas))
    code, out, _ = datanaut("where", "52.1", "5.1", "--config", config)
    assert code == 0 and "old town (premium × 1.5)" in out
    areas["features"][0]["properties"]["premium_factor"] = -1
    (tmp_path / "areas.geojson").write_text(json.dumps(areas))
    code, _, err = datanaut("where", "52.1", "5.1", "--config", config)
    assert code == 1 and "old town" in err and "premium_factor" in err


@pytest.mark.parametrize("command", [("device-sim", "areas"), ("datanaut", "rules", "list")])
def test_a_reader_that_has_read_enough_ends_it_quietly(command):
    with subprocess.Popen(
        [BINARIES / command[0], *command[1:]], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        process.stdout.close()
        assert process.stderr.read() == b""


def test_version():
    code, out, _ = datanaut("--version")
    assert code == 0 and out.startswith("datanaut ")


def test_an_unknown_flag_names_the_one_that_was_meant():
    code, _, err = datanaut("--dta", "x")
    assert code == 2 and "--data" in err
