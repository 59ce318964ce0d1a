"""`measure`: peers answer questions together, in virtual time or as one of them over HTTP."""

from collections.abc import Callable, Iterable, Sequence

import typer
from rich.console import RenderableType

from gossipfl.cli.commands.loading import load_with_data
from gossipfl.cli.terminal.answers import Named, Outcomes, answers_as_json, answers_shown
from gossipfl.cli.terminal.console import INTERRUPTED, new_console, print_json
from gossipfl.cli.terminal.figures import num_bytes, seconds
from gossipfl.deploy import logs
from gossipfl.deploy.measuring_peer import MeasuringOptions, measure_as_peer
from gossipfl.queries import Unanswered


def measure_over_http(
    scenario: str,
    overrides: Sequence[str],
    data: str | None,
    options: MeasuringOptions,
    as_json: bool,
    log_format: str,
    log_level: str,
    shown: Callable[[Named, Outcomes], Iterable[RenderableType]] = answers_shown,
) -> None:
    """`measure --name`, and `data show --name` with what is `shown` of the answers."""
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
            f"{measured.counted}. {options.name} sent {status.num_messages} messages, {num_bytes(status.sent)}, and "
            f"received {num_bytes(status.received)}, in {seconds(status.seconds)}",
            soft_wrap=True,
        )
    end(outcomes)


def end(outcomes: Outcomes) -> None:
    """Exit with status 1 where a question has no answer."""
    if any(isinstance(outcome, Unanswered) for outcome in outcomes):
        raise typer.Exit(1)
