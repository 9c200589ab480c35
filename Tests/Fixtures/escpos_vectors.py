"""Prints what python-escpos 3.x sends for single commands, one line each: name, space, bytes in hex.

Each name says the parameters; the Swift test that runs this script builds the same commands and compares. The
printer is python-escpos' own Dummy, which collects bytes. Its query_status() raises, and its barcode() prints a remark
to the standard output, so that goes elsewhere.
"""

import contextlib
import io

from escpos.printer import Dummy
from PIL import Image


def vector(name, action):
    printer = Dummy()
    with contextlib.redirect_stdout(io.StringIO()):
        action(printer)
    print(name, printer.output.hex())


def picture(width, height):
    """Black where x + y is a multiple of three."""
    image = Image.new("1", (width, height), 1)
    for x in range(width):
        for y in range(height):
            if (x + y) % 3 == 0:
                image.putpixel((x, y), 0)
    return image


vector("init", lambda p: p.hw("INIT"))
for width in range(1, 9):
    for height in range(1, 9):
        vector(
            f"size,{width},{height}",
            lambda p: p.set(custom_size=True, width=width, height=height),
        )
for align in ("left", "center", "right"):
    vector(f"align,{align}", lambda p: p.set(align=align))
for on in (False, True):
    vector(f"bold,{int(on)}", lambda p: p.set(bold=on))
    vector(f"invert,{int(on)}", lambda p: p.set(invert=on))
for dots in (0, 1, 2):
    vector(f"underline,{dots}", lambda p: p.set(underline=dots))
for font in ("a", "b"):
    vector(f"font,{font}", lambda p: p.set(font=font))
vector("double-height", lambda p: p.set(double_height=True))
vector("double-width", lambda p: p.set(double_width=True))
vector("double-both", lambda p: p.set(double_width=True, double_height=True))
vector("spacing,default", lambda p: p.line_spacing())
vector("spacing,40", lambda p: p.line_spacing(40))
vector("feed,3", lambda p: p.print_and_feed(3))
vector("cut,full", lambda p: p.cut())
vector("cut,part", lambda p: p.cut(mode="PART"))
vector("cut,nofeed", lambda p: p.cut(feed=False))
vector("drawer,2", lambda p: p.cashdraw(2))
vector("drawer,5", lambda p: p.cashdraw(5))

for model in (1, 2):
    for size in (1, 3, 16):
        for level in range(4):
            vector(
                f"qr,{model},{size},{level}",
                lambda p: p.qr(
                    "https://example.org/A023?票=1", native=True, model=model, size=size, ec=level
                ),
            )
vector("qr-long", lambda p: p.qr("0123456789" * 30, native=True))

BARCODES = [
    ("UPC-A", "01234567890"),
    ("UPC-E", "01234567"),
    ("EAN13", "6901234567892"),
    ("EAN8", "6901234"),
    ("CODE39", "A-023"),
    ("ITF", "012345"),
    ("CODABAR", "A12345B"),
    ("CODE93", "Ticket 23"),
    ("CODE128", "{BA023"),
]
FORM_A = ("UPC-A", "UPC-E", "EAN13", "EAN8", "CODE39", "ITF", "CODABAR")
POSITIONS = ("OFF", "ABOVE", "BELOW", "BOTH")
for index, (system, code) in enumerate(BARCODES):
    position = POSITIONS[index % 4]
    for form in ("A", "B"):
        if form == "A" and system not in FORM_A:
            continue
        vector(
            f"barcode{form},{system},{code.replace(' ', '_')},{position}",
            lambda p: p.barcode(
                code, system, height=80, width=2, pos=position, font="B", align_ct=False, function_type=form
            ),
        )

vector("raster,19,5", lambda p: p.image(picture(19, 5), impl="bitImageRaster"))
vector("graphics,19,5", lambda p: p.image(picture(19, 5), impl="graphics"))
vector("column,19,30", lambda p: p.image(picture(19, 30), impl="bitImageColumn"))
vector("tabs", lambda p: p.control("HT", count=5, tab_size=8))
vector("buzzer", lambda p: p.buzzer(times=2, duration=4))
