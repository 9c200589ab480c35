#!/usr/bin/env python3
"""read_png.py FILE [X,Y …]: a PNG file as Python's own zlib sees it (ISO/IEC 15948): 8 bits each of red, green and blue.

Prints width and height, then `RRGGBB` of each point; without points those of the whole picture, a row a line. What is not
sound ends it with a message.
"""
import struct
import sys
import zlib

name, *points = sys.argv[1:]
data = open(name, "rb").read()
assert data[:8] == b"\x89PNG\r\n\x1a\n", "signature"
place, chunks = 8, []
while place < len(data):
    length, kind = struct.unpack_from(">I4s", data, place)
    content = data[place + 8 : place + 8 + length]
    (sum_there,) = struct.unpack_from(">I", data, place + 8 + length)
    assert zlib.crc32(kind + content) == sum_there, f"checksum of {kind}"
    chunks.append((kind, content))
    place += 12 + length
assert chunks[0][0] == b"IHDR" and chunks[-1] == (b"IEND", b""), "order"
width, height, *form = struct.unpack(">IIBBBBB", chunks[0][1])
assert form == [8, 2, 0, 0, 0], f"form {form}"
unpacker = zlib.decompressobj()
raw = unpacker.decompress(b"".join(content for kind, content in chunks if kind == b"IDAT"))
assert unpacker.eof and not unpacker.unused_data, "zlib stream"
line = 1 + 3 * width
assert len(raw) == line * height, f"{len(raw)} bytes of {width}x{height}"
assert not any(raw[row * line] for row in range(height)), "filters"
print(width, height)
if points:
    for point in points:
        x, y = map(int, point.split(","))
        start = y * line + 1 + 3 * x
        print(raw[start : start + 3].hex())
else:
    for row in range(height):
        print(raw[row * line + 1 : (row + 1) * line].hex())
