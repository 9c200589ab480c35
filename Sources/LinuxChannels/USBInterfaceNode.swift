internal import Channels
internal import Codecs
internal import Posix

/// One interface of a USB device as sysfs shows it: what is needed to open it, read without touching the device.
struct USBInterfaceNode: Sendable {
  /// As in sysfs: `1-1.2:1.0`.
  let name: String
  /// The device's node, `/dev/bus/usb/001/004`.
  let node: String
  /// The device's descriptors.
  let descriptors: USBDescriptors
  /// The configuration the interface belongs to, and its place among the device's.
  let configuration: USBConfiguration, configurationIndex: Int
  /// `bInterfaceNumber`.
  let number: UInt8
  /// The alternate setting that is chosen now.
  let alternate: UInt8
  /// The driver that has the interface; nil: none. `usbfs` is a program.
  let driver: String?
  private let directory: String

  /// Where sysfs has USB devices.
  static let devices = "/sys/bus/usb/devices"

  /// - Throws: `.absent` when nothing, or not in that configuration, is at the port; `.malformed` for descriptors that
  ///   have no such interface.
  init(
    port: String, configuration value: UInt8, interface: UInt8, devices: String = Self.devices
  ) throws(ChannelError) {
    name = "\(port):\(value).\(interface)"
    let device = "\(devices)/\(port)"
    directory = "\(devices)/\(name)"
    guard let bus = Self.number(in: "\(device)/busnum"), let address = Self.number(in: "\(device)/devnum"),
      let bytes = try? Files.read("\(device)/descriptors", limit: 1 << 19), Files.exists(directory)
    else { throw .absent("USB interface \(name)") }
    node = "/dev/bus/usb/\(Self.threeDigits(bus))/\(Self.threeDigits(address))"
    do throws(USBDescriptorDefect) {
      descriptors = try USBDescriptors(bytes)
    } catch {
      throw .malformed("descriptors of \(port): \(error)")
    }
    guard let index = descriptors.configurations.firstIndex(where: { $0.value == value }) else {
      throw .malformed("\(port) has no configuration \(value) in its descriptors")
    }
    configuration = descriptors.configurations[index]
    configurationIndex = index
    number = interface
    alternate = UInt8(clamping: Self.number(in: "\(directory)/bAlternateSetting") ?? 0)
    driver = Self.driver(directory)
    guard !configuration.settings(of: interface).isEmpty else {
      throw .malformed("\(name) is not in the device's descriptors")
    }
  }

  /// Whether the same device is still there: after its node was opened by number, another may have got the number.
  func isStillThere(devices: String = Self.devices) -> Bool {
    let device = "\(devices)/\(name.prefix { $0 != ":" })"
    guard let bus = Self.number(in: "\(device)/busnum"), let address = Self.number(in: "\(device)/devnum")
    else { return false }
    return node == "/dev/bus/usb/\(Self.threeDigits(bus))/\(Self.threeDigits(address))"
  }

  /// The driver that has the interface at this moment.
  var currentDriver: String? { Self.driver(directory) }

  /// The nodes that the interface's driver has made, `/dev/usb/lp0`. Those of input devices are not in it: a desktop
  /// opens every one of them.
  var driverNodes: [String] {
    var nodes: [String] = []
    func look(in directory: String, depth: Int) {
      for entry in (try? Files.list(directory)) ?? [] where entry != "input" && !entry.hasPrefix("ep_") {
        let path = "\(directory)/\(entry)"
        guard let status = try? Files.status(of: path, followingLinks: false), status.kind == .directory
        else {
          continue
        }
        if let name = Self.deviceName(path) { nodes.append("/dev/\(name)") }
        if depth > 1 { look(in: path, depth: depth - 1) }
      }
    }
    look(in: (try? Files.realPath(directory)) ?? directory, depth: 4)
    return nodes
  }

  private static func driver(_ directory: String) -> String? {
    (try? Files.realPath("\(directory)/driver"))?.split(separator: "/").last.map(String.init)
  }

  private static func deviceName(_ directory: String) -> String? {
    guard let bytes = try? Files.read("\(directory)/uevent", limit: 4096) else { return nil }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n")
    return lines.first { $0.hasPrefix("DEVNAME=") }.map { String($0.dropFirst(8)) }
  }

  private static func number(in path: String) -> Int? {
    guard let bytes = try? Files.read(path, limit: 16) else { return nil }
    let digits = String(decoding: bytes, as: UTF8.self).filter { !$0.isWhitespace }
    return Int(digits).flatMap { $0 >= 0 ? $0 : nil }
  }

  private static func threeDigits(_ number: Int) -> String {
    let digits = String(number)
    return String(repeating: "0", count: max(3 - digits.count, 0)) + digits
  }
}
