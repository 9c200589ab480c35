#!/usr/bin/env python3
"""A USB/IP client of its own, written from the kernel's Documentation/usb/usbip_protocol.rst and the USB standards.

    usbip_client.py --port PORT [--control SOCKET] CHECK...

Imports simulated devices from the server on 127.0.0.1, reads and checks everything they say of themselves and does each
device's job. Prints one line a check and ends with 0 when all of them held. `--control` is the socket of `halld simulate`
on which cards are laid down, keys pressed and faults set.
"""

import argparse
import http.client
import json
import os
import socket
import struct
import sys
import traceback

VERSION = 0x0111
TIMEOUT = 300
EPIPE, EOVERFLOW, ECONNRESET, EREMOTEIO, EPROTO = 32, 75, 104, 121, 71


class Wrong(Exception):
    pass


def expect(condition, what):
    if not condition:
        raise Wrong(what)


class Control:
    """POST /v1/simulation/NAME on the simulation's own socket."""

    def __init__(self, path):
        self.path = path

    def request(self, method, name, body=None):
        class Unix(http.client.HTTPConnection):
            def connect(inner):
                inner.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
                inner.sock.settimeout(TIMEOUT)
                inner.sock.connect(self.path)

        connection = Unix("localhost")
        connection.request(method, "/v1/simulation/" + name, body and json.dumps(body),
                           {"Content-Type": "application/json"})
        answer = connection.getresponse()
        text = answer.read()
        connection.close()
        expect(answer.status == 200, f"{name}: {answer.status} {text!r}")
        return json.loads(text)

    def do(self, name, command):
        return self.request("POST", name, {"command": command})

    def state(self, name):
        return self.request("GET", name)["state"]


def receive(stream, count):
    data = b""
    while len(data) < count:
        more = stream.recv(count - len(data))
        if not more:
            raise EOFError(f"closed after {len(data)} of {count} bytes")
        data += more
    return data


class Server:
    def __init__(self, port):
        self.port = port

    def connect(self):
        stream = socket.create_connection(("127.0.0.1", self.port), TIMEOUT)
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return stream

    DEVICE = ">256s32sIIIHHHBBBBBB"

    def parse(self, data):
        fields = struct.unpack(self.DEVICE, data)
        names = ("path", "busid", "busnum", "devnum", "speed", "vendor", "product", "release", "cls", "sub", "proto",
                 "configuration", "configurations", "interfaces")
        device = dict(zip(names, fields))
        for text in ("path", "busid"):
            value, _, rest = device[text].partition(b"\0")
            expect(not rest.strip(b"\0"), f"{text} is not filled with zeros")
            device[text] = value.decode()
        return device

    def list(self):
        with self.connect() as stream:
            # In pieces: the document says that a message may come in several.
            for byte in struct.pack(">HHI", VERSION, 0x8005, 0):
                stream.sendall(bytes([byte]))
            version, code, status, count = struct.unpack(">HHII", receive(stream, 12))
            expect((version, code, status) == (VERSION, 0x0005, 0), "OP_REP_DEVLIST header")
            devices = []
            for _ in range(count):
                device = self.parse(receive(stream, struct.calcsize(self.DEVICE)))
                device["classes"] = [tuple(receive(stream, 4)) for _ in range(device["interfaces"])]
                expect(all(c[3] == 0 for c in device["classes"]), "padding of interfaces")
                devices.append(device)
            expect(stream.recv(1) == b"", "the server closes after the list")
            return devices

    def import_device(self, busid):
        stream = self.connect()
        stream.sendall(struct.pack(">HHI32s", VERSION, 0x8003, 0, busid.encode()))
        version, code, status = struct.unpack(">HHI", receive(stream, 8))
        expect((version, code) == (VERSION, 0x0003), "OP_REP_IMPORT header")
        if status:
            expect(stream.recv(1) == b"", "a refusal ends the connection")
            stream.close()
            return status
        info = self.parse(receive(stream, struct.calcsize(self.DEVICE)))
        expect(info["busid"] == busid, "the imported device is the one asked for")
        return Device(stream, info)


class Device:
    """An imported device: transfers by sequence number, ended in any order."""

    def __init__(self, stream, info):
        self.stream = stream
        self.info = info
        self.sequence = 0
        self.waiting = {}
        self.ends = {}
        self.unlinked = {}

    def __enter__(self):
        return self

    def __exit__(self, *_):
        # When the server has closed too, the device is free again.
        try:
            self.stream.shutdown(socket.SHUT_WR)
            while self.stream.recv(65536):
                pass
        except OSError:
            pass
        self.stream.close()

    @property
    def devid(self):
        return self.info["busnum"] << 16 | self.info["devnum"]

    def submit(self, endpoint, data=None, length=0, setup=bytes(8), flags=0, packets=0xFFFFFFFF):
        self.sequence += 1
        is_in = data is None
        self.waiting[self.sequence] = is_in
        count = length if is_in else len(data)
        self.stream.sendall(
            struct.pack(">IIIIIIIIII8s", 1, self.sequence, self.devid, int(is_in), endpoint & 15,
                        flags | (0x200 if is_in else 0), count, 0, packets, 0, setup) + (data or b""))
        return self.sequence

    def unlink(self, target):
        self.sequence += 1
        self.stream.sendall(struct.pack(">IIIII", 2, self.sequence, self.devid, 0, 0) + struct.pack(">I", target) + bytes(24))
        asked = self.sequence
        while asked not in self.unlinked:
            self.read_one()
        return self.unlinked.pop(asked)

    def read_one(self):
        header = receive(self.stream, 48)
        command, sequence, devid, direction, endpoint = struct.unpack(">IIIII", header[:20])
        expect((devid, direction, endpoint) == (0, 0, 0), "a server's header has no device, direction and endpoint")
        status = struct.unpack(">i", header[20:24])[0]
        if command == 4:
            expect(header[24:] == bytes(24), "padding of RET_UNLINK")
            self.unlinked[sequence] = status
            return
        expect(command == 3, f"command {command}")
        expect(sequence in self.waiting, f"nobody waits for {sequence}")
        length, start, packets, errors = struct.unpack(">iIII", header[24:40])
        expect((start, packets, errors) == (0, 0xFFFFFFFF, 0) and header[40:] == bytes(8), "rest of RET_SUBMIT")
        data = receive(self.stream, length) if self.waiting.pop(sequence) else b""
        self.ends[sequence] = (status, length, data)

    def wait(self, sequence):
        while sequence not in self.ends:
            self.read_one()
        return self.ends.pop(sequence)

    def ended(self, sequence):
        """Whether a transfer has ended by now: a control request after it is answered first if it has not."""
        self.get_status()
        return sequence in self.ends

    def control(self, kind, request, value=0, index=0, length=0, data=None):
        if data is None and not kind & 0x80:
            data = b""
        setup = struct.pack("<BBHHH", kind, request, value, index, length if data is None else len(data))
        return self.wait(self.submit(0, data, length, setup))

    def get(self, kind, request, value=0, index=0, length=255):
        status, _, data = self.control(kind, request, value, index, length)
        expect(status == 0, f"request {kind:02x} {request:02x} {value:04x} {index:04x}: {status}")
        return data

    def set(self, kind, request, value=0, index=0, data=b""):
        status, length, _ = self.control(kind, request, value, index, data=data)
        expect(status == 0 and length == len(data), f"request {kind:02x} {request:02x}: {status}")

    def get_status(self):
        return self.get(0x80, 0, length=2)

    def descriptor(self, kind, index=0, language=0, length=255):
        return self.get(0x80, 6, kind << 8 | index, language, length)

    def string(self, index):
        if index == 0:
            return None
        data = self.descriptor(3, index, 0x0409)
        expect(data[0] == len(data) and data[1] == 3 and len(data) % 2 == 0, f"string {index}")
        return data[2:].decode("utf-16-le")

    def configure(self):
        self.set(0x00, 9, 1)

    def out(self, endpoint, data):
        status, length, _ = self.wait(self.submit(endpoint, data))
        expect(status == 0 and length == len(data), f"OUT {endpoint:02x}: {status} {length}")

    def read(self, endpoint, length):
        status, _, data = self.wait(self.submit(endpoint, length=length))
        expect(status == 0, f"IN {endpoint:02x}: {status}")
        return data


# Descriptors ----------------------------------------------------------------

def check_descriptors(device):
    """Everything a device says of itself, by USB 2.0 chapter 9 and the classes' standards. Returns its configuration."""
    speed = device.info["speed"]
    raw = device.descriptor(1, length=18)
    expect(len(raw) == 18 and raw[0] == 18 and raw[1] == 1, "device descriptor")
    (usb, cls, sub, proto, packet, vendor, product, release, maker, name, serial, count) = struct.unpack("<HBBBBHHHBBBB", raw[2:])
    expect(device.descriptor(1, length=8) == raw[:8], "a short read gives the beginning")
    expect((vendor, product, release) == (device.info["vendor"], device.info["product"], device.info["release"]), "ids")
    expect((cls, sub, proto, count) == (device.info["cls"], device.info["sub"], device.info["proto"], 1), "class")
    expect(packet == (8 if speed == 1 else 64), f"bMaxPacketSize0 {packet} at speed {speed}")
    expect(usb in (0x0110, 0x0200), "bcdUSB")
    languages = device.descriptor(3, 0)
    expect(languages[:2] == bytes([len(languages), 3]) and struct.unpack("<H", languages[2:4])[0] == 0x0409, "languages")
    strings = {index: device.string(index) for index in (maker, name, serial)}
    expect(strings[maker] and strings[name], "maker and product have names")
    head = device.descriptor(2, length=9)
    total = struct.unpack("<H", head[2:4])[0]
    raw = device.descriptor(2, length=total)
    expect(len(raw) == total and device.descriptor(2, length=4096) == raw, "total length")
    expect(raw[7] & 0x80 and raw[5] == 1, "attributes and number of the configuration")
    status = device.get_status()
    expect(status == bytes([raw[7] >> 6 & 1, 0]), "GET_STATUS and the attributes agree on the supply")
    interfaces, place = [], 0
    while place < total:
        length, kind = raw[place], raw[place + 1]
        expect(length >= 2 and place + length <= total, f"length of the descriptor at {place}")
        body = raw[place:place + length]
        if kind == 4:
            expect(length == 9 and body[2] == len(interfaces) and body[3] == 0, "interface numbers")
            if body[8]:
                expect(device.string(body[8]), "interface string")
            interfaces.append({"number": body[2], "endpoints": [], "count": body[4], "codes": tuple(body[5:8]), "extra": []})
        elif kind == 5:
            address, attributes, size, interval = struct.unpack("<BBHB", body[2:7])
            kind = attributes & 3
            expect(kind in (2, 3) and address & 15 and not address & 0x70, "endpoint")
            limits = {1: {3: (8,)}, 2: {2: (8, 16, 32, 64), 3: range(1, 65)}, 3: {2: (512,), 3: range(1, 1025)}}
            expect(size in limits[speed].get(kind, ()), f"packet size {size} of kind {kind} at speed {speed}")
            expect(kind == 2 or 1 <= interval <= (16 if speed == 3 else 255), "interval")
            expect(speed != 1 or interval >= 10, "low speed polls every 10 ms at most")
            interfaces[-1]["endpoints"].append((address, kind, size))
        elif interfaces:
            interfaces[-1]["extra"].append(body)
        place += length
    expect(len(interfaces) == raw[4] == device.info["interfaces"], "number of interfaces")
    addresses = [e[0] for i in interfaces for e in i["endpoints"]]
    expect(len(set(addresses)) == len(addresses), "endpoints are unique")
    for interface in interfaces:
        expect(len(interface["endpoints"]) == interface["count"], "number of endpoints")
        if interface["codes"][0] == 3:
            hid = [body for body in interface["extra"] if body[1] == 0x21][0]
            length = struct.unpack("<H", hid[7:9])[0]
            report = device.get(0x81, 6, 0x2200, interface["number"], 4096)
            expect(len(report) == length and hid[5] == 1 and hid[6] == 0x22, "report descriptor")
            expect(device.get(0x81, 6, 0x2100, interface["number"]) == hid, "HID descriptor")
            check_reports(report)
    if speed == 3:
        qualifier = device.descriptor(6)
        expect(len(qualifier) == 10 and qualifier[:2] == bytes([10, 6]) and qualifier[8:] == bytes([1, 0]), "qualifier")
        other = device.descriptor(7, length=4096)
        expect(other[1] == 7 and struct.unpack("<H", other[2:4])[0] == len(other), "other speed")
    else:
        expect(device.control(0x80, 6, 0x0600, 0, 10)[0] == -EPIPE, "no qualifier at one speed")
    expect(device.control(0x80, 6, 0x0A00, 0, 10)[0] == -EPIPE, "an unknown descriptor is refused")
    expect(device.control(0x80, 6, 0x0363, 0x0409, 255)[0] == -EPIPE, "an unknown string is refused")
    expect(device.get(0x80, 8, length=1) == b"\0", "not configured yet")
    device.set(0x00, 5, 7)
    device.configure()
    expect(device.get(0x80, 8, length=1) == b"\1", "configured")
    expect(device.control(0x00, 9, 2, data=b"")[0] == -EPIPE, "there is no second configuration")
    for interface in interfaces:
        expect(device.get(0x81, 10, 0, interface["number"], 1) == b"\0", "GET_INTERFACE")
        device.set(0x01, 11, 0, interface["number"])
        expect(device.control(0x01, 11, 1, interface["number"], data=b"")[0] == -EPIPE, "no second setting")
        for address, _, _ in interface["endpoints"]:
            expect(device.get(0x82, 0, 0, address, 2) == b"\0\0", "not halted")
            device.set(0x02, 3, 0, address)
            expect(device.get(0x82, 0, 0, address, 2) == b"\1\0", "halted")
            sequence = device.submit(address, length=64) if address & 0x80 else device.submit(address, b"x")
            expect(device.wait(sequence)[0] == -EPIPE, "a halted endpoint stalls")
            device.set(0x02, 1, 0, address)
            expect(device.get(0x82, 0, 0, address, 2) == b"\0\0", "not halted any more")
    return interfaces, strings.get(serial)


def check_reports(report):
    """Items of a report descriptor (HID 1.11, 6.2.2): lengths, and collections that close."""
    place, depth = 0, 0
    while place < len(report):
        prefix = report[place]
        size = (0, 1, 2, 4)[prefix & 3]
        expect(place + 1 + size <= len(report), "a report item ends inside the descriptor")
        depth += {0xA0: 1, 0xC0: -1}.get(prefix & 0xFC, 0)
        expect(depth >= 0, "collections")
        place += 1 + size
    expect(depth == 0, "collections close")


# The devices' jobs ----------------------------------------------------------

PREAMBLE = bytes.fromhex("AAAAAA9669")
FIND, SELECT, READ, STATUS = (0x20, 0x01), (0x20, 0x02), (0x30, 0x01), (0x11, 0xFF)


def request(command):
    body = bytes([0, 3, *command])
    check = 0
    for byte in body:
        check ^= byte
    return PREAMBLE + body + bytes([check])


def check_reply(frame):
    expect(frame[:5] == PREAMBLE, f"preamble of {frame[:16].hex()}")
    length = struct.unpack(">H", frame[5:7])[0]
    expect(len(frame) == length + 7, f"length of a reply: {len(frame)}")
    check = 0
    for byte in frame[5:-1]:
        check ^= byte
    expect(check == frame[-1], "check byte of a reply")
    return frame[9], frame[10:-1]


def card_session(name, control, exchange):
    """A card is found, selected and read."""
    expect(exchange(STATUS)[0] == 0x90, "status")
    expect(exchange(FIND)[0] == 0x80, "no card")
    control.do(name, "card present citizen")
    expect(exchange(FIND)[0] == 0x9F, "a card")
    expect(exchange(SELECT)[0] == 0x90, "selected")
    status, data = exchange(READ)
    expect(status == 0x90 and len(data) == 4 + 256 + 1024, "read")
    expect(data[4:10].decode("utf-16-le") == "张测试", "the name")
    control.do(name, "card remove")


def reader(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(0xFF, 0, 0)], "vendor class")
        expect(interfaces[0]["endpoints"] == [(0x81, 2, 64), (0x02, 2, 64)], "single pair")

        def exchange(command):
            device.out(0x02, request(command))
            return check_reply(device.read(0x81, 4096))

        card_session(name, control, exchange)
        # In pieces of one packet, as some programs do.
        device.out(0x02, request(STATUS)[:4])
        device.out(0x02, request(STATUS)[4:])
        expect(check_reply(device.read(0x81, 64))[0] == 0x90, "a request in two transfers")


def reader_split(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect(sorted(e[0] for e in interfaces[0]["endpoints"]) == [0x02, 0x06, 0x81, 0x85], "two pairs")

        def exchange(command):
            frame = request(command)
            device.out(0x02, frame[:7])
            device.out(0x06, frame[7:])
            head = device.read(0x81, 64)
            expect(len(head) == 7, "preamble and length by themselves")
            return check_reply(head + device.read(0x85, 4096))

        card_session(name, control, exchange)


def reader_hid(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(3, 0, 0)], "HID without boot protocol")

        def exchange(command):
            device.out(0x02, request(command).ljust(64, b"\0"))
            frame = device.read(0x81, 64)
            total = struct.unpack(">H", frame[5:7])[0] + 7
            while len(frame) < total:
                frame += device.read(0x81, 64)
            expect(not frame[total:].strip(b"\0") and len(frame) - total < 64, "padding")
            return check_reply(frame[:total])

        card_session(name, control, exchange)
        # SET_REPORT carries an output report too.
        device.set(0x21, 9, 0x0200, 0, request(STATUS).ljust(64, b"\0"))
        expect(device.read(0x81, 64)[9] == 0x90, "a request by SET_REPORT")


def reader_hid_wrapped(server, control, name):
    with server.import_device(name) as device:
        check_descriptors(device)

        def wrap(frame, command=0xB1):
            summed = struct.pack("<HB", 1 + len(frame), command) + frame
            return (b"\x88\0\0" + summed + struct.pack("<H", sum(summed))).ljust(64, b"\0")

        expect(wrap(request(FIND))[:18] == bytes.fromhex("8800000B00B1AAAAAA96690003200122FF03"), "published example")

        def segment():
            report = device.read(0x81, 64)
            length = struct.unpack("<H", report[3:5])[0]
            expect(report[0] == 0xAA and len(report) == 64, "report")
            total = sum(report[3:5 + length])
            expect(struct.unpack("<H", report[5 + length:7 + length])[0] == total, "sum")
            expect(report[5] == 0, "result")
            return report[8:5 + length]

        def exchange(command):
            device.out(0x02, wrap(request(command)))
            frame = segment()
            total = struct.unpack(">H", frame[5:7])[0] + 7
            for _ in range(-(-total // 54) - 1):
                frame += segment()
            return check_reply(frame)

        card_session(name, control, exchange)
        broken = bytearray(wrap(request(STATUS)))
        broken[17] ^= 1
        device.out(0x02, bytes(broken))
        sequence = device.submit(0x81, length=64)
        expect(not device.ended(sequence), "a wrong sum is not answered")
        expect(device.unlink(sequence) == -ECONNRESET, "taken back")


def dispenser(server, control, name):
    with server.import_device(name) as device:
        interfaces, serial = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(7, 1, 2)] and serial == "SIM00001", "printer class, serial number")
        identity = device.get(0xA1, 0, 0, 0, 1023)
        expect(struct.unpack(">H", identity[:2])[0] == len(identity), "the device id counts itself")
        expect(b"CLS:PRINTER;" in identity and b"CMD:ESC/POS;" in identity, "device id")
        expect(device.get(0xA1, 1, 0, 0, 1) == b"\x18", "port status")
        ticket = b"\x1b@A023\n\x1dVA\x00"
        before = int(control.state(name)["tickets"])
        device.out(0x01, ticket)
        expect(int(control.state(name)["tickets"]) == before + 1, "a ticket was cut")
        sequence = device.submit(0x82, length=64)
        device.out(0x01, b"\x10\x04\x04")
        expect(device.wait(sequence) == (0, 1, b"\x12"), "paper status on the back channel")
        # Out of paper the buffer fills, then the printer holds the line.
        control.do(name, "paper out")
        expect(device.get(0xA1, 1, 0, 0, 1) == b"\x30", "paper empty, selected, error")
        sequence = device.submit(0x01, b"line of text\n" * 1000)
        expect(not device.ended(sequence), "the write blocks")
        expect(device.unlink(sequence) == -ECONNRESET, "and can be taken back")
        second = device.submit(0x01, b"x" * 64)
        expect(not device.ended(second), "still no room")
        control.do(name, "paper full")
        expect(device.wait(second)[0] == 0, "with paper it goes on")
        device.set(0x21, 2, 0, 0)
        device.set(0x23, 2, 0, 0)


def keypad(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect(device.info["speed"] == 1, "low speed")
        expect([i["codes"] for i in interfaces] == [(3, 1, 1)], "boot keyboard")
        device.set(0x21, 0x0A, 0, 0)
        device.set(0x21, 0x0B, 0, 0)
        expect(device.get(0xA1, 3, 0, 0, 1) == b"\0", "boot protocol")
        first = device.submit(0x81, length=8)
        expect(not device.ended(first), "nothing is typed by itself")
        control.do(name, "press 4")
        expect(device.wait(first)[2] == bytes([0, 0, 0x21, 0, 0, 0, 0, 0]), "the key 4 goes down")
        expect(device.read(0x81, 8) == bytes(8), "and up")
        device.set(0x21, 9, 0x0200, 0, b"\x02")
        expect(control.state(name)["lights"] == "2", "the lights")


def keypad_reports(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(3, 0, 0)], "HID without boot protocol")
        first = device.submit(0x81, length=8)
        control.do(name, "press 5")
        expect(device.wait(first)[2] == bytes([0x52, 0x11, 0, 0, 0, 0, 0, 0]), "the key goes down")
        expect(device.read(0x81, 8) == bytes([0x52, 0, 0, 0, 0, 0, 0, 0]), "and up")
        device.set(0x21, 9, 0x0200, 0, bytes([0x41, 0, 0, 0, 0, 0, 0, 0]))
        expect(control.state(name)["lit"] == "yes", "it lights up when asked for a rating")


def evaluator(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(2, 2, 1), (10, 0, 0)], "communication class")
        union = [body for body in interfaces[0]["extra"] if body[2] == 6][0]
        expect(union[3:] == b"\0\1", "union")
        coding = struct.pack("<IBBB", 9600, 0, 0, 8)
        device.set(0x21, 0x20, 0, 0, coding)
        expect(device.get(0xA1, 0x21, 0, 0, 7) == coding, "line coding")
        device.set(0x21, 0x22, 3, 0)
        expect(device.read(0x82, 16) == bytes.fromhex("A1200000000002000300"), "SERIAL_STATE")
        device.out(0x03, bytes.fromhex("FF6808086801020A0A0A0002032616"))
        expect(control.state(name)["plate"].split() == ["023"], "the plate shows 023")
        control.do(name, "press 5")
        frame = device.read(0x81, 64)
        expect(frame == bytes.fromhex("FF680303680111011316"), f"rating {frame.hex()}")
        device.out(0x03, bytes.fromhex("FF680303680101010316"))
        expect(control.state(name)["unacknowledged"] == "0", "acknowledged")


PAGES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../Sources/CPages/Pages")


def jpeg_size(image):
    """Width and height by the frame header (ITU-T T.81, B.2.2)."""
    place = 2
    while image[place] == 0xFF:
        if image[place + 1] in (0xC0, 0xC1, 0xC2):
            height, width = struct.unpack(">HH", image[place + 5:place + 9])
            return width, height
        place += 2 + struct.unpack(">H", image[place + 2:place + 4])[0]
    raise Wrong("a JPEG without frame header")


def camera(server, control, name):
    with server.import_device(name) as device:
        interfaces, _ = check_descriptors(device)
        expect([i["codes"] for i in interfaces] == [(14, 1, 0), (14, 2, 0)], "video class")
        expect((device.info["cls"], device.info["sub"], device.info["proto"]) == (0xEF, 2, 1), "associations")
        for interface, total in ((0, slice(5, 7)), (1, slice(4, 6))):
            extra = interfaces[interface]["extra"]
            own = [body for body in extra if body[1] == 0x24]
            expect(struct.unpack("<H", own[0][total])[0] == sum(map(len, own)), "total length of class descriptors")
        expect(interfaces[1]["endpoints"] == [(0x81, 2, 512)], "bulk endpoint")
        frames = [body for body in interfaces[1]["extra"] if body[1:3] == b"\x24\x07"]
        sizes = [struct.unpack("<HH", body[5:9]) for body in frames]
        expect(sizes, "frame sizes")
        for body in frames:
            expect(len(body) == 26 + 4 * body[25], "length of a frame descriptor")
        version = struct.unpack("<H", interfaces[0]["extra"][0][3:5])[0]
        length = struct.unpack("<H", device.get(0xA1, 0x85, 0x0100, 1, 2))[0]
        expect(length == (34 if version >= 0x0110 else 26), "length of Probe")
        expect(device.get(0xA1, 0x86, 0x0100, 1, 1) == b"\3", "Probe can be set and read")
        default = device.get(0xA1, 0x87, 0x0100, 1, length)
        wanted = bytearray(default)
        # A size and an interval that do not exist become ones that do.
        wanted[3], wanted[4:8] = 99, struct.pack("<I", 1)
        device.set(0x21, 1, 0x0100, 1, bytes(wanted))
        probe = device.get(0xA1, 0x81, 0x0100, 1, length)
        largest, payload = struct.unpack("<II", probe[18:26])
        expect(1 <= probe[3] <= len(frames) and len(probe) == length, "Probe corrects itself")
        expect(struct.unpack("<I", probe[4:8])[0] == 1000000, "the fastest there is")
        expect(device.control(0xA1, 0x81, 0x0900, 1, 4)[0] == -EPIPE, "no such control")
        expect(device.get(0xA1, 0x81, 0x0200, 0, 1) == b"\6", "and the reason")
        device.set(0x21, 1, 0x0200, 1, probe)

        def next_frame(after=None):
            """One frame: its bytes, its FID, whether it is marked."""
            image, turn, broken = b"", None, False
            while True:
                data = device.read(0x81, payload)
                head, bits = data[0], data[1]
                expect(head == 2 and bits & 0x80 and len(data) <= payload, "payload header")
                expect(turn in (None, bits & 1) and bits & 1 != after, "frame id")
                turn, broken = bits & 1, broken or bool(bits & 0x40)
                image += data[head:]
                if bits & 2:
                    return image, turn, broken

        image, turn, broken = next_frame()
        expect(image[:2] == b"\xff\xd8" and image[-2:] == b"\xff\xd9" and len(image) <= largest and not broken, "a JPEG")
        expect(jpeg_size(image) == sizes[probe[3] - 1], "of the size agreed on")
        with open(os.path.join(PAGES, "page-1.jpg"), "rb") as page:
            expect(image == page.read(), "byte for byte the page under the camera")
        control.do(name, "show page 2")
        with open(os.path.join(PAGES, "page-2.jpg"), "rb") as page:
            second = page.read()
        for _ in range(5):
            image, turn, _ = next_frame(turn)
            if image == second:
                break
        expect(image == second, "another page")
        control.do(name, "error bit")
        marks = []
        for _ in range(3):
            image, turn, broken = next_frame(turn)
            marks.append(broken)
        expect(marks.count(True) == 1, "one frame is marked as broken")
        expect(device.get(0xA1, 0x81, 0x0600, 1, 1) == b"\4", "the stream's error")
        control.do(name, "truncate reply 20000")
        short = min((next_frame() for _ in range(3)), key=lambda frame: len(frame[0]))
        expect(len(short[0]) == 20000, "a frame cut short")
        pending = device.submit(0x81, length=payload)
        device.unlink(pending)
        device.waiting.pop(pending, None)
        device.set(0x02, 1, 0, 0x81)
        expect(control.state(name)["streaming"] == "no", "clearing the halt ends the stream")
        pending = device.submit(0x81, length=payload)
        expect(not device.ended(pending), "and nothing is left of it")


# Faults ---------------------------------------------------------------------

def unlink(server, control, name):
    with server.import_device(name) as device:
        device.configure()
        pending = device.submit(0x81, length=64)
        expect(device.unlink(pending) == -ECONNRESET, "a pending transfer is taken back")
        expect(device.unlink(pending) == 0, "only once")
        device.out(0x02, request(STATUS))
        done = device.submit(0x81, length=64)
        device.wait(done)
        expect(device.unlink(done) == 0, "a transfer that is done is not")
        expect(device.unlink(0x7FFFFFFF) == 0, "nor one that never was")
        # In a race each transfer ends exactly once.
        for _ in range(200):
            sequence = device.submit(0x81, length=64)
            device.submit(0x02, request(STATUS))
            status = device.unlink(sequence)
            if status == 0:
                expect(device.wait(sequence)[0] == 0, "it had ended before")
            else:
                expect(status == -ECONNRESET and sequence not in device.ends, "it did not end")
                del device.waiting[sequence]
                device.read(0x81, 64)


def faults(server, control, name):
    with server.import_device(name) as device:
        device.configure()
        control.do(name, "nak on")
        out, pending = device.submit(0x02, request(STATUS)), device.submit(0x81, length=64)
        expect(not device.ended(out) and not device.ended(pending), "NAK in both directions")
        control.do(name, "nak off")
        expect(device.wait(out)[0] == 0 and device.wait(pending)[0] == 0, "and then not")

        pending = device.submit(0x81, length=64)
        control.do(name, "halt in")
        expect(device.wait(pending)[0] == -EPIPE, "a pending transfer ends with the STALL")
        expect(device.wait(device.submit(0x81, length=64))[0] == -EPIPE, "and the next")
        device.set(0x02, 1, 0, 0x81)
        device.out(0x02, request(STATUS))
        expect(check_reply(device.read(0x81, 64))[0] == 0x90, "until it is cleared")

        control.do(name, "babble")
        device.out(0x02, request(STATUS))
        status, length, data = device.wait(device.submit(0x81, length=64))
        expect((status, length, len(data)) == (-EOVERFLOW, 64, 64), "babble")
        device.out(0x02, request(STATUS))
        expect(device.wait(device.submit(0x81, length=7))[0] == -EOVERFLOW, "a packet longer than the room")

        control.do(name, "short packet 3")
        device.out(0x02, request(STATUS))
        expect(len(device.read(0x81, 64)) == 3, "a short packet")
        expect(len(device.read(0x81, 64)) == 8, "and the rest in the next transfer")
        control.do(name, "short packet 0")
        device.out(0x02, request(STATUS))
        expect(device.read(0x81, 64) == b"" and len(device.read(0x81, 64)) == 11, "an empty packet")
        device.out(0x02, request(STATUS))
        status, length, data = device.wait(device.submit(0x81, length=64, flags=1))
        expect((status, length, len(data)) == (-EREMOTEIO, 11, 11), "short and not allowed to be")
        expect(device.wait(device.submit(0x8E, length=64))[0] == -EPROTO, "no such endpoint")

        control.do(name, "drop reply 1")
        device.out(0x02, request(STATUS))
        pending = device.submit(0x81, length=64)
        expect(not device.ended(pending), "a lost reply")
        control.do(name, "unplug after 5 bytes")
        expect(device.submit(0x02, request(STATUS)), "cut")
        try:
            device.wait(pending)
            raise Wrong("the device is still there")
        except (EOFError, ConnectionError):
            pass
    expect(server.import_device(name) == 4, "an unplugged device cannot be imported")
    expect(all(not d["path"].endswith("/" + name) for d in server.list()), "nor is it in the list")
    control.do(name, "plug")
    with server.import_device(name) as device:
        expect(server.import_device(name) == 2, "one host at a time")
        device.configure()
        control.do(name, "power off")
        try:
            device.read(0x81, 64)
            raise Wrong("the device is still there")
        except (EOFError, ConnectionError):
            pass
    control.do(name, "power on")
    control.do(name, "silent stall")
    with server.import_device(name) as device:
        expect(device.control(0x80, 6, 0x0200, 0, 9)[0] == -EPIPE, "the configuration is refused")
        control.do(name, "silent nak")
        setup = struct.pack("<BBHHH", 0x80, 6, 0x0200, 0, 9)
        pending = device.submit(0, length=9, setup=setup)
        expect(not device.ended(pending), "the configuration never comes")
        expect(device.unlink(pending) == -ECONNRESET, "and can be taken back")
        control.do(name, "silent off")
    # Damaged by seed: the same each time, and mostly different from others.
    seen = set()
    for seed in range(1, 60):
        control.do(name, f"unplug; malformed-descriptors {seed}; plug")
        texts = []
        for _ in range(2):
            with server.import_device(name) as device:
                texts.append(repr([device.control(0x80, 6, kind << 8, 0, 4096) for kind in (1, 2, 3)]
                                  + [device.control(0x80, 6, 0x300 | index, 0x409, 255) for index in (1, 2)]))
        expect(texts[0] == texts[1], "equal seeds, equal damage")
        seen.add(texts[0])
    expect(len(seen) > 30, f"only {len(seen)} different damages")
    control.do(name, "unplug; good descriptors; plug")
    with server.import_device(name) as device:
        check_descriptors(device)


def refusals(server, control, name):
    """Nonsense ends the connection and hurts nobody else."""
    header = struct.pack(">IIIII", 1, 1, 0x10001, 1, 1)
    cases = [
        ("version", struct.pack(">HHI", 0x0100, 0x8005, 0)),
        ("operation", struct.pack(">HHI", VERSION, 0x8007, 0)),
        ("endless name", struct.pack(">HHI32s", VERSION, 0x8003, 0, b"x" * 32)),
    ]
    for what, message in cases:
        with server.connect() as stream:
            stream.sendall(message)
            expect(stream.recv(1) == b"", what)
    expect(server.import_device("9-9") == 4, "no such device")
    submissions = [
        ("command", struct.pack(">IIIII", 7, 1, 0x10001, 1, 1) + bytes(28)),
        ("direction", struct.pack(">IIIII", 1, 1, 0x10001, 2, 1) + bytes(28)),
        ("endpoint", struct.pack(">IIIII", 1, 1, 0x10001, 1, 16) + bytes(28)),
        ("length", header + struct.pack(">IIIII", 0, 0x7FFFFFFF, 0, 0, 0) + bytes(8)),
        ("negative length", header + struct.pack(">IIIII", 0, 0xFFFFFFFF, 0, 0, 0) + bytes(8)),
        ("isochronous", header + struct.pack(">IIIII", 0, 64, 0, 8, 0) + bytes(8)),
    ]
    for what, message in submissions:
        device = server.import_device(name)
        expect(isinstance(device, Device), f"the device is free before: {what}")
        with device:
            device.stream.sendall(message)
            try:
                expect(device.stream.recv(1) == b"", what)
            except ConnectionError:
                pass


CHECKS = {
    "reader": reader, "reader-split": reader_split, "reader-5020": reader, "reader-hid": reader_hid,
    "reader-hid-wrapped": reader_hid_wrapped, "dispenser": dispenser, "keypad": keypad, "evaluator": evaluator,
    "camera": camera, "keypad-reports": keypad_reports,
}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int, default=3240)
    parser.add_argument("--control", required=True)
    parser.add_argument("checks", nargs="*")
    arguments = parser.parse_args()
    server, control = Server(arguments.port), Control(arguments.control)
    listed = server.list()
    failed = 0
    for check in arguments.checks or [*CHECKS, "unlink", "faults", "refusals"]:
        try:
            if check in CHECKS:
                expect(any(d["path"].endswith("/" + check) for d in listed), "it is listed")
                CHECKS[check](server, control, check)
            else:
                {"unlink": unlink, "faults": faults, "refusals": refusals}[check](server, control, "reader")
            print(f"{check}: ok")
        except (Wrong, EOFError, OSError, struct.error) as error:
            failed += 1
            place = traceback.extract_tb(error.__traceback__)
            lines = " < ".join(f"{f.name}:{f.lineno}" for f in reversed(place[1:]))
            print(f"{check}: {type(error).__name__}: {error} ({lines})")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
