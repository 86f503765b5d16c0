"""A practice platform: a real HTTP server on this machine that plays Meta and Google Data Manager.

It keeps true member sets, checks every request against the platform's contract, answers in the platform's own
form, and fails when it is told to. Use it in your own tests, or practise with `python -m exporters.testing`.
"""

from __future__ import annotations

import argparse
import json
import re
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Literal

__all__ = ["Fault", "PracticePlatform", "Seen", "drop", "main", "say", "slow"]

_DIGEST = re.compile(r"[0-9a-f]{64}")
_MOST_ROWS = 10_000
_META_COLUMNS = {"EMAIL", "PHONE"}
_META_USERS = re.compile(r"/v\d+\.\d+/(\d+)/users")
_META_CREATE = re.compile(r"/v\d+\.\d+/(act_\d+)/customaudiences")
_GOOGLE_CREATE = re.compile(r"/v1/accountTypes/GOOGLE_ADS/accounts/(\d+)/userLists")
_GOOGLE_MEMBERS = re.compile(r"/v1/audienceMembers:(ingest|remove)")

_Answer = tuple[int, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class Fault:
    """What goes wrong with one request.

    Attributes:
        kind: `say` answers something else and applies nothing; `drop_before` and `drop_after` close the
            connection before or after applying; `slow` waits, then answers.
        status: of `say`.
        body: of `say`.
        headers: of `say`.
        seconds: of `slow`.
    """

    kind: Literal["say", "drop_before", "drop_after", "slow"]
    status: int = 500
    body: str = ""
    headers: tuple[tuple[str, str], ...] = ()
    seconds: float = 0.0


def say(status: int, body: str = "", **headers: str) -> Fault:
    """A fault that answers `status`; a header `Retry_After="7"` is sent as `Retry-After: 7`.

    Args:
        status: HTTP status.
        body: whatever the answer should hold.
        headers: with underscores for dashes.
    """
    return Fault("say", status, body, tuple((name.replace("_", "-"), text) for name, text in headers.items()))


def drop(*, applied: bool) -> Fault:
    """A fault that loses the answer.

    Args:
        applied: whether the platform did what it was asked before the connection broke.
    """
    return Fault("drop_after" if applied else "drop_before")


def slow(seconds: float) -> Fault:
    """A fault that answers late.

    Args:
        seconds: how late.
    """
    return Fault("slow", seconds=seconds)


@dataclass(frozen=True, slots=True)
class Seen:
    """One request that arrived.

    Attributes:
        method: HTTP method.
        path: without query.
        operation: `create`, `add`, `remove` or `unknown`.
        rows: identifiers in it.
        body: its raw bytes, for searching.
        headers: its headers, the token left out.
        status: what was answered; 0 when the connection was dropped.
    """

    method: str
    path: str
    operation: str
    rows: int
    body: bytes
    headers: tuple[tuple[str, str], ...]
    status: int


class _ContractError(Exception):
    """A request that the platform would refuse, with its answer."""

    def __init__(self, status: int, body: Mapping[str, Any]) -> None:
        super().__init__(status)
        self.answer = (status, body)


class PracticePlatform:
    """The server; use it as a context manager.

    Attributes:
        seen: every request, in order of arrival.
        bad_digests: digests that Google refuses by name, and that Meta counts as invalid.
        on_request: is called with the number of the request before it is handled, for tests that kill.
    """

    def __init__(self, port: int = 0) -> None:
        """Bind to loopback.

        Args:
            port: 0 takes a free one.
        """
        self.seen: list[Seen] = []
        self.bad_digests: set[str] = set()
        self.on_request: Callable[[int], None] = lambda _number: None
        self._faults: deque[Fault] = deque()
        self._members: dict[str, set[str]] = {}
        self._names: dict[str, tuple[str, str]] = {}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", port), _handler(self))
        self._server.daemon_threads = True
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        """The base URL to give to a destination."""
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def __enter__(self) -> PracticePlatform:
        """Start serving."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop serving."""
        self._server.shutdown()
        self._server.server_close()
        if self._thread is not None:
            self._thread.join()

    def serve(self) -> None:
        """Serve in this thread until interrupted."""
        with suppress(KeyboardInterrupt):
            self._server.serve_forever()
        self._server.server_close()

    def fail_next(self, *faults: Fault) -> None:
        """Let the next requests fail, one a fault.

        Args:
            faults: in order.
        """
        self._faults.extend(faults)

    def recover(self) -> None:
        """Forget the faults that are left."""
        self._faults.clear()

    def audiences(self) -> dict[str, tuple[str, str, int]]:
        """Every audience: its id → (platform, name, members)."""
        with self._lock:
            return {key: (*name, len(self._members[key])) for key, name in self._names.items()}

    def members(self, name: str) -> frozenset[str]:
        """The digests in the one audience of that name; empty when there is none.

        Args:
            name: what the audience was called when it was made: its alias.
        """
        with self._lock:
            return frozenset(
                digest
                for key, (_, given) in self._names.items()
                if given == name
                for digest in self._members[key]
            )

    def everybody(self) -> frozenset[str]:
        """The digests in all audiences together."""
        with self._lock:
            return frozenset(digest for members in self._members.values() for digest in members)

    def _handle(self, request: BaseHTTPRequestHandler, method: str) -> None:
        body = request.rfile.read(int(request.headers.get("Content-Length") or 0))
        path = request.path.partition("?")[0]
        with self._lock:
            number = len(self.seen)
            fault = self._faults.popleft() if self._faults else None
        self.on_request(number)
        operation, rows = "unknown", 0
        if fault is not None and fault.kind in ("say", "drop_before"):
            status = fault.status if fault.kind == "say" else 0
        else:
            if fault is not None and fault.kind == "slow":
                time.sleep(fault.seconds)
            with self._lock:
                (status, answer), operation, rows = self._answer(method, path, body, dict(request.headers))
        shown = tuple((name, text) for name, text in request.headers.items() if name != "Authorization")
        dropped = fault is not None and fault.kind.startswith("drop")
        with self._lock:
            self.seen.append(Seen(method, path, operation, rows, body, shown, 0 if dropped else status))
        if dropped:
            with suppress(OSError):
                request.connection.shutdown(socket.SHUT_RDWR)
            request.close_connection = True
            return
        if fault is not None and fault.kind == "say":
            _respond(request, fault.status, fault.body.encode(), fault.headers)
        else:
            content = json.dumps(answer).encode()
            _respond(request, status, content, (("Content-Type", "application/json"),))

    def _answer(
        self, method: str, path: str, body: bytes, headers: Mapping[str, str]
    ) -> tuple[_Answer, str, int]:
        google = path.startswith("/v1/")
        try:
            if not re.fullmatch(r"Bearer \S+", headers.get("Authorization", "")):
                raise _refusal(google, 401, "UNAUTHENTICATED", 190)
            try:
                content = json.loads(body)
            except ValueError:
                raise _refusal(google, 400, "INVALID_ARGUMENT", 100) from None
            for pattern, handle in (
                (_META_CREATE, self._meta_create),
                (_META_USERS, self._meta_users),
                (_GOOGLE_CREATE, self._google_create),
                (_GOOGLE_MEMBERS, self._google_members),
            ):
                found = pattern.fullmatch(path)
                if found:
                    return handle(method, found[1], content)
            raise _refusal(google, 404, "NOT_FOUND", 100)
        except _ContractError as error:
            return error.answer, "unknown", 0
        except (AttributeError, KeyError, TypeError, ValueError):
            return _refusal(google, 400, "INVALID_ARGUMENT", 100).answer, "unknown", 0

    def _make(self, platform: str, name: str) -> str:
        key = str(1_000 + len(self._names))
        self._names[key] = (platform, name)
        self._members[key] = set()
        return key

    def _meta_create(self, method: str, _account: str, content: Any) -> tuple[_Answer, str, int]:
        _expect(
            method == "POST"
            and set(content) == {"name", "description", "subtype", "customer_file_source"}
            and content["subtype"] == "CUSTOM"
            and content["customer_file_source"] == "USER_PROVIDED_ONLY",
            _refusal(False, 400, "", 100),
        )
        return (200, {"id": self._make("meta", str(content["name"]))}), "create", 0

    def _meta_users(self, method: str, key: str, content: Any) -> tuple[_Answer, str, int]:
        bad = _refusal(False, 400, "", 100)
        _expect(method in ("POST", "DELETE") and key in self._members, bad)
        _expect(isinstance(content, dict) and set(content) == {"session", "payload"}, bad)
        session, payload = content["session"], content["payload"]
        _expect(
            set(session) == {"session_id", "batch_seq", "last_batch_flag", "estimated_num_total"}
            and 0 < session["session_id"] < 1 << 63
            and session["batch_seq"] >= 1,
            bad,
        )
        schema, data = payload["schema"], payload["data"]
        _expect(set(payload) == {"schema", "data"} and set(schema) <= _META_COLUMNS, bad)
        _expect(0 < len(data) <= _MOST_ROWS, bad)
        digests = []
        for row in data:
            given = [value for value in row if value != ""]
            _expect(len(row) == len(schema) and len(given) == 1 and _is_digest(given[0]), bad)
            digests.append(given[0])
        invalid = sum(digest in self.bad_digests for digest in digests)
        self._change(key, method == "POST", (each for each in digests if each not in self.bad_digests))
        answer = {
            "audience_id": key,
            "session_id": str(session["session_id"]),
            "num_received": len(digests),
            "num_invalid_entries": invalid,
            "invalid_entry_samples": {},
        }
        return (200, answer), "add" if method == "POST" else "remove", len(digests)

    def _google_create(self, method: str, _account: str, content: Any) -> tuple[_Answer, str, int]:
        _expect(
            method == "POST"
            and set(content) == {"displayName", "membershipDuration", "ingestedUserListInfo"}
            and content["ingestedUserListInfo"].get("uploadKeyTypes") == ["CONTACT_ID"],
            _refusal(True, 400, "INVALID_ARGUMENT", 0),
        )
        violation = {"field": "user_list.display_name", "reason": "DISPLAY_NAME_ALREADY_USED"}
        _expect(
            ("google", content["displayName"]) not in self._names.values(),
            _refusal(True, 400, "INVALID_ARGUMENT", 0, [violation]),
        )
        key = self._make("google", str(content["displayName"]))
        return (200, {"id": key, "displayName": content["displayName"]}), "create", 0

    def _google_members(self, method: str, verb: str, content: Any) -> tuple[_Answer, str, int]:
        bad = _refusal(True, 400, "INVALID_ARGUMENT", 0)
        fields = {"destinations", "audienceMembers", "encoding"}
        fields |= {"consent", "termsOfService"} if verb == "ingest" else set()
        _expect(method == "POST" and isinstance(content, dict) and set(content) == fields, bad)
        _expect(content["encoding"] == "HEX" and len(content["destinations"]) == 1, bad)
        if verb == "ingest":
            granted = {"adUserData": "CONSENT_GRANTED", "adPersonalization": "CONSENT_GRANTED"}
            accepted = {"customerMatchTermsOfServiceStatus": "ACCEPTED"}
            _expect(content["consent"] == granted and content["termsOfService"] == accepted, bad)
        key = content["destinations"][0].get("productDestinationId")
        _expect(key in self._members, bad)
        members = content["audienceMembers"]
        _expect(0 < len(members) <= _MOST_ROWS, bad)
        digests, violations = [], []
        for index, member in enumerate(members):
            (identifier,) = member["compositeData"]["userData"]["userIdentifiers"]
            ((name, digest),) = identifier.items()
            _expect(name in ("emailAddress", "phoneNumber"), bad)
            if not _is_digest(digest) or digest in self.bad_digests:
                violations.append(
                    {
                        "field": f"audience_members.audience_members[{index}].composite_data.user_data",
                        "reason": "INVALID_SHA256_FORMAT",
                    }
                )
            digests.append(digest)
        if violations:
            raise _refusal(True, 400, "INVALID_ARGUMENT", 0, violations)
        self._change(key, verb == "ingest", digests)
        operation = "add" if verb == "ingest" else "remove"
        return (200, {"requestId": f"request-{len(self.seen)}"}), operation, len(digests)

    def _change(self, key: str, add: bool, digests: Iterable[str]) -> None:
        if add:
            self._members[key].update(digests)
        else:
            self._members[key].difference_update(digests)


def _is_digest(value: object) -> bool:
    return isinstance(value, str) and _DIGEST.fullmatch(value) is not None


def _expect(holds: bool, refusal: _ContractError) -> None:
    if not holds:
        raise refusal


def _refusal(
    google: bool, status: int, name: str, code: int, violations: Iterable[Mapping[str, str]] = ()
) -> _ContractError:
    if not google:
        return _ContractError(status, {"error": {"message": "refused", "code": code}})
    detail = {"@type": "type.googleapis.com/google.rpc.BadRequest", "fieldViolations": list(violations)}
    return _ContractError(status, {"error": {"code": status, "status": name, "details": [detail]}})


def _respond(
    request: BaseHTTPRequestHandler, status: int, content: bytes, headers: Iterable[tuple[str, str]]
) -> None:
    with suppress(OSError):
        request.send_response(status)
        for name, text in headers:
            request.send_header(name, text)
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        request.wfile.write(content)


def _handler(platform: PracticePlatform) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        # head and body are two packets; without this the second waits for a delayed acknowledgement
        disable_nagle_algorithm = True

        def do_POST(self) -> None:
            platform._handle(self, "POST")

        def do_DELETE(self) -> None:
            platform._handle(self, "DELETE")

        def log_message(self, format: str, *args: object) -> None:
            pass

    return Handler


def main() -> None:
    """Serve until interrupted: `python -m exporters.testing --port 8765`."""
    parser = argparse.ArgumentParser(description="Play an ad platform on this machine.")
    parser.add_argument("--port", type=int, default=8765, help="port on 127.0.0.1; 0 takes a free one")
    platform = PracticePlatform(parser.parse_args().port)
    print(f"The practice platform listens on {platform.url}; Ctrl-C stops it.", flush=True)  # noqa: T201
    platform.serve()


if __name__ == "__main__":
    main()
