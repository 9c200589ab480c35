private import CLinux
internal import Glibc

/// This process, its user and its machine.
public enum ProcessInfo {
  /// The effective user.
  public static var userID: UInt32 { geteuid() }
  /// The effective group.
  public static var groupID: UInt32 { getegid() }
  /// The process.
  public static var processID: Int32 { getpid() }

  /// The supplementary groups.
  public static var groups: [UInt32] {
    var groups = [UInt32](repeating: 0, count: 65536)
    let count = unsafe clinux_groups(&groups, Int32(groups.count))
    return Array(groups.prefix(Int(max(count, 0))))
  }

  /// The name of a user; `nil` when the number has none.
  public static func userName(_ user: UInt32) -> String? {
    try? unsafe Files.text(capacity: 256, "getpwuid") { buffer, capacity in
      unsafe clinux_user_name(user, buffer, capacity)
    }
  }

  /// The number of a group; `ENOENT` when there is none of that name.
  public static func groupID(named name: String) throws(SystemError) -> UInt32 {
    try refuseNul(name, "look up a group")
    var group: UInt32 = 0
    try check(unsafe clinux_group_id(name, &group), "look up group \(name)")
    return group
  }

  /// The number of a user; `ENOENT` when there is none of that name.
  public static func userID(named name: String) throws(SystemError) -> UInt32 {
    try refuseNul(name, "look up a user")
    var user: UInt32 = 0
    try check(unsafe clinux_user_id(name, &user), "look up user \(name)")
    return user
  }

  /// Memory in use, shared pages counted in full, in bytes (`Rss` of `/proc/self/smaps_rollup`); 0 when unknown.
  public static var residentBytes: Int { memory(["Rss:"]) }

  /// Memory nobody else uses, in bytes (`Private_Clean` and `Private_Dirty`); 0 when unknown.
  public static var privateBytes: Int { memory(["Private_Clean:", "Private_Dirty:"]) }

  /// How many descriptors are open.
  public static var openDescriptors: Int {
    // The list itself is read through one more.
    max(((try? Files.list("/proc/self/fd").count) ?? 0) - 1, 0)
  }

  /// How many threads there are.
  public static var threads: Int { (try? Files.list("/proc/self/task").count) ?? 0 }

  /// The machine's name.
  public static var hostName: String {
    (try? unsafe Files.text(capacity: 256, "gethostname") { buffer, capacity in
      unsafe clinux_host_name(buffer, capacity)
    }) ?? ""
  }

  /// The machine's identifier, 32 hexadecimal digits (machine-id(5)); `nil` when it has none.
  public static var machineID: String? {
    guard let bytes = try? Files.read("/etc/machine-id", limit: 64) else { return nil }
    let text = String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
    return text.count == 32 && text.allSatisfy(\.isHexDigit) ? text : nil
  }

  private static func memory(_ names: [String]) -> Int {
    guard let bytes = try? Files.read("/proc/self/smaps_rollup", limit: 1 << 16) else { return 0 }
    return String(decoding: bytes, as: UTF8.self).split(separator: "\n").reduce(0) { sum, line in
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count == 3, names.contains(String(fields[0])), let kilobytes = Int(fields[1]) else {
        return sum
      }
      return sum + kilobytes * 1024
    }
  }
}
