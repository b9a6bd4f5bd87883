import pytest

from cnnlab.cli import main
from cnnlab.commands.common import print_report, write_report


def test_the_terminal_shows_the_worst_20_classes_and_the_report_all(tmp_path, capsys):
    classes = [{"class": f"class{k:02}", "f1": k / 30} for k in range(30)] + [{"class": "unseen", "f1": float("nan")}]
    print_report({"classes": classes}, "test split")
    printed = capsys.readouterr().out
    assert "the worst 20 of 31 by f1" in printed
    assert ("class19" in printed, "class20" in printed, "unseen" in printed) == (True, False, False)
    report = write_report({"classes": classes}, "test split", tmp_path).read_text()
    assert "class29" in report
    assert "| unseen | - |" in report


def test_a_score_without_objects_is_a_dash(capsys):
    print_report({"map": 0.5, "map_large": -1.0, "r2": -1.0}, "test split")
    lines = [line.split() for line in capsys.readouterr().out.splitlines()[1:]]
    assert lines == [["map", "↑", "0.5000"], ["map", "large", "↑", "-"], ["r2", "↑", "-1.0000"]]


@pytest.mark.parametrize(
    ("name", "common", "rare"), [("evaluate", "--mc", "--exact"), ("predict", "--tile", "--overlap")]
)
def test_help_lists_the_common_options_and_help_all_the_rest(name, common, rare, capsys):
    texts = []
    for flag in ("--help", "--help-all"):
        assert main([name, flag]) == 0
        texts.append(capsys.readouterr().out)
    assert [common in texts[0], common in texts[1]] == [True, True]
    assert [rare in texts[0], rare in texts[1]] == [False, True]
    assert "--help-all" in texts[0]
