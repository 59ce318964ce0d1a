"""What `docs/metrics.md` shows are scenarios, and its list of metrics is whole."""

import re
import tomllib
from pathlib import Path

from gossipfl.names.spelling import snake_case
from gossipfl.scenario import Scenario
from gossipfl.training.metrics import metric_spec

TEXT = (Path(__file__).parents[1] / "docs" / "metrics.md").read_text("utf-8")


def test_its_examples_are_scenarios():
    examples = [Scenario(**tomllib.loads(text)) for text in re.findall(r"```toml\n(.*?)```", TEXT, re.DOTALL)]
    names = [[spec.metric.name for spec in one.evaluation.specs or ()] for one in examples]
    assert names[:2] == [
        ["accuracy", "perplexity", "auc", "accuracy_of_3", "f1_score"],
        ["mae", "lift", "hits"],
    ]
    assert examples[2].targets == {"accuracy": [0.8, 0.9], "loss": [0.5]}
    assert examples[3].stop.patience == 5


def test_its_list_says_of_every_metric_which_way_is_better():
    rows = re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (higher|lower) \| (share|number) \|$", TEXT, re.MULTILINE)
    listed = {
        name: (better == "higher", unit) for names, better, unit in rows for name in re.findall(r"`(\w+)`", names)
    }
    assert {"accuracy", "perplexity", "AUC", "R2Score"} < listed.keys()
    for name, (higher_is_better, unit) in listed.items():
        metric = metric_spec(snake_case(name)).metric
        assert (metric.higher_is_better, metric.unit) == (higher_is_better, unit)
    short = re.findall(r"`(\w+)`", TEXT.partition("In short: ")[2].partition("## Targets")[0])
    assert [metric_spec(name).metric.name for name in short] == short
