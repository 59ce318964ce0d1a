"""`status`: what running peers say of themselves, once or for as long as it is wanted."""

import asyncio
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, suppress
from dataclasses import asdict
from typing import Any

import typer
from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.text import Text

from gossipfl.cli.terminal.console import new_console, print_json
from gossipfl.cli.terminal.peer_table import peer_table
from gossipfl.deploy.status import ask, follow
from gossipfl.engines.http.status import PeerStatus
from gossipfl.files.strict_json import strict_json
from gossipfl.names.visible_text import all_visible


def show_status(urls: Sequence[str], as_json: bool) -> None:
    """`status`."""
    answers = {url: ask(url) for url in urls}
    if as_json:
        print_json(answers)
    else:
        console = new_console()
        console.print(peer_table([answer for answer in answers.values() if "error" not in answer]))
        for url, answer in answers.items():
            if "error" in answer:
                console.print(f"{url}: {answer['error']}", soft_wrap=True)
    if any("error" in answer for answer in answers.values()):
        raise typer.Exit(1)


def follow_status(urls: Sequence[str], as_json: bool) -> None:
    """`status --follow`."""
    console = new_console()
    answers: dict[str, dict[str, Any]] = {url: {"error": "has not answered yet"} for url in urls}
    live = Live(get_renderable=lambda: _shown(answers, console), console=console, refresh_per_second=2)

    def tell(place: int, answer: PeerStatus | str) -> None:
        url, said = urls[place], {"error": answer} if isinstance(answer, str) else all_visible(asdict(answer))
        if as_json:
            typer.echo(strict_json({url: said}))
        elif not console.is_terminal and (changed := _news(answers[url], said)):
            console.print(f"{url}: {changed}", soft_wrap=True)
        answers[url] = said

    with suppress(KeyboardInterrupt), live if console.is_terminal and not as_json else nullcontext():
        asyncio.run(follow(urls, tell))


def _shown(answers: Mapping[str, Mapping[str, Any]], console: Console) -> RenderableType:
    """The table of those that answer, and a line for each that does not."""
    there = [answer for answer in answers.values() if "error" not in answer]
    silent = [Text(f"{url}: {answer['error']}") for url, answer in answers.items() if "error" in answer]
    return Group(peer_table(there, console.height - len(silent)), *silent)


def _news(before: Mapping[str, Any], now: Mapping[str, Any]) -> str | None:
    """A line on what has changed that matters, for logs and pipes."""
    if "error" in now:
        return None if before.get("error") == now["error"] else str(now["error"])
    key = ("state", "round", "awaits")
    if all(before.get(name) == now[name] for name in key):
        return None
    waits = f" for {', '.join(now['awaits'][:3])}" if now["awaits"] else ""
    return f"{now['peer']} {now['state']}{waits}, round {now['round']}/{now['rounds']}"
