internal import Glibc
internal import Posix

/// Which of the running kernel's modules are for a device, as depmod(8) wrote them down from the modules themselves.
public enum KernelModules {
  /// The modules for a modalias, in the order of the list. Reads a list of a megabyte: for a failure, not for every device.
  /// - Returns: nil where there is no list to look in.
  public static func names(for modalias: String) -> [String]? {
    guard let release = try? Files.read("/proc/sys/kernel/osrelease", limit: 256) else { return nil }
    let name = String(decoding: release.prefix { $0 != 10 }, as: UTF8.self)
    return (try? Files.read("/lib/modules/\(name)/modules.alias", limit: 64 << 20)).map {
      names(for: modalias, in: $0)
    }
  }

  /// The same in a list's text: lines of `alias PATTERN MODULE`.
  static func names(for modalias: String, in list: [UInt8]) -> [String] {
    // `usb:v0403…` or `usb:v*…`: what is another maker's is most of the list.
    let start = Array(modalias.utf8.prefix { $0 != UInt8(ascii: ":") }) + [UInt8(ascii: ":")]
    let maker = Array(modalias.utf8.dropFirst(start.count).prefix(5))
    var names: [String] = []
    for line in list.split(separator: 10) {
      let words = line.split(separator: 32)
      guard words.count == 3, words[1].starts(with: start) else { continue }
      let rest = words[1].dropFirst(start.count)
      guard rest.starts(with: maker) || rest.dropFirst().first == UInt8(ascii: "*") else { continue }
      let name = String(decoding: words[2], as: UTF8.self)
      guard !names.contains(name),
        unsafe fnmatch(String(decoding: words[1], as: UTF8.self), modalias, 0) == 0
      else { continue }
      names.append(name)
    }
    return names
  }
}
