"""Arguments of jbc fit in any order, spelt in either way; messages in the words of the command line."""

from __future__ import annotations

import itertools

import pytest
from problems import refusal

from jbc.cli.arguments import FLAG, MANY, ONE, in_order
from jbc.cli.main import main
from jbc.cli.methods import CHOICES, GUIDE, IN_A_LINE, SETTINGS
from jbc.cli.wording import at_command_line

OWN = {"--data": MANY, "--batch-key": ONE, "--out": ONE, "--resume": FLAG}
METHODS = {"standardise": ["--on", "--scale"], "mmd-resnet": ["--rows", "--optimiser"]}
EXPECTED = ["--data", "a.csv", "b.csv", "--batch-key", "plate", "--out", "run", "mmd-resnet", "--rows", "12"]


@pytest.mark.parametrize(
    "line",
    [
        "--data a.csv b.csv --batch-key plate --out run mmd-resnet --rows 12",
        "mmd-resnet --data a.csv b.csv --batch-key plate --out run --rows 12",
        "mmd-resnet --rows 12 --data a.csv b.csv --batch-key plate --out run",
        "MMDResNet --data a.csv b.csv --rows 12 --batch-key plate --out run",
        "--data a.csv b.csv mmd_resnet --rows 12 --batch-key plate --out run",
        "--rows 12 --data a.csv b.csv --batch-key plate --out run mmd-resnet",
    ],
)
def test_the_method_may_come_anywhere(line):
    assert in_order(line.split(), OWN, METHODS) == EXPECTED


def test_values_are_not_taken_for_the_method():
    line = "--batch-key standardise --resume --data=a.csv standardise --no-scale"
    expected = ["--batch-key", "standardise", "--resume", "--data=a.csv", "standardise", "--no-scale"]
    assert in_order(line.split(), OWN, METHODS) == expected


def test_american_spelling():
    line = "standardize --data a.csv --on controls"
    assert in_order(line.split(), OWN, METHODS)[2:] == ["standardise", "--on", "controls"]
    line = "mmd-resnet --optimizer=adam --data a.csv"
    assert in_order(line.split(), OWN, METHODS)[2:] == ["mmd-resnet", "--optimiser=adam"]


def test_an_unknown_method_is_named_with_its_like():
    with refusal("unknown-method") as caught:
        in_order(["standartise", "--data", "a.csv"], OWN, METHODS)
    assert "'standartise'" in str(caught.value)
    assert "Did you mean standardise?" in str(caught.value)
    with refusal("unknown-method") as caught:
        in_order(["--data", "a.csv", "--out", "run"], OWN, METHODS)
    assert str(caught.value).startswith("No method is named.")


def test_help_is_that_of_the_method_where_one_is_named():
    assert in_order(["standardise", "--help"], OWN, METHODS) == ["standardise", "--help"]
    assert in_order(["--help"], OWN, METHODS) == ["--help"]


@pytest.mark.parametrize("name", CHOICES)
def test_every_option_of_every_method_has_a_text(name, capsys):
    assert main(["fit", name, "--help"]) == 0
    shown = [line.strip("│ ") for line in capsys.readouterr().out.splitlines()]
    silent = []
    for line, after in itertools.pairwise(shown):
        option, _, text = line.partition("  ")
        if option.startswith("--") and (text or after).strip().startswith("(default"):
            silent.append(option)
    assert not silent
    assert any(IN_A_LINE[name][:30] in line for line in shown)


def test_the_chooser_names_methods_that_there_are(capsys):
    assert main(["methods"]) == 0
    shown = capsys.readouterr().out
    assert all(name in SETTINGS for _, names, _ in GUIDE for name in names)
    assert all(name in shown for name in CHOICES)


@pytest.mark.parametrize(
    ("message", "said"),
    [
        ("Fit again, with y= for at least one domain.", "Fit again, with --labels-key for at least one batch."),
        ("Unknown domains: 'domain 9'.", "Unknown batches: 'domain 9'."),
        ("A domain's mean; domains=3 of 'domain=x.csv'.", "A batch's mean; --domains 3 of 'domain=x.csv'."),
        ("Use output=\"features\".", "Use --output features."),
        ("Name it: route=Route(target=...).", "Name it: --target ...."),
        ("Set scale=False, or rows=2.", "Set --no-scale, or --rows 2."),
        ("Pass sep=\";\".", "Pass --sep ';'."),
        ("1e-3 <= x == 2, a_b", "1e-3 <= x == 2, a_b"),
    ],
)  # fmt: skip
def test_messages_speak_of_options_and_batches(message, said):
    assert at_command_line(message) == said
