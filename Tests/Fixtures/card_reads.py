#!/usr/bin/env python3
"""Card reads in a row through the agent's API, with random faults from a fixed seed: each has to end in the card that lay
on the reader or in a fault that fits the trouble made.

card_reads.py --api SOCKET --control SOCKET --reads N --seed S ROLE…

Each role is read by a thread of its own. The simulated devices bear the roles' names. Prints how many reads ended how,
and the agent's descriptors and memory before, after and every 500 reads of the first role; exit status 1 when a read
ended in anything else.
"""
import argparse
import base64
import collections
import http.client
import json
import os
import random
import socket
import struct
import threading
import time

PHOTO = base64.b64encode(
    bytes([0x57, 0x4C, 0x66, 0x00, 0x7E, 0x00, 0x32, 0x00]) + bytes(n & 0xFF for n in range(1016))).decode()
# What lies on the simulated cards: the type, and fields that no other card has.
CARDS = {
    "citizen": ("citizen", "张测试", "11010519491231002X"),
    "residence-permit": ("residencePermit", "样例港人", "810000199001010019"),
    "foreigner-2017": ("foreigner2017", "样例", "AAA110090010100"),
    "foreigner-2023": ("foreigner2023", "样例", "911000199001010013"),
    "unknown-type": ("unknown", None, None),
}
LINE = {"device.garbled", "device.silent"}
GONE = {"device.gone", "line.failed", "device.absent"}
BAD_CARDS = {"damaged": "card.unreadable", "forged": "card.notAuthenticated", "bank-card": "card.unknown"}
# A status in place of an answer, and what a read may end in that is no card.
ANSWERS = {
    0x60: {"device.broken"}, 0x66: {"device.notAuthorised"}, 0x23: {"device.notAuthorised"},
    0x61: {"device.notAuthorised"}, 0x21: {"command.refused"}, 0x40: {"card.unknown"},
    **{code: {"card.notAuthenticated"} for code in (0x31, 0x32, 0x33)},
    **{code: {"card.unreadable", "card.moved", "device.garbled"}
       for code in (0x10, 0x11, 0x24, 0x34, 0x37, 0x3F, 0x41, 0x47, 0x50, 0x80, 0x81, 0x91)},
}
TROUBLES = ["flip", "truncate", "drop", "extra", "missing", "noise", "split", "moved", "moved while reading", "answer",
            "unplug", "bad card", "delay"]


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path):
        super().__init__("localhost", timeout=120)
        self.path = path

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(120)
        self.sock.connect(self.path)


class Peer:
    """One end of HTTP on a local socket."""

    def __init__(self, path):
        self.path, self.connection = path, UnixConnection(path)

    def call(self, method, target, body=None):
        text = None if body is None else json.dumps(body).encode()
        for attempt in range(2):
            try:
                self.connection.request(method, target, text, {"Content-Type": "application/json"} if text else {})
                response = self.connection.getresponse()
                return response.status, json.loads(response.read() or b"null")
            except (http.client.RemoteDisconnected, BrokenPipeError, ConnectionResetError):
                # The server closed a connection that lay idle.
                self.connection.close()
                if attempt:
                    raise


def resources(path):
    """Descriptors and resident kilobytes of the process that serves a socket."""
    with socket.socket(socket.AF_UNIX) as probe:
        probe.connect(path)
        pid = struct.unpack("3i", probe.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))[0]
    with open(f"/proc/{pid}/status") as status:
        resident = next(int(line.split()[1]) for line in status if line.startswith("VmRSS"))
    return len(os.listdir(f"/proc/{pid}/fd")), resident


class Reads(threading.Thread):
    def __init__(self, arguments, role):
        super().__init__()
        self.role, self.count = role, arguments.reads
        self.name_of_run = f"{role}-{arguments.seed}"
        self.random = random.Random(self.name_of_run)
        self.api, self.control = Peer(arguments.api), Peer(arguments.control)
        self.outcomes, self.wrong = collections.Counter(), []
        self.done, self.told = 0, None
        self.troubles = [name for name in TROUBLES if name != "split" or role not in arguments.whole]

    def apply(self, command):
        status, answer = self.control.call("POST", f"/v1/simulation/{self.role}", {"command": command})
        if status != 200:
            raise SystemExit(f"{self.role}: {command}: {status} {answer}")

    def ready(self):
        for _ in range(6000):
            status, device = self.api.call("GET", f"/v1/devices/{self.role}")
            # One with a fault of its own is asked all the same: the next read shows whether it has passed.
            if device.get("state") not in ("noDevice", "starting", "offline", "powerOff"):
                return
            time.sleep(0.01)
        raise SystemExit(f"{self.role} does not come back: {device}")

    def trouble(self):
        """Makes the trouble of one read: what it is, the card that may be read, the faults that may be told."""
        card = self.random.choice(list(CARDS))
        kind = self.random.choice(self.troubles) if self.random.random() < 0.6 else "none"
        number = self.random.randrange
        self.apply(f"card present {card}")
        faults = set() if kind in ("none", "split", "delay") else set(LINE)
        commands = {
            "flip": "flip byte", "extra": "extra byte", "missing": "missing byte", "split": "split replies",
            "moved": "card moved", "moved while reading": "card moved while reading",
            "truncate": f"truncate reply {number(1300)}", "drop": f"drop reply {1 + number(4)}",
            "noise": f"noise {1 + number(64)} bytes", "delay": f"delay {1 + number(30)} ms",
            "unplug": f"unplug after {1 + number(1400)} reply bytes",
        }
        if kind == "answer":
            code = self.random.choice(list(ANSWERS))
            self.apply(f"next answer {code:02x}")
            faults |= ANSWERS[code]
        elif kind == "bad card":
            bad, code = self.random.choice(list(BAD_CARDS.items()))
            self.apply(f"card present {bad}")
            return f"{kind} {bad}", None, faults | {code}
        elif kind != "none":
            self.apply(commands[kind])
            faults |= GONE if kind == "unplug" else set()
        return kind, card, faults

    def read(self, number):
        self.ready()
        kind, card, faults = self.trouble()
        status, answer = self.api.call(
            "POST", f"/v1/devices/{self.role}/card-reads",
            {"requestId": f"{self.name_of_run}-{number}", "timeoutSeconds": 30})
        if status == 200:
            self.outcomes["card"] += 1
            fields = answer.get("fields", {})
            told = (answer["type"], fields.get("name"), fields.get("idNumber", {}).get("value"))
            if card is None or told != CARDS[card] or answer["photo"]["data"] != PHOTO:
                self.wrong.append(f"read {number}: {kind}: another card than {card}")
        else:
            code = answer.get("code")
            self.outcomes[code] += 1
            if code not in faults:
                self.wrong.append(f"read {number}: {kind}: {status} {answer}")
        # It is unplugged also where the read was over before its byte came.
        self.apply("clear faults")

    def run(self):
        for number in range(self.count):
            try:
                self.read(number)
                self.done = number + 1
                if self.told and self.done % 500 == 0:
                    self.told()
            except BaseException as error:
                self.wrong.append(f"read {number}: {error!r}")
                return


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--api", required=True)
    parser.add_argument("--control", required=True)
    parser.add_argument("--reads", type=int, default=100)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--whole", action="append", default=[], metavar="ROLE", help="replies arrive in one piece")
    parser.add_argument("roles", nargs="+")
    arguments = parser.parse_args()
    before = resources(arguments.api)
    threads = [Reads(arguments, role) for role in arguments.roles]
    start = time.monotonic()

    def tell():
        descriptors, resident = resources(arguments.api)
        print(f"{time.monotonic() - start:.0f} s, {sum(thread.done for thread in threads)} reads, "
              f"{sum(len(thread.wrong) for thread in threads)} wrong, descriptors {descriptors}, resident {resident} kB",
              flush=True)

    threads[0].told = tell
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    after = resources(arguments.api)
    for thread in threads:
        for text in thread.wrong[:20]:
            print(f"WRONG {thread.role}: {text}")
        print(thread.role, json.dumps(dict(thread.outcomes.most_common())))
    print(f"{time.monotonic() - start:.0f} s, descriptors {before[0]} -> {after[0]}, resident {before[1]} -> {after[1]} kB")
    raise SystemExit(1 if any(thread.wrong for thread in threads) else 0)


main()
