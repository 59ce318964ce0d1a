"""`measure`: peers answer questions together, in virtual time or as one of them over HTTP."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace

import typer
from rich.console import RenderableType

from gossipfl import analytics
from gossipfl.cli.commands.loading import load_dataset, load_with_data
from gossipfl.cli.terminal.answers import HOLDINGS, Named, Outcomes, answers_as_json, answers_shown, holdings_shown
from gossipfl.cli.terminal.console import INTERRUPTED, new_console, print_json
from gossipfl.cli.terminal.figures import num_bytes, seconds
from gossipfl.data.column_queries import column_queries
from gossipfl.deploy import logs
from gossipfl.deploy.measuring_peer import MeasuringOptions, measure_as_peer, network_to_ask
from gossipfl.experiments.experiment import Experiment
from gossipfl.experiments.values_of_peers import columns_of, dealt, questions_of
from gossipfl.queries import Unanswered


def measure_in_virtual_time(
    name: str,
    overrides: Sequence[str],
    data: str | None,
    queries: Sequence[str],
    weight: str | None,
    algorithm: str | None,
    seed: int | None,
    download: bool,
    as_json: bool,
) -> None:
    """`measure` without a name: all peers of the scenario, on its simulated network; first what it will cost."""
    asked = column_queries(queries, weight)
    scenario = load_with_data(name, overrides, data)
    if seed is not None:
        scenario = scenario.with_seed(seed)
    graph, network = network_to_ask(scenario, algorithm), scenario.network.model()
    dataset = load_dataset(scenario, download, columns_of(asked))
    local = dealt(Experiment(scenario, dataset), asked, graph)
    some = local[next(iter(local))]
    questions, colluders = questions_of(asked, some), scenario.privacy.colluders
    named = [(one, of_one.names) for one, of_one in zip(asked, some, strict=True)]
    expected = analytics.predicted(graph, questions, network, is_masked=colluders is not None)
    console = new_console()
    counted = f"of {dataset.name}, the {len(dataset.train)} training examples count"
    if not as_json:
        console.print(f"{counted}. Expected at most: {_shown(expected)}, {len(graph)} peers", soft_wrap=True)
        if colluders is not None:
            console.print(
                "Nobody sees what a single peer has, but sums alone; in virtual time keys come from the seed, and "
                "protect nobody",
                soft_wrap=True,
            )
    values = {peer: [one.values for one in of_peer] for peer, of_peer in local.items()}
    found = analytics.asked(graph, questions, values, network=network, seed=scenario.seed, colluders=colluders)
    if as_json:
        costs = {"predicted": asdict(expected), "cost": asdict(found.cost)}
        print_json({"answers": answers_as_json(named, found.answers), "counted": counted, **costs})
    else:
        for part in answers_shown(named, found.answers):
            console.print(part, soft_wrap=isinstance(part, str), crop=False)
        console.print(f"It took {_shown(found.cost)} of virtual time", soft_wrap=True)
    _end(found.answers)


def _shown(cost: analytics.Cost) -> str:
    sent = f"{cost.num_messages:,} messages, {num_bytes(cost.num_bytes)}"
    return f"{cost.num_passes} passes, {sent}, {seconds(cost.seconds)}"


def measure_over_http(
    scenario: str,
    overrides: Sequence[str],
    data: str | None,
    queries: Sequence[str],
    weight: str | None,
    options: MeasuringOptions,
    as_json: bool,
    log_format: str,
    log_level: str,
) -> None:
    """`measure --name`."""
    options = replace(options, asked=column_queries(queries, weight))
    _ask(scenario, overrides, data, options, as_json, log_format, log_level, answers_shown)


def show_holdings(
    scenario: str, overrides: Sequence[str], data: str | None, options: MeasuringOptions, as_json: bool
) -> None:
    """`data show --name`."""
    options = replace(options, asked=column_queries(HOLDINGS))
    _ask(scenario, overrides, data, options, as_json, "text", "warning", holdings_shown)


def _ask(
    scenario: str,
    overrides: Sequence[str],
    data: str | None,
    options: MeasuringOptions,
    as_json: bool,
    log_format: str,
    log_level: str,
    shown: Callable[[Named, Outcomes], Iterable[RenderableType]],
) -> None:
    """Ask as one peer over HTTP, with what is `shown` of the answers."""
    loaded = load_with_data(scenario, overrides, data)
    logs.configure(log_format, log_level)
    console = new_console()

    def show(names: Sequence[Sequence[str]], outcomes: Outcomes) -> None:
        for part in () if as_json else shown(list(zip(options.asked, names, strict=True)), outcomes):
            console.print(part, soft_wrap=isinstance(part, str), crop=False)

    measured = measure_as_peer(loaded, options, show)
    outcomes, status = measured.heard.outcomes, measured.heard.status
    if outcomes is None:
        console.print("stopped before there was an answer", soft_wrap=True)
        raise typer.Exit(INTERRUPTED if measured.heard.is_interrupted else 1)
    if as_json:
        named = list(zip(options.asked, measured.names, strict=True))
        traffic = {name: getattr(status, name) for name in ("num_messages", "sent", "received", "seconds")}
        print_json({"answers": answers_as_json(named, outcomes), "counted": measured.counted, **traffic})
    else:
        console.print(
            f"{measured.counted}. Messages that {options.name} sent: {status.num_messages}, {num_bytes(status.sent)}; "
            f"received: {num_bytes(status.received)}; in {seconds(status.seconds)}",
            soft_wrap=True,
        )
    _end(outcomes)


def _end(outcomes: Outcomes) -> None:
    """Exit with status 1 where a question has no answer."""
    if any(isinstance(outcome, Unanswered) for outcome in outcomes):
        raise typer.Exit(1)
