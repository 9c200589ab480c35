private import CLinux
internal import Synchronization

/// The process's standard output and error, written to directly: nothing is held back in a buffer.
public enum StandardStreams {
  private static let lock = Mutex(())

  /// Writes all of the text to standard output; texts of several tasks do not mix.
  /// - Returns: `false` when nobody reads it any more (the reader of a pipe has gone) or it cannot be written.
  @discardableResult
  public static func writeOut(_ text: String) -> Bool { write(text, to: 1) }

  /// Writes all of the text to standard error; texts of several tasks do not mix.
  /// - Returns: `false` when nobody reads it any more or it cannot be written.
  @discardableResult
  public static func writeError(_ text: String) -> Bool { write(text, to: 2) }

  /// Whether the standard stream (0 input, 1 output, 2 error) is a terminal.
  public static func isTerminal(_ stream: Int32) -> Bool { clinux_is_terminal(stream) == 1 }

  /// The number of columns of the terminal on standard output; `nil` when it is none or does not tell.
  public static var terminalWidth: Int? {
    let width = clinux_terminal_width(1)
    return width > 0 ? Int(width) : nil
  }

  private static func write(_ text: String, to stream: Int32) -> Bool {
    Signals.ignoreBrokenPipe()
    let bytes = Array(text.utf8)
    return lock.withLock { _ in
      var written = 0
      while written < bytes.count {
        let result = unsafe bytes[written...].withUnsafeBytes { bytes in
          unsafe clinux_write(stream, bytes.baseAddress, bytes.count)
        }
        if result == -Int(Errno.again) {
          // Somebody made the shared stream non-blocking.
          _ = clinux_poll(stream, Int32(CLINUX_OUT), -1)
        } else if result < 0 {
          return false
        } else {
          written += result
        }
      }
      return true
    }
  }
}
