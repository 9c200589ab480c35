internal import Glibc
internal import Posix

/// Who has a device node, for messages that tell a technician which program to stop.
enum DeviceHolder {
  /// The path and, where `/proc` shows them to this account, the programs that have it open:
  /// `/dev/ttyUSB0 is held by brltty (process 812)`.
  static func describe(_ path: String) -> String {
    guard let node = try? Files.realPath(path) else { return path }
    let holders = processes(holding: node).map { "\(name(of: $0)) (process \($0))" }
    return holders.isEmpty
      ? "\(path) is held by a program of another account"
      : "\(path) is held by \(holders.joined(separator: ", "))"
  }

  /// Whether a program has the node open. Other accounts' programs are not seen in `/proc`; so a printer's node, which
  /// usblp gives to one program at a time, is tried too.
  static func isHeld(_ path: String) -> Bool {
    guard let node = try? Files.realPath(path) else { return false }
    if !processes(holding: node).isEmpty { return true }
    guard node.hasPrefix("/dev/usb/lp") else { return false }
    do throws(SystemError) {
      _ = try Files.open(node, .readingAndWriting)
      return false
    } catch {
      return error.code == EBUSY
    }
  }

  /// The path with its owner and permissions: `/dev/ttyS0 (mode 660, user root, group 20)`.
  static func permissions(_ path: String) -> String {
    guard let owner = try? Files.owner(of: path) else { return path }
    let user = ProcessInfo.userName(owner.userID) ?? String(owner.userID)
    return "\(path) (mode \(String(owner.mode, radix: 8)), user \(user), group \(owner.groupID))"
  }

  /// The programs that run, with their names.
  static func programs() -> [(process: Int32, name: String)] {
    ((try? Files.list("/proc")) ?? []).compactMap { Int32($0) }.map { ($0, name(of: $0)) }
  }

  /// Processes that have a node open, as far as `/proc` shows them to this account; this one left out.
  static func processes(holding node: String) -> [Int32] {
    let entries = (try? Files.list("/proc")) ?? []
    return entries.compactMap { Int32($0) }.filter { process in
      // Other accounts' processes cannot be looked into; neither can one that has just ended.
      let descriptors = (try? Files.list("/proc/\(process)/fd")) ?? []
      return descriptors.contains { target(of: "/proc/\(process)/fd/\($0)") == node }
    }
  }

  /// What a process is called.
  static func name(of process: Int32) -> String {
    guard let bytes = try? Files.read("/proc/\(process)/comm", limit: 64) else { return "unknown" }
    return String(decoding: bytes.prefix { $0 != 10 }, as: UTF8.self)
  }

  private static func target(of link: String) -> String? {
    // Only the text of the link: what it leads to may be a file system that does not answer.
    var count = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: 4096) { buffer, filled in
      unsafe buffer.withMemoryRebound(to: CChar.self) { text in
        guard let base = text.baseAddress else { return }
        count = unsafe readlink(link, base, text.count)
      }
      filled = max(count, 0)
    }
    return count > 0 ? String(decoding: bytes, as: UTF8.self) : nil
  }
}
