import contextlib
import http.server
import socket
import threading
from collections.abc import Iterator

import pytest
import requests
from requests.adapters import HTTPAdapter
from urllib3.util.retry import Retry

from gossipfl.data.bounded_network import bounded_network


@pytest.fixture
def silent_server() -> Iterator[str]:
    """The address of a host that accepts connections and never answers."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as listener:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/file"


def session_of_tensorflow_datasets() -> requests.Session:
    session = requests.Session()
    session.trust_env = False
    session.mount("http://", HTTPAdapter(max_retries=Retry(total=10, backoff_factor=0)))
    return session


def test_a_silent_host_is_given_up_after_few_attempts(silent_server: str) -> None:
    with (
        session_of_tensorflow_datasets() as session,
        bounded_network(seconds=0.05, retries=2),
        pytest.raises(requests.ConnectionError, match=r"Max retries exceeded|Read timed out"),
    ):
        session.get(silent_server, stream=True)


def test_a_download_that_stalls_is_given_up() -> None:
    class Stalling(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(200)
            self.send_header("Content-Length", "1000")
            self.end_headers()
            self.wfile.write(b"some bytes")
            self.wfile.flush()
            finished.wait()

        def log_message(self, format: str, *args: object) -> None:
            pass

    finished = threading.Event()
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Stalling) as server:
        server.daemon_threads = True
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            with (
                session_of_tensorflow_datasets() as session,
                bounded_network(seconds=0.1),
                session.get(f"http://127.0.0.1:{server.server_port}/", stream=True) as response,
                pytest.raises(requests.ConnectionError, match="Read timed out"),
            ):
                list(response.iter_content(10))
        finally:
            finished.set()
            server.shutdown()


def test_the_limits_end_with_the_block() -> None:
    send, timeout = HTTPAdapter.send, socket.getdefaulttimeout()
    with contextlib.suppress(KeyError), bounded_network(seconds=3):
        assert HTTPAdapter.send is not send
        assert socket.getdefaulttimeout() == 3
        raise KeyError
    assert HTTPAdapter.send is send
    assert socket.getdefaulttimeout() == timeout


def test_a_timeout_of_the_caller_stays(monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def record(adapter: HTTPAdapter, request: requests.PreparedRequest, **options: object) -> requests.Response:
        seen.append((options["timeout"], adapter.max_retries.total))
        raise requests.ConnectionError

    monkeypatch.setattr(HTTPAdapter, "send", record)
    with session_of_tensorflow_datasets() as session, bounded_network(seconds=9, retries=2):
        for timeout in (None, 1.5):
            with pytest.raises(requests.ConnectionError):
                session.get("http://example.invalid/", timeout=timeout)
    assert seen == [(9, 2), (1.5, 2)]
