private import CLinux

/// A terminal that is a program: what is written to ``controller`` is read by whoever opens ``path``, and the reverse.
@frozen public struct PseudoTerminal: ~Copyable, Sendable {
  /// The program's side, in raw mode: bytes pass unchanged, and nothing is echoed.
  ///
  /// Reading gives `EIO` while nobody has the other side open, once somebody had.
  public var controller: Descriptor
  /// The device file of the other side, such as `/dev/pts/3`; gone when the controller is closed.
  public let path: String

  /// Opens a new pair. The other side is not open yet.
  public static func open() throws(SystemError) -> PseudoTerminal {
    var raw: Int32 = -1
    let path = try unsafe Files.text(capacity: 64, "open a pseudo-terminal") { buffer, capacity in
      raw = unsafe clinux_pty_open(buffer, capacity)
      return raw
    }
    return PseudoTerminal(controller: Descriptor(adopting: raw), path: path)
  }
}
