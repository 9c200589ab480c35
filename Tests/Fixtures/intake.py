#!/usr/bin/env python3
"""An intake service in plain Python 3, written from the Intake API document (v1) alone.

    intake.py --socket PATH --store DIR [--end-with-input]

Standard library only. What is acknowledged is on the disk: a page under its digest in DIR/blobs, events as JSON
lines in DIR/events.jsonl in the order they came, each id once. What the agent does against the document is refused
and written to DIR/violations.jsonl; a test asserts that this file is empty. Events that come again are named in
DIR/duplicates. One line is printed for each answer.

DIR/mode, read at every request, makes it misbehave (no such file: it behaves):

    503 [SECONDS]   answers 503, with Retry-After: SECONDS where given, and stores nothing
    code500         answers 200 {"code":500}, and stores nothing
    lose-answers    stores, then hangs up without having answered
    die             stores, then ends, without having answered
    hang            stores nothing and never answers
    garbage         stores nothing and answers what is no HTTP
    half            stores nothing and hangs up in the middle of an answer of 200
    reject TYPE     accepts everything but events of that type, which it names as rejected
    STATUS          any other status: answers it, and stores nothing
"""

import argparse
import hashlib
import http.server
import json
import os
import re
import signal
import socketserver
import sys
import threading

MAX_BATCH_EVENTS = 500
MAX_BATCH_BYTES = 1024 * 1024
MAX_BLOB_BYTES = 64 * 1024 * 1024
BLOB_MEDIA_TYPES = {"image/jpeg", "image/png", "image/tiff", "application/pdf", "application/json"}
DIGEST = re.compile(r"[0-9a-f]{64}")
UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}")
UUID_V7 = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}")
SEQUENCE = re.compile(r"[0-9]{20}")
SOURCE = re.compile(r"/halls/[^/]+/positions/[^/]+/(?:devices/([^/]+)|agent)")
RFC3339 = re.compile(
    r"\d{4}-(0[1-9]|1[0-2])-(0[1-9]|[12]\d|3[01])T([01]\d|2[0-3]):[0-5]\d:([0-5]\d|60)(\.\d+)?"
    r"(Z|[+-]([01]\d|2[0-3]):[0-5]\d)"
)

REQUIRED_ATTRIBUTES = {
    "specversion", "id", "time", "datacontenttype", "source", "epoch", "sequence", "type", "data",
}
OPTIONAL_ATTRIBUTES = {"subject", "visit", "clock", "simulated"}

# Of each type: the keys its data must have, and those it may have besides. `device`, `requestId` and `context`
# belong to every type.
COMMON = {"device", "requestId", "context"}
DATA_KEYS = {
    "gov.hall.visit.v1": (
        {"state"},
        {"outcome", "cases", "window", "staffNumber", "ticket", "applicantKind", "agentHandling", "ratingAsked"},
    ),
    "gov.hall.rating.v1": (
        {"rating", "outcome", "level", "channel", "chain"},
        {"cases", "itemCode", "serviceNumber", "serviceName", "serviceTime", "phase", "staffNumber", "window",
         "cancelledBy", "rawKey", "scale", "reasons", "reasonSet", "comment", "confirmed", "promptedAt", "ratedAt",
         "flags"},
    ),
    "gov.hall.material.page.v1": (
        {"material", "page", "order", "sheet", "side", "blob", "mediaType", "bytes"},
        {"width", "height", "dpi", "colour", "cases", "catalogItem", "name", "form", "replaces", "derivedFrom",
         "flags"},
    ),
    "gov.hall.material.page.withdrawn.v1": ({"material", "page"}, {"by", "reason"}),
    "gov.hall.material.completed.v1": ({"material", "pages", "outcome"}, {"reason"}),
    "gov.hall.signature.v1": ({"blob", "signedAt"}, {"strokes", "document", "signerRole", "cases"}),
    "gov.hall.ticket.v1": (
        {"ticket", "number", "businessDay", "issuedAt", "printed"},
        {"service", "class", "checkCode", "waitingAhead", "resolution", "resolvedBy"},
    ),
    "gov.hall.call.v1": ({"action"}, {"number"}),
    "gov.hall.print.v1": ({"job", "outcome"}, {"title", "pages", "copies", "reasons"}),
    "gov.hall.device.v1": ({"state"}, {"previous", "reason", "action", "actor", "paper"}),
}

# (type, key): the words the document allows.
WORDS = {
    ("gov.hall.visit.v1", "state"): {"opened", "suspended", "resumed", "updated", "closed"},
    ("gov.hall.visit.v1", "outcome"): {"completed", "returned", "abandoned"},
    ("gov.hall.visit.v1", "applicantKind"): {"person", "organisation"},
    ("gov.hall.rating.v1", "phase"): {"accepting", "processing", "done"},
    ("gov.hall.rating.v1", "outcome"): {
        "rated", "timeout", "declined", "cancelled", "deviceLost", "urlShown", "urlClosed",
    },
    ("gov.hall.rating.v1", "level"): {5, 4, 3, 2, 1, None},
    ("gov.hall.rating.v1", "channel"): {"key", "screen", "tablet", "kiosk", "url"},
    ("gov.hall.material.page.v1", "side"): {"front", "back"},
    ("gov.hall.material.page.v1", "form"): {"original", "copy"},
    ("gov.hall.material.page.v1", "mediaType"): BLOB_MEDIA_TYPES,
    ("gov.hall.material.completed.v1", "outcome"): {"complete", "interrupted", "abandoned"},
    ("gov.hall.ticket.v1", "class"): {"normal", "priority", "appointment"},
    ("gov.hall.ticket.v1", "printed"): {"yes", "no", "unknown"},
    ("gov.hall.ticket.v1", "resolution"): {"reprinted", "confirmed", "voided"},
    ("gov.hall.call.v1", "action"): {"next", "recall", "pass", "park", "transfer", "pause", "resume"},
    ("gov.hall.print.v1", "outcome"): {"yes", "no", "unknown"},
}
FLAGS = {
    "gov.hall.rating.v1": {"noPrompt", "burst", "tooFast", "duplicate", "late"},
    "gov.hall.material.page.v1": {"blank", "possibleDuplicate", "afterJam"},
}


class Refused(Exception):
    """A request that is answered with a status other than success."""

    def __init__(self, status, reason):
        super().__init__(reason)
        self.status = status
        self.reason = reason


def unique_keys(pairs):
    value = dict(pairs)
    if len(value) != len(pairs):
        raise ValueError("a key occurs twice")
    return value


def no_constant(name):
    raise ValueError(f"{name} is not JSON")


def parse_json(text):
    return json.loads(text, object_pairs_hook=unique_keys, parse_constant=no_constant)


def fsync_directory(path):
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def matches(pattern, value):
    return isinstance(value, str) and pattern.fullmatch(value) is not None


class Store:
    """What was acknowledged: nothing leaves it, and a kill between two lines of this program loses none of it."""

    def __init__(self, path):
        self.path = path
        self.blobs = os.path.join(path, "blobs")
        os.makedirs(self.blobs, exist_ok=True)
        fsync_directory(path)
        fsync_directory(os.path.dirname(os.path.abspath(path)))
        self.lock = threading.Lock()
        self.contents = {}
        self.last_sequence = {}
        self.events = self.open_log("events.jsonl", self.remember)
        self.violations = self.open_log("violations.jsonl", lambda line: None)

    def open_log(self, name, take):
        """Opens a log for appending. A last line without its end was never acknowledged: it is cut off."""
        path = os.path.join(self.path, name)
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        log = os.fdopen(descriptor, "r+b")
        whole = 0
        for line in log:
            if not line.endswith(b"\n"):
                break
            take(parse_json(line))
            whole += len(line)
        log.seek(whole)
        log.truncate()
        os.fsync(log.fileno())
        fsync_directory(self.path)
        return log

    def remember(self, event):
        self.contents[event["id"]] = event
        key = (event["source"], event["epoch"])
        self.last_sequence[key] = max(self.last_sequence.get(key, ""), event["sequence"])

    @staticmethod
    def append(log, values):
        text = "".join(json.dumps(v, ensure_ascii=False, separators=(",", ":")) + "\n" for v in values)
        log.write(text.encode())
        log.flush()
        os.fsync(log.fileno())

    def violation(self, what):
        with self.lock:
            self.append(self.violations, [{"violation": what}])

    def again(self, what):
        """Notes an event that was acknowledged before: allowed, and counted."""
        with open(os.path.join(self.path, "duplicates"), "a", encoding="ascii") as file:
            file.write(what + "\n")

    def has_blob(self, digest):
        return os.path.exists(os.path.join(self.blobs, digest))

    def put_blob(self, digest, body):
        """True when it is new."""
        place = os.path.join(self.blobs, digest)
        if os.path.exists(place):
            return False
        draft = os.path.join(self.path, f".{digest}.{os.getpid()}.{threading.get_ident()}")
        with open(draft, "wb") as file:
            file.write(body)
            file.flush()
            os.fsync(file.fileno())
        os.rename(draft, place)
        fsync_directory(self.blobs)
        return True

    def add(self, events):
        """Takes a batch; answers what is rejected, as (id, reason)."""
        rejected, accepted, violations = [], [], []
        with self.lock:
            for event in events:
                problem = self.problem(event)
                if problem is not None:
                    rejected.append((event.get("id") if isinstance(event, dict) else None, problem))
                    continue
                known = self.contents.get(event["id"])
                if known is not None:
                    if known != event:
                        violations.append(f"{event['id']} came again with other contents")
                    self.again(event["id"])
                    continue
                key = (event["source"], event["epoch"])
                if event["sequence"] <= self.last_sequence.get(key, ""):
                    violations.append(
                        f"{event['source']}: {event['sequence']} after {self.last_sequence[key]}")
                self.remember(event)
                accepted.append(event)
            violations += [f"{identifier}: {reason}" for identifier, reason in rejected]
            if violations:
                self.append(self.violations, [{"violation": what} for what in violations])
            if accepted:
                try:
                    self.append(self.events, accepted)
                except OSError:
                    # It is not known what is on the disk: whoever comes back must read it first.
                    os._exit(1)
        return rejected

    def problem(self, event):
        """What is wrong with one event, or None."""
        if not isinstance(event, dict):
            return "is not an object"
        missing = REQUIRED_ATTRIBUTES - event.keys()
        if missing:
            return f"lacks {', '.join(sorted(missing))}"
        unknown = event.keys() - REQUIRED_ATTRIBUTES - OPTIONAL_ATTRIBUTES
        if unknown:
            return f"has unknown attributes {', '.join(sorted(unknown))}"
        if event["specversion"] != "1.0":
            return "specversion is not 1.0"
        if not matches(UUID_V7, event["id"]):
            return "id is not a UUIDv7"
        if not matches(RFC3339, event["time"]):
            return "time is not RFC 3339 with offset"
        if event["datacontenttype"] != "application/json":
            return "datacontenttype is not application/json"
        if not matches(UUID, event["epoch"]):
            return "epoch is not a UUID"
        if not matches(SEQUENCE, event["sequence"]):
            return "sequence is not 20 digits"
        source = SOURCE.fullmatch(event["source"]) if isinstance(event["source"], str) else None
        if source is None:
            return "source is neither a device nor the agent of a position"
        for name in ("subject", "visit"):
            if name in event and (not isinstance(event[name], str) or event[name] == ""):
                return f"{name} is not text"
        if "clock" in event and event["clock"] != "unsynchronised":
            return "clock is not unsynchronised"
        if "simulated" in event and event["simulated"] is not True:
            return "simulated is not true"
        if event["type"] not in DATA_KEYS:
            return f"type {event['type']} is unknown"
        if not isinstance(event["data"], dict):
            return "data is not an object"
        return self.data_problem(event["type"], event["data"], source.group(1))

    def data_problem(self, kind, data, role):
        must, may = DATA_KEYS[kind]
        missing = must - data.keys()
        if missing:
            return f"data lacks {', '.join(sorted(missing))}"
        unknown = data.keys() - must - may - COMMON
        if unknown:
            return f"data has unknown keys {', '.join(sorted(unknown))}"
        if role is not None:
            device = data.get("device")
            if not isinstance(device, dict) or device.get("role") != role:
                return "data.device is not the device of the source"
            if device.keys() - {"role", "model", "serial", "port"}:
                return "data.device has unknown keys"
        for (of, key), words in WORDS.items():
            if of == kind and key in data and data[key] not in words:
                return f"data.{key} {data[key]!r} is not a word of the document"
        for flag in data.get("flags", []):
            if flag not in FLAGS.get(kind, set()):
                return f"flag {flag!r} is not a word of the document"
        if "context" in data and len(json.dumps(data["context"]).encode()) > 16 * 1024:
            return "context is larger than 4 KiB"
        if kind == "gov.hall.rating.v1":
            if (data["level"] is not None) != (data["outcome"] == "rated"):
                return "a level without a rating, or a rating without a level"
            if not isinstance(data["chain"], dict) or {"number", "previous", "hash"} - data["chain"].keys():
                return "data.chain is not a chain link"
        for digest in self.blobs_of(kind, data):
            if not matches(DIGEST, digest):
                return "a blob's name is not a digest"
            if not self.has_blob(digest):
                return f"blob {digest} was not accepted before the event"
        if kind == "gov.hall.material.page.v1":
            if data["bytes"] != os.path.getsize(os.path.join(self.blobs, data["blob"])):
                return "data.bytes is not the size of the blob"
            if not isinstance(data["order"], int) or data["order"] < 1:
                return "data.order does not start from 1"
        return None

    @staticmethod
    def blobs_of(kind, data):
        if kind == "gov.hall.material.completed.v1":
            return [page.get("blob") if isinstance(page, dict) else None for page in data["pages"]]
        return [data[key] for key in ("blob", "strokes") if key in data]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "intake"

    def do_PUT(self):
        self.take(self.put_blob)

    def do_POST(self):
        self.take(self.post_events)

    def do_GET(self):
        self.take(self.refuse_method)

    do_HEAD = do_DELETE = do_PATCH = do_OPTIONS = do_GET

    def take(self, handle):
        try:
            body = self.read_body()
            mode = self.server.mode()
            if mode and mode[0] not in ("lose-answers", "die", "reject"):
                return self.misbehave(mode)
            status, answer = handle(body)
            if mode and mode[0] == "reject":
                mode = []
            if mode and mode[0] == "die":
                os._exit(1)
            if mode:
                self.close_connection = True
                return self.report("lost")
            self.answer(status, answer)
        except Refused as refusal:
            self.server.store.violation(f"{self.command} {self.path}: {refusal.status} {refusal.reason}")
            self.answer(refusal.status, {"reason": refusal.reason})

    def read_body(self):
        if self.headers.get("Transfer-Encoding") is not None:
            self.close_connection = True
            raise Refused(411, "a body without Content-Length")
        length = self.headers.get("Content-Length")
        if length is None:
            if self.command in ("PUT", "POST"):
                self.close_connection = True
                raise Refused(411, "no Content-Length")
            return b""
        if not re.fullmatch(r"[0-9]{1,12}", length):
            self.close_connection = True
            raise Refused(400, "Content-Length is not a number")
        if int(length) > MAX_BLOB_BYTES:
            self.close_connection = True
            raise Refused(413, "too large")
        body = self.rfile.read(int(length))
        if len(body) != int(length):
            self.close_connection = True
            # Half a request is what a killed client leaves behind: no violation, and nobody to answer.
            raise ConnectionResetError
        return body

    def put_blob(self, body):
        match = re.fullmatch(r"/v1/blobs/([0-9a-f]{64})", self.path)
        if match is None:
            raise Refused(404, "no such place")
        if self.headers.get("Content-Type") not in BLOB_MEDIA_TYPES:
            raise Refused(415, f"media type {self.headers.get('Content-Type')}")
        if hashlib.sha256(body).hexdigest() != match.group(1):
            raise Refused(400, "the bytes do not match the digest")
        return (201 if self.server.store.put_blob(match.group(1), body) else 204), None

    def post_events(self, body):
        if self.path != "/v1/events":
            raise Refused(404, "no such place")
        if self.headers.get("Content-Type") != "application/cloudevents-batch+json":
            raise Refused(400, f"media type {self.headers.get('Content-Type')}")
        if len(body) > MAX_BATCH_BYTES:
            raise Refused(413, "more than 1 MiB")
        try:
            events = parse_json(body.decode("utf-8"))
        except ValueError as error:
            raise Refused(400, f"not JSON: {error}") from None
        if not isinstance(events, list) or not 1 <= len(events) <= MAX_BATCH_EVENTS:
            raise Refused(400, "not an array of 1 to 500 events")
        unwanted = self.server.mode()[1:] if self.server.mode()[:1] == ["reject"] else []
        rejected = self.server.store.add([event for event in events if event.get("type") not in unwanted])
        rejected += [(event["id"], "not wanted here") for event in events if event.get("type") in unwanted]
        if any(not isinstance(identifier, str) for identifier, _ in rejected):
            return 400, {"reason": "an event without an id"}
        if rejected:
            return 200, {"rejected": [{"id": identifier, "reason": reason} for identifier, reason in rejected]}
        return 204, None

    def refuse_method(self, body):
        del body
        raise Refused(405, "PUT and POST only")

    def misbehave(self, mode):
        if mode[0] == "code500":
            return self.answer(200, {"code": 500})
        if mode[0] in ("hang", "garbage", "half"):
            self.close_connection = True
            self.report(mode[0])
            if mode[0] == "hang":
                self.rfile.read(1)
            elif mode[0] == "garbage":
                self.wfile.write(b"\x00\xff\x16 no such protocol\r\n" * 8)
            else:
                self.wfile.write(b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 64\r\n\r\n{")
            return None
        self.answer(int(mode[0]), None, retry_after=mode[1] if len(mode) > 1 else None)

    def answer(self, status, value, retry_after=None):
        body = b"" if value is None else json.dumps(value).encode()
        self.send_response(status)
        if retry_after is not None:
            self.send_header("Retry-After", retry_after)
        if status == 405:
            self.send_header("Allow", "PUT, POST")
        if body:
            self.send_header("Content-Type", "application/json")
        if status != 204:
            self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)
        # After the answer: a line that is read means that the agent has its answer too.
        self.wfile.flush()
        self.report(status)

    def report(self, status):
        self.server.say(f"{self.command} {self.path} {status}")

    def log_message(self, format, *arguments):
        del format, arguments


class Server(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    daemon_threads = True
    request_queue_size = 16

    def __init__(self, path, store):
        self.store = store
        self.output = threading.Lock()
        if os.path.exists(path):
            os.unlink(path)
        super().__init__(path, Handler)

    def mode(self):
        try:
            with open(os.path.join(self.store.path, "mode"), encoding="ascii") as file:
                return file.read().split()
        except FileNotFoundError:
            return []

    def say(self, line):
        with self.output:
            try:
                print(line, flush=True)
            except BrokenPipeError:
                pass

    def handle_error(self, request, client_address):
        # A client that is killed in the middle is an ordinary event here.
        if not isinstance(sys.exc_info()[1], (ConnectionError, TimeoutError)):
            super().handle_error(request, client_address)


def end_with_input():
    while os.read(0, 4096):
        pass
    os._exit(0)


def main():
    parser = argparse.ArgumentParser(description="An intake service for tests.")
    parser.add_argument("--socket", required=True)
    parser.add_argument("--store", required=True)
    parser.add_argument(
        "--end-with-input", action="store_true", help="end when standard input does: with the test that runs it")
    arguments = parser.parse_args()
    store = Store(arguments.store)
    server = Server(arguments.socket, store)
    signal.signal(signal.SIGTERM, lambda *_: os._exit(0))
    if arguments.end_with_input:
        threading.Thread(target=end_with_input, daemon=True).start()
    server.say("listening")
    server.serve_forever()


if __name__ == "__main__":
    main()
