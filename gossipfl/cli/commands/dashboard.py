"""`dashboard`: a page on peers that run somewhere, for as long as it is wanted."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gossipfl.cli.terminal.console import new_console
from gossipfl.dashboard.followed import Followed
from gossipfl.deploy.token_files import read_token
from gossipfl.engines.http.serving.live_pages import LivePages
from gossipfl.errors import ConfigurationError


def serve_dashboard(peers: Sequence[str], file: Path | None, listen: tuple[str, int], token: Path | None) -> None:
    """`dashboard`."""
    urls = [*peers, *(() if file is None else _urls_in(file))]
    if not urls:
        raise ConfigurationError(
            "name the peers to show: --peers http://HOST:PORT..., where each is watched (`gossipfl peer --watch`), "
            "or --file; the page of a run on this machine is that of `gossipfl launch --dashboard`"
        )
    with suppress(KeyboardInterrupt):
        asyncio.run(_serve(Followed(urls), listen, None if token is None else read_token(token)))


async def _serve(followed: Followed, listen: tuple[str, int], token: str | None) -> None:
    server = LivePages(followed.board, *listen, token)
    try:
        address = await server.start()
    except OSError as error:
        raise ConfigurationError(
            f"the dashboard cannot be at {listen[0]}:{listen[1]}: {error.strerror or error}; choose another --listen"
        ) from error
    new_console().print(f"Dashboard: {address}{'' if token is None else f'?token={token}'}", soft_wrap=True)
    try:
        await followed.run()
    finally:
        await server.stop()


def _urls_in(file: Path) -> list[str]:
    try:
        lines = file.read_text("utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{file} should hold a URL in each line, and cannot be read: {error}") from error
    return [words[0] for line in lines if (words := line.partition("#")[0].split())]
