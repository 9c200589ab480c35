import Glibc
import Synchronization

/// Holds a thread until it is opened, as a device that does not answer holds a system call.
final class Gate: Sendable {
  private let pipe: (reading: Int32, writing: Int32)
  private let state = Mutex(false)

  init() {
    var both: [Int32] = [-1, -1]
    _ = unsafe Glibc.pipe(&both)
    pipe = (both[0], both[1])
  }

  deinit {
    close(pipe.reading)
    close(pipe.writing)
  }

  /// Whether somebody has got through.
  var passed: Bool { state.withLock { $0 } }

  func wait() {
    var byte: UInt8 = 0
    _ = unsafe read(pipe.reading, &byte, 1)
    state.withLock { $0 = true }
  }

  func open() {
    var byte: UInt8 = 1
    _ = unsafe write(pipe.writing, &byte, 1)
  }
}
