#!/usr/bin/env python3
"""Writes Tests/Fixtures/devices/*.umockdev: descriptions of devices as umockdev-record has them, with whole descriptors.

Where a dump of the real device is public its values are used (facts/devices.md A5, D1; facts/idcard.md 1); what no source
tells (strings, serial numbers, packet sizes) is what such devices usually have.
"""
import os
import struct

HERE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "devices")
ROOT = "/devices/pci0000:00/0000:00:14.0/usb1"


def endpoint(address, kind, size, interval=0):
    return struct.pack("<BBBBHB", 7, 5, address, kind, size, interval)


def interface(number, classes, endpoints, extra=b"", alternate=0):
    return bytes([9, 4, number, alternate, len(endpoints), *classes, 0]) + extra + b"".join(endpoints)


def descriptors(vid, pid, release, device_class, interfaces, size0=64):
    body = b"".join(interfaces)
    count = len({i[2] for i in interfaces})
    device = struct.pack("<BBHBBBBHHHBBBB", 18, 1, 0x0200, *device_class, size0, vid, pid, release, 1, 2, 3, 1)
    return device + struct.pack("<BBHBBBBB", 9, 2, 9 + len(body), count, 1, 0, 0xC0, 50) + body


def hex_(data):
    return data.hex().upper()


class Description:
    def __init__(self, comment):
        self.blocks = []
        self.comment = comment

    def add(self, path, subsystem, node=None, content=b"", properties=(), attributes=(), links=(), binaries=()):
        lines = [f"P: {path}"]
        if node:
            lines.append(f"N: {node}" + (f"={hex_(content)}" if content else ""))
            lines.append(f"E: DEVNAME=/dev/{node}")
        lines += [f"E: {k}={v}" for k, v in properties]
        lines.append(f"E: SUBSYSTEM={subsystem}")
        lines += [f"A: {k}={v}\\n" for k, v in attributes]
        lines += [f"H: {k}={hex_(v)}" for k, v in binaries]
        lines += [f"L: {k}={v}" for k, v in links]
        self.blocks.append("\n".join(lines))
        return path

    def write(self, name):
        # umockdev takes children before their parents, as umockdev-record writes them.
        with open(os.path.join(HERE, name + ".umockdev"), "w", encoding="utf-8") as file:
            file.write("\n\n".join(reversed(self.blocks)) + "\n")

    def device(self, port, vid, pid, interfaces, maker=None, product=None, serial=None, release=0x0100,
               device_class=(0, 0, 0), number=4, speed="12"):
        listed = "".join(":%02x%02x%02x" % tuple(c) for c in dict.fromkeys(tuple(i[5:8]) for i in interfaces)) + ":"
        attributes = [
            ("idVendor", "%04x" % vid), ("idProduct", "%04x" % pid), ("bcdDevice", "%04x" % release),
            ("bDeviceClass", "%02x" % device_class[0]), ("bDeviceSubClass", "%02x" % device_class[1]),
            ("bDeviceProtocol", "%02x" % device_class[2]), ("busnum", 1), ("devnum", number), ("speed", speed),
            ("bConfigurationValue", 1),
        ]
        for key, value in (("manufacturer", maker), ("product", product), ("serial", serial)):
            if value is not None:
                attributes.append((key, value))
        data = descriptors(vid, pid, release, device_class, interfaces)
        return self.add(
            f"{ROOT}/{port}", "usb", "bus/usb/001/%03d" % number, data,
            [("DEVTYPE", "usb_device"), ("DRIVER", "usb"), ("PRODUCT", "%x/%x/%x" % (vid, pid, release)),
             ("ID_USB_INTERFACES", listed), ("MAJOR", 189), ("MINOR", number - 1)],
            attributes, [("driver", "../../../../../bus/usb/drivers/usb")], [("descriptors", data)])

    def interface(self, device, number, classes, driver=None, more=()):
        port = device.rsplit("/", 1)[1]
        links = [("driver", f"../../../../../../bus/usb/drivers/{driver}")] if driver else []
        properties = [("DEVTYPE", "usb_interface"), ("INTERFACE", "%d/%d/%d" % tuple(classes))]
        if driver:
            properties.append(("DRIVER", driver))
        return self.add(
            f"{device}/{port}:1.{number}", "usb", properties=properties, links=links,
            attributes=[
                ("bInterfaceNumber", "%02x" % number), ("bAlternateSetting", " 0"),
                ("bInterfaceClass", "%02x" % classes[0]), ("bInterfaceSubClass", "%02x" % classes[1]),
                ("bInterfaceProtocol", "%02x" % classes[2]), *more,
            ])

    # What hangs on an interface.

    def printer(self, interface, ieee1284=None):
        self.add(f"{interface}/usbmisc/lp0", "usbmisc", "usb/lp0", properties=[("MAJOR", 180), ("MINOR", 0)])

    def serial(self, interface, adapter=None):
        if adapter:
            port = self.add(
                f"{interface}/ttyUSB0", "usb-serial", properties=[("DRIVER", adapter)],
                links=[("driver", f"../../../../../../../bus/usb-serial/drivers/{adapter}")])
            self.add(f"{port}/tty/ttyUSB0", "tty", "ttyUSB0", properties=[("MAJOR", 188), ("MINOR", 0)])
        else:
            self.add(f"{interface}/tty/ttyACM0", "tty", "ttyACM0", properties=[("MAJOR", 166), ("MINOR", 0)])

    def hid(self, interface, vid, pid, name, report, keys=None):
        hid = self.add(
            f"{interface}/0003:{vid:04X}:{pid:04X}.0001", "hid",
            properties=[("DRIVER", "hid-generic"), ("HID_ID", f"0003:{vid:08X}:{pid:08X}"), ("HID_NAME", name)],
            links=[("driver", "../../../../../../../bus/hid/drivers/hid-generic")],
            binaries=[("report_descriptor", report)])
        self.add(f"{hid}/hidraw/hidraw0", "hidraw", "hidraw0", properties=[("MAJOR", 240), ("MINOR", 0)])
        if keys:
            device = self.add(f"{hid}/input/input7", "input", attributes=[("name", name), ("capabilities/key", keys)])
            self.add(f"{device}/event3", "input", "input/event3", properties=[("MAJOR", 13), ("MINOR", 67)])

    def camera(self, interface, name):
        for number, capabilities in ((0, ":capture:"), (1, ":")):
            self.add(
                f"{interface}/video4linux/video{number}", "video4linux", f"video{number}",
                properties=[("ID_V4L_CAPABILITIES", capabilities), ("MAJOR", 81), ("MINOR", number)],
                attributes=[("name", name), ("index", number)])


PRINTER = (7, 1, 2)
VENDOR_REPORT = bytes.fromhex("0600FF0901A1010902150026FF007508954081020903150026FF0075089540" "9102C0")
# USB HID 1.11, appendix E.6.
KEYBOARD_REPORT = bytes.fromhex(
    "05010906A101050719E029E71500250175019508810295017508810195057501050819012905910295017503910195067508150025"
    "65050719002965" "8100C0")
FULL_KEYBOARD = "1000000000007 ff9f207ac14057ff febeffdfffefffff fffffffffffffffe"
# A number pad: digits, the four signs, Enter, dot, NumLock, Tab and BackSpace; no letters.
NUMBER_PAD = "%x %x" % (
    sum(1 << (c - 64) for c in (69, 71, 72, 73, 74, 75, 76, 77, 78, 79, 80, 81, 82, 83, 96, 98)),
    sum(1 << c for c in (14, 15, 28, 55)))


def printer(name, vid, pid, maker, product, serial, ieee1284, out=0x01, in_=0x82, bound=True, classes=PRINTER):
    description = Description(name)
    ends = [endpoint(out, 2, 64)] + ([endpoint(in_, 2, 64)] if classes[2] != 1 else [])
    device = description.device(
        "1-2", vid, pid, [interface(0, classes, ends)], maker, product, serial)
    more = [("ieee1284_id", ieee1284)] if ieee1284 and bound else []
    above = description.interface(device, 0, classes, "usblp" if bound else None, more)
    if bound:
        description.printer(above)
    description.write(name)


def keypad(name, vid, pid, maker, product, keys):
    description = Description(name)
    hid = bytes([9, 0x21, 0x11, 1, 0, 1, 0x22]) + struct.pack("<H", len(KEYBOARD_REPORT))
    device = description.device(
        "1-4", vid, pid, [interface(0, (3, 1, 1), [endpoint(0x81, 3, 8, 10)], hid)], maker, product)
    above = description.interface(device, 0, (3, 1, 1), "usbhid")
    description.hid(above, vid, pid, f"{maker} {product}", KEYBOARD_REPORT, keys)
    description.write(name)


def hid_reader(name, vid, pid, maker, product):
    description = Description(name)
    hid = bytes([9, 0x21, 0x10, 1, 0, 1, 0x22]) + struct.pack("<H", len(VENDOR_REPORT))
    device = description.device(
        "1-5", vid, pid,
        [interface(0, (3, 0, 0), [endpoint(0x81, 3, 64, 1), endpoint(0x02, 3, 64, 1)], hid)], maker, product)
    above = description.interface(device, 0, (3, 0, 0), "usbhid")
    description.hid(above, vid, pid, f"{maker} {product}", VENDOR_REPORT)
    description.write(name)


def adapter(name, vid, pid, driver, chip, product):
    description = Description(name)
    ends = [endpoint(0x82, 2, 32), endpoint(0x02, 2, 32), endpoint(0x81, 3, 8, 1)]
    device = description.device(
        "1-6", vid, pid, [interface(0, (255, 1, 2), ends)], None, product, device_class=(255, 0, 0))
    description.serial(description.interface(device, 0, (255, 1, 2), driver), chip)
    description.write(name)


def acm(name, maker, product, serial):
    description = Description(name)
    functional = bytes.fromhex("0524001001" "0524010001" "04240202" "0524060001")
    control = interface(0, (2, 2, 1), [endpoint(0x83, 3, 8, 16)], functional)
    data = interface(1, (10, 0, 0), [endpoint(0x81, 2, 64), endpoint(0x02, 2, 64)])
    device = description.device("1-6", 0x1A86, 0x55D4, [control, data], maker, product, serial, device_class=(2, 0, 0))
    description.serial(description.interface(device, 0, (2, 2, 1), "cdc_acm"))
    description.interface(device, 1, (10, 0, 0), "cdc_acm")
    description.write(name)


def main():
    os.makedirs(HERE, exist_ok=True)

    # facts/idcard.md 1.1, 1.2: vendor class, both endpoint layouts are met; the strings are not known.
    reader = Description("sdt-usb")
    device = reader.device(
        "1-1", 0x0400, 0xC35A, [interface(0, (255, 0, 0), [endpoint(0x81, 2, 64), endpoint(0x02, 2, 64)])],
        "SDT", "USB ID-card reader")
    reader.interface(device, 0, (255, 0, 0))
    reader.write("sdt-usb")
    hid_reader("sdt-hid-raw", 0x2B8B, 0x2721, "SDT", "HID ID-card reader")
    hid_reader("sdt-hid-miaxis", 0x10C4, 0x0007, "MIAXIS", "MR-300")
    adapter("sdt-serial", 0x067B, 0x2303, "pl2303", "pl2303", "USB-Serial Controller")

    # facts/devices.md A5.
    printer("escpos-epson", 0x04B8, 0x0202, "EPSON", "TM-T88V", "J5DF123456",
            "MFG:EPSON;CMD:ESC/POS;MDL:TM-T88V;CLS:PRINTER;DES:EPSON TM-T88V;")
    printer("escpos-epson-tm-t20", 0x04B8, 0x0E15, "EPSON", "TM-T20II", "L4VF012345",
            "MFG:EPSON;CMD:ESC/POS;MDL:TM-T20II;CLS:PRINTER;DES:EPSON TM-T20II;")
    printer("escpos-generic-80", 0x0416, 0x5011, "STMicroelectronics", "POS80 Printer USB", "012345678AB",
            "MFG:POS80;MDL:POS80;CMD:ESC/POS;CLS:PRINTER;", out=0x03, in_=0x81, bound=False)
    printer("escpos-generic-58", 0x0483, 0x070B, "STMicroelectronics", "POS58 Printer USB", None,
            None, out=0x01, in_=0x82)
    printer("xprinter-xp-c58k", 0x0483, 0x070B, "XPRINTER", "XP-C58K", None, None)
    printer("custom-kiosk", 0x0DD4, 0x0237, "CUSTOM SPA", "K80", "KPM00412", "MFG:CUSTOM;MDL:K80;CLS:PRINTER;")
    printer("citizen-ppu-700", 0x1D90, 0x20F0, "CITIZEN", "PPU-700", "00012", "MFG:CITIZEN;MDL:PPU-700;CLS:PRINTER;")
    printer("snbc-bt-t080", 0x154F, 0x154F, "SNBC CO., Ltd", "BT-T080", "T080A12", "MFG:SNBC;MDL:BT-T080;CLS:PRINTER;")
    # Not for this agent: a laser printer, a Star printer, the IPP interface of a scanner.
    printer("not-laser", 0x03F0, 0x002A, "Hewlett-Packard", "HP LaserJet P1102", "000000000Q8D00",
            "MFG:Hewlett-Packard;MDL:HP LaserJet Professional P1102;CMD:PJL,ACL,ZJS;CLS:PRINTER;")
    printer("not-star", 0x0519, 0x0003, "Star", "TSP143 (STR_T-001)", "2150118081300132",
            "MFG:Star;CMD:STAR;MDL:TSP143 (STR_T-001);CLS:PRINTER;", classes=(7, 1, 1))
    printer("not-ipp-usb", 0x04F9, 0x0331, "Brother", "MFC-L2710DW", "E78098", None, bound=False, classes=(7, 1, 4))

    # facts/devices.md C4.
    acm("evaluator-ff68", "QinHeng", "USB Serial", "5323016543")
    acm("evaluator-ff68-worst", "QinHeng", "USB Serial", "5323016544")
    keypad("evaluator-keys", 0x1A2C, 0x0021, "SEM", "USB Keypad", NUMBER_PAD)
    keypad("evaluator-keys-one-best", 0x04D9, 0x1702, "HOLTEK", "USB Keypad", NUMBER_PAD)
    keypad("keypad-simulated", 0x1A2C, 0x0021, "Simulated", "Rating keypad", NUMBER_PAD)
    keypad("not-keyboard", 0x046D, 0xC31C, "Logitech", "USB Keyboard", FULL_KEYBOARD)

    # facts/devices.md D1: the bridge chips' ids.
    camera = Description("camera-generic")
    control = interface(0, (14, 1, 0), [endpoint(0x83, 3, 16, 6)])
    stream = interface(1, (14, 2, 0), [endpoint(0x81, 2, 512)])
    device = camera.device("1-7", 0x1B17, 0x0211, [control, stream], "Sonix Technology Co., Ltd.", "USB 2.0 Camera",
                           "SN0001", device_class=(239, 2, 1), speed="480")
    camera.camera(camera.interface(device, 0, (14, 1, 0), "uvcvideo"), "USB 2.0 Camera: USB 2.0 Camera")
    camera.interface(device, 1, (14, 2, 0), "uvcvideo")
    camera.write("camera-generic")


if __name__ == "__main__":
    main()
