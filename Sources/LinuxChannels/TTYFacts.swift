internal import Posix

/// What the kernel tells of a serial line (`/sys/class/tty`, sysfs(5)).
enum TTYFacts {
  /// `driver` and, for adapters and devices on USB, `usb-id`, `usb-maker`, `usb-product` and `usb-serial`.
  /// - Parameters:
  ///   - path: the node or a link to it.
  ///   - classes: `/sys/class/tty`, or another directory of that form.
  static func read(_ path: String, classes: String = "/sys/class/tty") -> [String: String] {
    guard let node = try? Files.realPath(path), let name = node.split(separator: "/").last,
      let device = try? Files.realPath("\(classes)/\(name)/device")
    else { return [:] }
    var facts: [String: String] = [:]
    facts["driver"] = (try? Files.realPath("\(device)/driver"))?.split(separator: "/").last.map(String.init)
    // The line's own device is inside an interface of the USB device, some levels up.
    var directory = device
    while directory.count > 1 {
      if let vendor = text("\(directory)/idVendor"), let product = text("\(directory)/idProduct") {
        facts["usb-id"] = "\(vendor):\(product)"
        facts["usb-maker"] = text("\(directory)/manufacturer")
        facts["usb-product"] = text("\(directory)/product")
        facts["usb-serial"] = text("\(directory)/serial")
        break
      }
      directory = Files.directory(of: directory)
    }
    return facts
  }

  private static func text(_ path: String) -> String? {
    guard let bytes = try? Files.read(path, limit: 4096) else { return nil }
    let text = String(decoding: bytes, as: UTF8.self)
    let line = text.prefix { $0 != "\n" }
    return line.isEmpty ? nil : String(line)
  }
}
