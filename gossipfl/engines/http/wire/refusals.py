"""Those who break a rule are told an HTTP status and a reason that machines can read."""

import json
import logging

REASONS: dict[str, tuple[int, str]] = {
    # Decided from the headers, before the body is read
    "not_found": (404, "there is nothing at this path"),
    "method": (405, "this path knows another method only"),
    "malformed_http": (400, "the request is not HTTP/1.1"),
    "upgrade": (400, "connections stay HTTP/1.1, and lead nowhere else"),
    "no_length": (411, "a body comes with its Content-Length, never in chunks"),
    "content_encoding": (415, "bodies are not compressed"),
    "no_envelope": (400, "the header Gossipfl-Envelope is missing or garbled"),
    "other_protocol": (400, "the sender speaks another version of the protocol"),
    "other_run": (409, "the sender is in another run, or has other data, model, seed, topology, algorithm or queries"),
    "other_schema": (409, "the sender's model has other shapes or dtypes"),
    "wrong_receiver": (403, "this is for another peer"),
    "revoked": (403, "the sender has been shut out of the run: this peer does not talk to it any more"),
    "unknown_sender": (403, "the sender is no neighbor of this peer"),
    "too_large": (413, "the body is larger than any message of this run"),
    "wrong_length": (400, "the Content-Length is not the size in the envelope"),
    "bad_certificate": (403, "the certificate was not issued to the sender by the run's authority, or has expired"),
    "bad_signature": (403, "the envelope is not signed by the sender"),
    "other_session": (409, "this is for an earlier life of this peer; its session is in the header Gossipfl-Session"),
    "old_incarnation": (409, "a later incarnation of the sender has been heard: resume from its newest checkpoint"),
    "replayed": (409, "this POST has been received before"),
    "too_many_requests": (429, "too many requests"),
    "too_many_connections": (503, "too many connections"),
    "tls_handshake": (400, "the TLS handshake failed or took too long, or no certificate of this run was presented"),
    "slow_headers": (408, "the headers did not arrive in time"),
    # Decided while the body comes, or after
    "slow_body": (408, "the body did not arrive in time"),
    "broken_body": (400, "the connection broke in the body"),
    "wrong_digest": (422, "the body is not the one that was signed"),
    "malformed_message": (422, "the body is not a message"),
    "not_finite": (422, "the message holds NaN or infinity"),
    "wrong_sender": (403, "the message and its envelope name different peers"),
    "absurd_number": (422, "the message claims a number that cannot be"),
    "against_protocol": (422, "the message breaks a rule of the algorithm"),
    "not_taken_in": (
        422,
        "what the message carries was not taken in when its turn came; nothing else is wrong with it",
    ),
    "slow_reader": (408, "the answer was not read in time"),
    "internal_error": (500, "this peer has a defect; its log says more"),
    "stopping": (503, "this peer is stopping"),
    "not_ready": (503, "this peer has not started yet"),
}
"""Every reason with its status and meaning; refusals are counted under these names and no others."""


class Refusal(Exception):
    """A request that is not served; `reason` is one of `REASONS`, `detail` says more, for people. `retry_after` is in
    seconds."""

    def __init__(self, reason: str, detail: str = "", *, retry_after: float | None = None) -> None:
        self.reason = reason
        self.status, meaning = REASONS[reason]
        self.detail = f"{meaning}: {detail}" if detail else meaning
        self.retry_after = retry_after
        super().__init__(self.detail)

    def body(self) -> bytes:
        said: dict[str, str | float] = {"reason": self.reason, "message": self.detail}
        if self.retry_after is not None:
            said["retry_after"] = round(self.retry_after, 3)  # the header Retry-After knows whole seconds only
        return json.dumps(said).encode()

    def log(self, logger: logging.Logger, sender: str) -> None:
        """Write it down: of a stranger ("") only for those who look closely, since there may be many."""
        level = logging.WARNING if sender else logging.DEBUG
        facts = {"sender": sender or "a stranger", "reason": self.reason, "detail": self.detail}
        logger.log(level, "refused what %(sender)s sent: %(reason)s (%(detail)s)", facts)
