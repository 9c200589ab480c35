internal import Glibc
internal import Posix
internal import Synchronization

/// Tells when names appear in a directory, disappear or change their permissions (inotify(7)).
///
/// The watch begins with `init`: what is looked at afterwards and what is told later leave no gap between them, which
/// is what ``LinuxBus`` needs and `DirectoryWatch`, which begins some time later, does not give. Opening and writing is
/// not told: in `/dev` that never rests.
final class NodeWatch: Sendable {
  private let events: DescriptorStream
  private let waiting = Mutex<[String]>([])

  /// Watches an existing directory; links on the way to it are followed.
  /// - Throws: `ENOENT`, `ENOTDIR`, `EACCES`; `ENOSPC` or `EMFILE` when the user has too many watches.
  init(directory: String) throws(SystemError) {
    let raw = inotify_init1(Int32(IN_NONBLOCK | IN_CLOEXEC))
    let initError = errno
    guard raw >= 0 else { throw SystemError(call: "inotify_init1", code: initError) }
    let descriptor = Descriptor(adopting: raw)
    let mask =
      IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF
    let watch = unsafe inotify_add_watch(raw, directory, UInt32(mask) | UInt32(IN_ONLYDIR))
    let watchError = errno
    guard watch >= 0 else { throw SystemError(call: "watch \(directory)", code: watchError) }
    events = DescriptorStream(descriptor)
  }

  /// The names as they change, each as often as it does; the empty name when the directory itself has changed or more
  /// happened than could be kept. Ends when the directory is gone or the task is cancelled. To be iterated once.
  var changes: AsyncStream<String> { AsyncStream { await self.next() } }

  private func next() async -> String? {
    while true {
      if let name = waiting.withLock({ $0.isEmpty ? nil : $0.removeFirst() }) { return name }
      // One event has at most 16 + 255 + 1 bytes, and a smaller buffer is refused.
      guard let bytes = try? await events.read(upTo: 4096, timeout: nil), !bytes.isEmpty else { return nil }
      let (names, isGone) = Self.parse(bytes)
      waiting.withLock { $0 += names }
      if isGone { events.close() }
    }
  }

  /// Reads records of `struct inotify_event`: watch, mask, cookie and length of the name in four bytes each, in the
  /// host's order, then the name, filled up with NULs.
  private static func parse(_ bytes: [UInt8]) -> (names: [String], isGone: Bool) {
    func word(_ offset: Int) -> UInt32 {
      // Little-endian on everything this program runs on.
      bytes[offset..<offset + 4].reversed().reduce(0) { $0 << 8 | UInt32($1) }
    }
    var names: [String] = []
    var isGone = false
    var offset = 0
    while bytes.count - offset >= 16 {
      let mask = word(offset + 4)
      let length = min(Int(word(offset + 12)), bytes.count - offset - 16)
      let name = bytes[offset + 16..<offset + 16 + length].prefix { $0 != 0 }
      names.append(String(decoding: name, as: UTF8.self))
      isGone = isGone || mask & UInt32(IN_IGNORED) != 0
      offset += 16 + length
    }
    return (names, isGone)
  }
}
