#!/usr/bin/env python3
"""Plugs devices of Tests/Fixtures/devices in and out of an umockdev test bed while a program follows them.

usage: umockdev-wrapper python3 hotplug.py HALLD PROFILES DEVICES
The program has to print one line of JSON whenever something changes. Prints what it said at each step.
"""
import json
import os
import subprocess
import sys

import gi

gi.require_version("UMockdev", "1.0")
from gi.repository import UMockdev  # noqa: E402

halld, profiles, devices = sys.argv[1:4]
bed = UMockdev.Testbed.new()
child = None


def addresses():
    line = child.stdout.readline()
    if not line:
        sys.exit("the program has ended")
    return [one["address"] for one in json.loads(line)["candidates"]]


def until(step, wanted):
    """Reads what the program says until it says this."""
    seen = []
    while True:
        seen.append(addresses())
        if seen[-1] == wanted:
            print(json.dumps({"step": step, "said": seen[-1], "before": seen[:-1]}), flush=True)
            return


def load(name):
    with open(os.path.join(devices, name + ".umockdev"), encoding="utf-8") as file:
        text = file.read()
    bed.add_from_string(text)
    # Parents first, as the kernel tells them.
    return sorted("/sys" + line[3:] for line in text.splitlines() if line.startswith("P: "))


def tell(paths, action):
    for path in paths:
        bed.uevent(path, action)


def pull(paths):
    tell(reversed(paths), "remove")
    for path in reversed(paths):
        bed.remove_device(path)


cold = load("sdt-usb")
child = subprocess.Popen(
    [halld, "devices", "--json", "--follow", "--profiles", profiles], stdout=subprocess.PIPE, text=True)
until("there from the beginning", ["usb-interface:1-1:1.0"])
pull(cold)
until("pulled out", [])
tell(load("sdt-usb"), "add")
until("plugged in again", ["usb-interface:1-1:1.0"])
printer = load("escpos-epson")
tell(printer, "add")
until("a printer, not bound yet", ["usb-interface:1-1:1.0", "usb-interface:1-2:1.0"])
tell([path for path in printer if path.endswith("1-2:1.0")], "bind")
until("bound", ["usb-interface:1-1:1.0", "usb-interface:1-2:1.0", "lp:/dev/usb/lp0"])
# The same again, as `udevadm trigger` does: nothing is new, and nothing is lost.
tell(printer, "change")
until("triggered", ["usb-interface:1-1:1.0", "usb-interface:1-2:1.0", "lp:/dev/usb/lp0"])
tell([path for path in printer if path.endswith("1-2:1.0")], "unbind")
until("unbound", ["usb-interface:1-1:1.0", "usb-interface:1-2:1.0"])
pull(printer)
until("gone", ["usb-interface:1-1:1.0"])
child.terminate()
child.wait()
print(json.dumps({"step": "ended", "status": child.returncode}), flush=True)
