"""A USB device for vhci-hcd that does what its standard input says. It shares nothing with the program under test.

Full speed, vendor 1209:0001. Interface 0: ff/0/0, bulk 81 02 85 06. Interface 1: printer 7/1/2, bulk 83 03. Interface 2:
ff/1/0, interrupt 84 04 of 8 bytes.

Commands, one a line; endpoints in hexadecimal, packets as the device would send them:
  send EP HEX       a transfer's bytes: packets of 64, a short or empty one at the end
  flood EP HEX      the same without the empty packet after a full one: the transfer stays open
  babble EP         the next request for bytes ends with EOVERFLOW
  stall EP          the endpoint is halted until it is cleared
  hold EP · release EP      an OUT endpoint takes nothing (NAK) · takes again
  take EP N         takes N bytes of the request that waits, then nothing
  status NN · id HEX        the printer's port status · its device id, length included
  mute              port status and device id are not answered any more
  unplug
On standard output: `flags EP 40` for a request that ends with an empty packet, `attached`, `out EP HEX`, `cleared EP`, `setup HEX`, `unlink`, `detached`.
"""
import collections, os, select, socket, struct, sys, time

VHCI = "/sys/devices/platform/vhci_hcd.0"
DEVICE = bytes.fromhex("120100020000004009120100000101020301")


def interface(number, cls, sub, protocol, *endpoints):
    data = bytes([9, 4, number, 0, len(endpoints), cls, sub, protocol, 0])
    for address, kind, size, interval in endpoints:
        data += bytes([7, 5, address, kind]) + struct.pack("<H", size) + bytes([interval])
    return data


BODY = (
    interface(0, 0xFF, 0, 0, (0x81, 2, 64, 0), (0x02, 2, 64, 0), (0x85, 2, 64, 0), (0x06, 2, 64, 0))
    + interface(1, 7, 1, 2, (0x83, 2, 64, 0), (0x03, 2, 64, 0))
    + interface(2, 0xFF, 1, 0, (0x84, 3, 8, 1), (0x04, 3, 8, 1))
)
CONFIGURATION = struct.pack("<BBHBBBBB", 9, 2, 9 + len(BODY), 3, 1, 0, 0xC0, 50) + BODY
STRINGS = {1: "Far End", 2: "Obedient", 3: "SN0001"}


def say(*words):
    sys.stdout.write(" ".join(words) + "\n")
    sys.stdout.flush()


class Device:
    def __init__(self):
        self.sock, kernel = socket.socketpair(socket.AF_UNIX, socket.SOCK_STREAM)
        port = next(
            line.split()[1] for line in open(VHCI + "/status") if line.startswith("hs") and line.split()[2] == "004"
        )
        with open(VHCI + "/attach", "w") as attach:
            attach.write("%d %d %d 2" % (int(port), kernel.fileno(), 1 << 16 | 2))
        kernel.close()
        self.packets = collections.defaultdict(collections.deque)
        self.waiting = collections.defaultdict(collections.deque)
        self.halted, self.held, self.allowance = set(), set(), {}
        self.babbling = set()
        self.port_status, self.id, self.mute = 0x18, b"\0\x10MFG:Far End;", False
        say("attached")

    # Requests

    def request(self):
        header = self.exactly(48)
        command, sequence, _, direction, endpoint = struct.unpack(">IIIII", header[:20])
        if command == 2:
            self.unlink(sequence, struct.unpack(">I", header[20:24])[0])
            return
        flags, length, _, _, _ = struct.unpack(">IiiiI", header[20:40])
        setup = header[40:48]
        data = self.exactly(length) if direction == 0 and length else b""
        if endpoint == 0:
            self.control(sequence, setup, data)
            return
        address = endpoint | (0x80 if direction else 0)
        if flags & 0x40:
            say("flags", "%02x" % address, "40")
        self.waiting[address].append([sequence, length, data, 0, b""])
        self.serve(address)

    def serve(self, address):
        queue = self.waiting[address]
        while queue:
            entry = queue[0]
            sequence, length, data, taken, got = entry
            if address in self.halted:
                self.reply(sequence, -32, b"" if address & 0x80 else taken)
            elif address & 0x80:
                if address in self.babbling:
                    self.babbling.discard(address)
                    self.reply(sequence, -75, b"")
                    queue.popleft()
                    continue
                done = False
                while self.packets[address] and not done:
                    packet = self.packets[address].popleft()
                    entry[4] += packet
                    done = len(packet) < self.size(address) or len(entry[4]) >= length
                if not done:
                    return
                self.reply(sequence, 0, entry[4])
            else:
                room = len(data) - taken
                if address in self.held:
                    room = min(room, self.allowance.pop(address, 0))
                if room:
                    say("out", "%02x" % address, data[taken : taken + room].hex())
                entry[3] += room
                if entry[3] < len(data) or (not data and address in self.held):
                    return
                if not data:
                    say("out", "%02x" % address, "-")
                self.reply(sequence, 0, len(data))
            queue.popleft()

    def control(self, sequence, setup, data):
        kind, request, value, index, length = struct.unpack("<BBHHH", setup)
        answer = None
        if (kind, request) == (0x80, 6):
            number = value & 0xFF
            if value >> 8 == 1:
                answer = DEVICE
            elif value >> 8 == 2:
                answer = CONFIGURATION
            elif value >> 8 == 3:
                text = b"\x09\x04" if number == 0 else STRINGS.get(number, "").encode("utf-16le")
                answer = bytes([len(text) + 2, 3]) + text
        elif (kind, request) == (0x80, 8):
            answer = b"\1"
        elif kind & 0x9F in (0x80, 0x81, 0x82) and request == 0 and kind & 0x60 == 0:
            answer = b"\0\0"
        elif kind == 2 and request == 1 and value == 0:
            self.halted.discard(index & 0xFF)
            say("cleared", "%02x" % (index & 0xFF))
            answer = b""
        elif kind in (0, 1) and request in (9, 11, 1, 3):
            answer = b""
        elif kind == 0xA1 and request in (0, 1):
            if self.mute:
                self.waiting[0].append([sequence, length, b"", 0, b""])
                return
            answer = self.id if request == 0 else bytes([self.port_status])
        if answer is None:
            say("setup", setup.hex())
            self.reply(sequence, -32, b"")
        else:
            self.reply(sequence, 0, answer[:length] if kind & 0x80 else len(data))

    def unlink(self, sequence, victim):
        say("unlink")
        status = 0
        for queue in self.waiting.values():
            for entry in list(queue):
                if entry[0] == victim:
                    queue.remove(entry)
                    status = -104
        self.sock.sendall(struct.pack(">IIIIIi", 4, sequence, 0, 0, 0, status) + bytes(24))

    def reply(self, sequence, status, moved):
        data = moved if isinstance(moved, bytes) else b""
        count = len(data) if isinstance(moved, bytes) else moved
        self.sock.sendall(
            struct.pack(">IIIIIiiiii", 3, sequence, 0, 0, 0, status, count, 0, 0, 0) + bytes(8) + data
        )

    def exactly(self, count):
        data = b""
        while len(data) < count:
            more = self.sock.recv(count - len(data))
            if not more:
                say("detached")
                sys.exit(0)
            data += more
        return data

    # Commands

    @staticmethod
    def size(address):
        return 8 if address & 0x7F == 4 else 64

    def command(self, name, *words):
        address = int(words[0], 16) if words and name not in ("status", "id") else 0
        if name in ("send", "flood"):
            data = bytes.fromhex(words[1]) if len(words) > 1 else b""
            size = self.size(address)
            packets = [data[i : i + size] for i in range(0, len(data), size)]
            if name == "send" and len(data) % size == 0:
                packets.append(b"")
            self.packets[address].extend(packets)
        elif name == "babble":
            self.babbling.add(address)
        elif name == "stall":
            self.halted.add(address)
        elif name == "hold":
            self.held.add(address)
        elif name == "release":
            self.held.discard(address)
        elif name == "take":
            self.allowance[address] = int(words[1])
        elif name == "status":
            self.port_status = int(words[0], 16)
        elif name == "id":
            self.id = bytes.fromhex(words[0])
        elif name == "mute":
            self.mute = True
        elif name == "unplug":
            self.sock.close()
            say("detached")
            sys.exit(0)
        self.serve(address)


def main():
    device = Device()
    commands, rest = sys.stdin.fileno(), b""
    while True:
        ready, _, _ = select.select([device.sock] + ([commands] if commands is not None else []), [], [])
        if device.sock in ready:
            device.request()
        if commands in ready:
            data = os.read(commands, 65536)
            if not data:
                commands = None
                continue
            *lines, rest = (rest + data).split(b"\n")
            for line in lines:
                words = line.decode().split()
                if words:
                    device.command(*words)


main()
