private import CLinux
internal import Synchronization

/// A log to which whole lines are added, each on the disk before ``append(_:)`` returns.
///
/// Several processes may add to one log. A line that a crash or a full disk cut short is ended before the next one.
public final class AppendLog: Sendable {
  private struct State: ~Copyable, Sendable {
    let file: Descriptor
    var isTorn: Bool
  }

  private let path: String
  private let state: Mutex<State>

  /// Opens the log, or makes it, durably.
  /// - Parameter mode: the permissions of a log that is made now, whatever the umask.
  public init(path: String, mode: UInt32) throws(SystemError) {
    self.path = path
    let existed = Files.exists(path)
    let file = try Files.open(
      path, flags: Files.Flags.readWrite | Files.Flags.create | Files.Flags.append, mode: mode)
    if !existed {
      try check(clinux_fchmod(file.raw, mode), "chmod \(path)")
      try Files.syncDirectory(Files.directory(of: path))
    }
    var isTorn = false
    if clinux_seek(file.raw, -1, 1) == 0 {
      var last: UInt8 = 0
      try check(unsafe clinux_read(file.raw, &last, 1), "read \(path)")
      isTorn = last != UInt8(ascii: "\n")
    }
    state = Mutex(State(file: file, isTorn: isTorn))
  }

  /// Adds the line and a line feed in one write, and waits until they are on the disk.
  ///
  /// Line breaks inside the text are written as `\n` and `\r`: nobody can make one line look like two.
  public func append(_ line: String) throws(SystemError) {
    var bytes: [UInt8] = [UInt8(ascii: "\n")]
    for byte in line.utf8 {
      switch byte {
      case UInt8(ascii: "\n"): bytes += Array(#"\n"#.utf8)
      case UInt8(ascii: "\r"): bytes += Array(#"\r"#.utf8)
      default: bytes.append(byte)
      }
    }
    bytes.append(UInt8(ascii: "\n"))
    let result: Result<Void, SystemError> = state.withLock { state in
      Result { () throws(SystemError) in
        if !state.isTorn { bytes.removeFirst() }
        // Until all of it is written.
        state.isTorn = true
        try Files.write(bytes, to: state.file, path)
        state.isTorn = false
        try check(clinux_fdatasync(state.file.raw), "fdatasync \(path)")
      }
    }
    try result.get()
  }
}
