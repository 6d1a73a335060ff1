"""What the command line says."""

import pytest

from datanaut import ROOT, datanaut


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
        ('[http]\nlisten = "here"\n', 2, []),
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


def test_version():
    code, out, _ = datanaut("--version")
    assert code == 0 and out.startswith("datanaut ")


def test_an_unknown_flag_names_the_one_that_was_meant():
    code, _, err = datanaut("--dta", "x")
    assert code == 2 and "--data" in err
