/// Where a device is, as it stands in the configuration.
public enum ChannelAddress: Sendable, Hashable, CustomStringConvertible {
  /// A serial line or pty: `tty:/dev/ttyS1`.
  case tty(path: String)
  /// An HTTP device on loopback: `http://127.0.0.1:60000/eSCL`.
  case http(port: UInt16, path: String)
  /// A SANE device name: `sane:test:0`.
  case sane(name: String)
  /// A CUPS queue, on the default server or on a socket: `cups:Receipt`, `cups:Receipt@/run/cups/cups.sock`.
  case cups(queue: String, server: String?)
  /// A simulated device in this process: `simulated:idcard`.
  case simulated(name: String)
  /// A USB device by what the configuration knows of it; the bus finds it and everything it can be opened by
  /// (``Bus/candidates(at:)``): `usb:any`, `usb:port:1-1.2`, `usb:serial:A0042`.
  case usb(USBPlace)
  /// One interface of a USB device, through libusb; named as in sysfs: `usb-interface:1-1.2:1.0`.
  case usbInterface(port: String, configuration: UInt8, interface: UInt8)
  /// A printer's raw port by the kernel's usblp: `lp:/dev/usb/lp0`.
  case lp(path: String)
  /// A HID interface's reports: `hidraw:/dev/hidraw0`.
  case hidraw(path: String)
  /// Keys of an input device: `evdev:/dev/input/event3`.
  case evdev(path: String)
  /// A camera: `video:/dev/video0`.
  case video(path: String)
  /// A citizen's screen: a page that this agent serves, by its name: `screen:1`.
  case screen(name: String)

  /// Reads the forms shown at the cases; nil for anything else, for another host than loopback, and for empty names.
  public init?(_ text: String) {
    func rest(_ prefix: String) -> String? {
      guard text.hasPrefix(prefix), text.count > prefix.count else { return nil }
      return String(text.dropFirst(prefix.count))
    }
    func node(_ prefix: String) -> String? { rest(prefix).flatMap { $0.hasPrefix("/") ? $0 : nil } }
    if let name = rest("screen:") {
      guard name.utf8.allSatisfy({ $0 > 0x20 && $0 < 0x7F }) else { return nil }
      self = .screen(name: name)
    } else if let path = node("tty:") {
      self = .tty(path: path)
    } else if let path = node("lp:") {
      self = .lp(path: path)
    } else if let path = node("hidraw:") {
      self = .hidraw(path: path)
    } else if let path = node("evdev:") {
      self = .evdev(path: path)
    } else if let path = node("video:") {
      self = .video(path: path)
    } else if let place = rest("usb:") {
      guard let place = USBPlace(place) else { return nil }
      self = .usb(place)
    } else if let name = rest("usb-interface:") {
      let parts = name.split(separator: ":", omittingEmptySubsequences: false)
      let numbers =
        parts.last?.split(separator: ".", omittingEmptySubsequences: false).map { UInt8($0) } ?? []
      guard parts.count == 2, USBPlace.isPort(parts[0]), numbers.count == 2, let configuration = numbers[0],
        let interface = numbers[1]
      else { return nil }
      self = .usbInterface(port: String(parts[0]), configuration: configuration, interface: interface)
    } else if let name = rest("sane:") {
      self = .sane(name: name)
    } else if let name = rest("simulated:") {
      self = .simulated(name: name)
    } else if let queue = rest("cups:") {
      let parts = queue.split(separator: "@", maxSplits: 1, omittingEmptySubsequences: false)
      guard let name = parts.first, !name.isEmpty else { return nil }
      if parts.count == 2 {
        guard parts[1].hasPrefix("/") else { return nil }
        self = .cups(queue: String(name), server: String(parts[1]))
      } else {
        self = .cups(queue: String(name), server: nil)
      }
    } else if let place = rest("http://127.0.0.1:") ?? rest("http://localhost:") {
      let parts = place.split(separator: "/", maxSplits: 1, omittingEmptySubsequences: false)
      guard let first = parts.first, let port = UInt16(first), port > 0 else { return nil }
      var path = parts.count == 2 ? "/" + parts[1] : ""
      while path.hasSuffix("/") { path.removeLast() }
      self = .http(port: port, path: path)
    } else {
      return nil
    }
  }

  /// The form that ``init(_:)`` reads.
  public var description: String {
    switch self {
    case .tty(let path): "tty:\(path)"
    case .http(let port, let path): "http://127.0.0.1:\(port)\(path)"
    case .sane(let name): "sane:\(name)"
    case .cups(let queue, nil): "cups:\(queue)"
    case .cups(let queue, let server?): "cups:\(queue)@\(server)"
    case .simulated(let name): "simulated:\(name)"
    case .usb(let place): "usb:\(place)"
    case .usbInterface(let port, let configuration, let interface):
      "usb-interface:\(port):\(configuration).\(interface)"
    case .lp(let path): "lp:\(path)"
    case .hidraw(let path): "hidraw:\(path)"
    case .evdev(let path): "evdev:\(path)"
    case .video(let path): "video:\(path)"
    case .screen(let name): "screen:\(name)"
    }
  }

  /// The word a profile's `transport` predicate is held against.
  public var transport: String {
    switch self {
    case .tty: "tty"
    case .http: "http"
    case .sane: "sane"
    case .cups: "cups"
    case .simulated: "simulated"
    case .usb, .usbInterface: "usb"
    case .lp: "usblp"
    case .hidraw: "hidraw"
    case .evdev: "evdev"
    case .video: "video"
    case .screen: "screen"
    }
  }
}

/// Which of the USB devices that are plugged in.
public enum USBPlace: Sendable, Hashable, CustomStringConvertible {
  /// Whichever fits the slot's kind, as long as only one does.
  case any
  /// The one in a socket, whatever it is: the port path of sysfs, such as `1-1.2` (bus 1, hub port 1, its port 2).
  case port(String)
  /// The one with this serial number, wherever it is plugged in.
  case serial(String)

  /// Reads `any`, `port:1-1.2`, `serial:A0042`; nil for anything else.
  public init?(_ text: some StringProtocol) {
    if text == "any" {
      self = .any
    } else if text.hasPrefix("port:"), Self.isPort(text.dropFirst(5)) {
      self = .port(String(text.dropFirst(5)))
    } else if text.hasPrefix("serial:"), text.count > 7 {
      self = .serial(String(text.dropFirst(7)))
    } else {
      return nil
    }
  }

  /// The form that ``init(_:)`` reads.
  public var description: String {
    switch self {
    case .any: "any"
    case .port(let path): "port:\(path)"
    case .serial(let serial): "serial:\(serial)"
    }
  }

  /// Whether this is a port path: a bus number, a dash, and port numbers with dots between.
  static func isPort(_ text: some StringProtocol) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.count == 2, UInt8(parts[0]) != nil else { return false }
    return parts[1].split(separator: ".", omittingEmptySubsequences: false).allSatisfy { UInt8($0) != nil }
  }
}
