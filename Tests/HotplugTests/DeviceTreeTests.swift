import TestKit
import Testing

@testable import Hotplug

@Suite struct DeviceTreeTests {
  @Test func `a device with its interface is told with what it is`() throws {
    var machine = Machine()
    let change = machine.tell(
      .add,
      Machine.device(
        "1-1.2", id: "0483:070B", serial: "A0042", more: ["manufacturer": "Xprinter", "product": "POS-58 "]),
      Machine.interface("1-1.2", classes: "07/01/02", more: ["ieee1284_id": "MFG:XP;MDL:POS-58;CMD:ESC/POS;"])
    )
    #expect(change == DeviceChange(ports: ["1-1.2"]))
    let unit = try #require(machine.tree.units.first)
    #expect(machine.tree.units.count == 1)
    #expect(unit.port == "1-1.2" && unit.place == "0000:00:14.0:1.2" && unit.id == "0483:070b")
    #expect(unit.maker == "Xprinter" && unit.product == "POS-58" && unit.serial == "A0042")
    #expect(unit.node == "/dev/bus/usb/001/004")
    let interface = try #require(unit.interfaces.first)
    #expect(interface.classes == "07/01/02" && interface.configuration == 1 && interface.number == 0)
    #expect(interface.ieee1284?.maker == "XP" && interface.ieee1284?.model == "POS-58")
    #expect(interface.ieee1284?.commands == "ESC/POS")
    #expect(interface.nodes.isEmpty)
  }

  @Test func `a printer's port counts when usblp has bound`() throws {
    var machine = Machine()
    let interface = Machine.interface("1-2", classes: "07/01/02", driver: "usblp")
    let port = Machine.node(interface, "usbmisc", "usbmisc/lp0", "/dev/usb/lp0")
    machine.tell(.add, Machine.device("1-2"), interface, port)
    #expect(machine.tree.units[0].interfaces[0].nodes.isEmpty)
    let change = machine.tell(.bind, interface)
    #expect(change.ports == ["1-2"])
    let found = machine.tree.units[0].interfaces[0]
    #expect(found.driver == "usblp")
    #expect(found.nodes.map(\.path) == ["/dev/usb/lp0"] && found.nodes.map(\.kind) == [.printer])
    #expect(found.nodes[0].driver == "usblp")
    #expect(machine.tree.node(at: "/dev/usb/lp0")?.unit?.port == "1-2")
  }

  private static let keyboard = Array("\u{05}\u{01}\u{09}\u{06}".utf8) + [0xA1, 0x01, 0xC0]

  @Test func `the nodes of a HID device count when its driver has bound, not when they appear`() throws {
    var machine = Machine()
    let interface = Machine.interface("1-3", classes: "03/01/01", driver: "usbhid")
    var hid = DeviceRecord(
      path: interface.path + "/0003:04D9:1702.0001", subsystem: "hid", driver: "hid-generic",
      properties: ["HID_NAME": "Keypad"], reportDescriptor: Self.keyboard)
    let raw = Machine.node(hid, "hidraw", "hidraw/hidraw0", "/dev/hidraw0")
    let input = DeviceRecord(
      path: hid.path + "/input/input7", subsystem: "input",
      attributes: ["name": "Keypad", "capabilities/key": "10000 0 0 7ff"])
    let event = Machine.node(input, "input", "event3", "/dev/input/event3")
    machine.tell(.add, Machine.device("1-3"), interface, hid, raw, input, event)
    machine.tell(.bind, interface)
    #expect(machine.tree.units[0].interfaces[0].nodes.isEmpty)
    #expect(machine.tell(.bind, hid).ports == ["1-3"])
    let nodes = machine.tree.units[0].interfaces[0].nodes
    #expect(nodes.map(\.path) == ["/dev/hidraw0", "/dev/input/event3"])
    #expect(nodes.map(\.usages) == [["0001/0006"], ["0001/0006"]])
    #expect(nodes.map(\.name) == ["Keypad", "Keypad"])
    hid.driver = nil
    machine.tell(.unbind, DeviceRecord(path: hid.path, subsystem: ""))
    #expect(machine.tree.units[0].interfaces[0].nodes.isEmpty)
  }

  @Test func `what was there before counts at once, and what is told twice counts once`() throws {
    var cold = Machine()
    let interface = Machine.interface("1-2", classes: "07/01/02", driver: "usblp")
    let port = Machine.node(interface, "usbmisc", "usbmisc/lp0", "/dev/usb/lp0")
    cold.tell(.present, port, interface, Machine.device("1-2"))
    #expect(cold.tree.units[0].interfaces[0].nodes.count == 1)
    // The events of the same arrival, that the monitor had caught before the machine was looked through.
    let before = cold.tree
    cold.tell(.add, Machine.device("1-2"), interface, port)
    cold.tell(.bind, interface)
    #expect(cold.tree.units == before.units)
    var hot = Machine()
    hot.tell(.add, Machine.device("1-2"), interface, port)
    hot.tell(.bind, interface)
    #expect(hot.tree.units == cold.tree.units)
  }

  @Test func `a removal goes by the path and takes everything below along`() {
    var machine = Machine()
    let device = Machine.device("1-2")
    let interface = Machine.interface("1-2", classes: "02/02/01", driver: "cdc_acm")
    let line = Machine.node(interface, "tty", "tty/ttyACM0", "/dev/ttyACM0")
    machine.tell(.present, device, interface, line, Machine.device("1-20", number: 5))
    let change = machine.pull(device)
    #expect(change == DeviceChange(ports: ["1-2"], nodes: ["/dev/ttyACM0"]))
    #expect(machine.tree.units.map(\.port) == ["1-20"])
    #expect(machine.pull(line).isEmpty)
  }

  @Test func `another device in the same socket is another, also when nobody told that the first has left`() {
    var machine = Machine()
    let interface = Machine.interface("1-2", classes: "02/02/01", driver: "cdc_acm")
    let line = Machine.node(interface, "tty", "tty/ttyACM0", "/dev/ttyACM0")
    machine.tell(.present, Machine.device("1-2", serial: "A001"), interface, line)
    machine.tell(.add, Machine.device("1-2", serial: "B001", number: 5))
    #expect(machine.tree.units.map(\.serial) == ["B001"])
    #expect(machine.tree.units[0].interfaces.isEmpty)
  }

  @Test func `hubs are not told, and what is behind one is not taken for it`() {
    var machine = Machine()
    let hub = Machine.device("1-1", id: "05e3:0608", more: ["bDeviceClass": "09"])
    let root = DeviceRecord(
      path: Machine.bus, subsystem: "usb", type: "usb_device",
      attributes: ["idVendor": "1d6b", "idProduct": "0002", "bDeviceClass": "09"])
    machine.tell(
      .present, root, hub, Machine.device("1-1.10"), Machine.interface("1-1.10"), Machine.device("1-1.9"))
    #expect(machine.tree.units.map(\.port) == ["1-1.9", "1-1.10"])
    #expect(machine.tree.units.map(\.interfaces.count) == [0, 1])
    #expect(DeviceTree.port(in: Machine.path("1-1.10") + "/1-1.10:1.0/tty/ttyACM0") == "1-1.10")
  }

  @Test func `a camera has one node, not the one for its metadata`() {
    var machine = Machine()
    let interface = Machine.interface("1-4", classes: "0e/01/00", driver: "uvcvideo")
    func video(_ number: Int, _ properties: [String: String], index: String?) -> DeviceRecord {
      var record = Machine.node(
        interface, "video4linux", "video4linux/video\(number)", "/dev/video\(number)")
      record.properties = properties
      record.attributes["index"] = index
      record.attributes["name"] = "DocCam: DocCam"
      return record
    }
    machine.tell(
      .present, Machine.device("1-4"), interface, video(0, ["ID_V4L_CAPABILITIES": ":capture:"], index: "0"),
      video(1, ["ID_V4L_CAPABILITIES": ":"], index: "1"), video(2, [:], index: "1"), video(3, [:], index: "0")
    )
    #expect(machine.tree.units[0].interfaces[0].nodes.map(\.path) == ["/dev/video0", "/dev/video3"])
    #expect(machine.tree.units[0].interfaces[0].nodes[0].name == "DocCam: DocCam")
  }

  @Test func `a serial adapter's line counts when the port's own driver has bound too`() {
    var machine = Machine()
    let interface = Machine.interface("1-5", driver: "ch341")
    let port = DeviceRecord(path: interface.path + "/ttyUSB0", subsystem: "usb-serial", driver: "ch341-uart")
    let line = Machine.node(port, "tty", "tty/ttyUSB0", "/dev/ttyUSB0")
    machine.tell(.add, Machine.device("1-5", id: "1a86:7523"), interface, port, line)
    machine.tell(.bind, interface)
    #expect(machine.tree.units[0].interfaces[0].nodes.isEmpty)
    machine.tell(.bind, port)
    #expect(machine.tree.units[0].interfaces[0].nodes.map(\.driver) == ["ch341-uart"])
  }

  @Test func `nodes that are not on USB are known too`() {
    var machine = Machine()
    machine.tell(
      .present,
      DeviceRecord(path: "/devices/pnp0/00:01/tty/ttyS0", subsystem: "tty", driver: nil, node: "/dev/ttyS0"),
      DeviceRecord(path: "/devices/virtual/tty/tty7", subsystem: "tty", node: "/dev/tty7"),
      DeviceRecord(
        path: "/devices/platform/vivid.0/video4linux/video0", subsystem: "video4linux", node: "/dev/video0",
        attributes: ["name": "vivid-000-vid-cap", "index": "0"]))
    #expect(machine.tree.node(at: "/dev/ttyS0")?.node.kind == .serial)
    #expect(machine.tree.node(at: "/dev/ttyS0")?.unit == nil)
    #expect(machine.tree.node(at: "/dev/tty7") == nil)
    #expect(machine.tree.node(at: "/dev/video0")?.node.name == "vivid-000-vid-cap")
  }

  @Test func `after lost events the machine is taken as it is found`() {
    var machine = Machine()
    machine.tell(.present, Machine.device("1-1"), Machine.device("1-2", number: 5))
    let interface = Machine.interface("1-3", driver: "usblp")
    let change = machine.tree.replace(with: [
      Machine.device("1-2", number: 5), Machine.device("1-3", number: 6), interface,
    ])
    #expect(change.isWhole && change.ports == ["1-1", "1-2", "1-3"])
    #expect(machine.tree.units.map(\.port) == ["1-2", "1-3"])
    #expect(machine.tree.units[1].interfaces[0].isBound)
  }

  @Test(arguments: [
    ("A0042", true), ("", false), ("000000000000", false), ("0123456789AB", false), ("123456789abc", false),
    ("FFFFFFFF", false), ("12", false), ("10014", true), (nil, false),
  ])
  func `a number that a chip maker's example has numbers nothing`(serial: String?, isUseful: Bool) {
    var machine = Machine()
    machine.tell(.present, Machine.device("1-1", serial: serial))
    #expect(machine.tree.units[0].hasUsefulSerial == isUseful)
  }

  @Test func `text of a device cannot act on a terminal`() {
    #expect(DeviceTree.visible("A\u{1B}[2JB\u{7F}\u{9B}C\u{202E}D ") == "A[2JBCD")
    #expect(DeviceTree.visible(" \u{0}\n") == nil)
    #expect(DeviceTree.visible("身份证读卡器") == "身份证读卡器")
  }

  /// Whatever order a machine's events come in, and whichever are lost: nothing traps, a node is told only while its device
  /// is there, and after a look through the machine everything is as it is.
  @Test(arguments: 0..<50) func `any order of events leaves the truth after a new look`(seed: UInt64) {
    var random = SeededRandom(seed: seed)
    let interface = Machine.interface("1-2", classes: "07/01/02", driver: "usblp")
    let hid = DeviceRecord(
      path: Machine.interface("1-1.4", driver: "usbhid").path + "/0003:04D9:1702.0001", subsystem: "hid",
      driver: "hid-generic", reportDescriptor: Self.keyboard)
    let records = [
      Machine.device("1-2"), interface, Machine.node(interface, "usbmisc", "usbmisc/lp0", "/dev/usb/lp0"),
      Machine.device("1-1", id: "05e3:0608", more: ["bDeviceClass": "09"]),
      Machine.device("1-1.4", number: 7),
      Machine.interface("1-1.4", classes: "03/00/00", driver: "usbhid"), hid,
      Machine.node(hid, "hidraw", "hidraw/hidraw0", "/dev/hidraw0"),
    ]
    var tree = DeviceTree()
    for _ in 0..<200 {
      let action = DeviceEvent.Action.allCases.randomElement(using: &random) ?? .add
      let record = records.randomElement(using: &random) ?? records[0]
      let before = tree
      let change = tree.apply(
        DeviceEvent(action, record, formerPath: action == .move ? records[0].path : nil))
      if tree.units != before.units { #expect(!change.isEmpty) }
      for unit in tree.units {
        for node in unit.interfaces.flatMap(\.nodes) {
          #expect(tree.node(at: node.path)?.unit?.port == unit.port)
        }
      }
    }
    _ = tree.replace(with: records)
    var fresh = DeviceTree()
    for record in records { fresh.apply(DeviceEvent(.present, record)) }
    #expect(tree.units == fresh.units)
  }
}
