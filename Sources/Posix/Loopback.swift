private import CLinux

/// TCP on 127.0.0.1, and nowhere else.
public enum Loopback {
  /// A listening socket and its port.
  @frozen public struct Listener: ~Copyable, Sendable {
    /// The socket, non-blocking.
    public var descriptor: Descriptor
    /// The port it listens on.
    public let port: UInt16
  }

  /// Listens on 127.0.0.1; the descriptor is non-blocking.
  /// - Parameter port: 0 lets the system choose.
  public static func listen(port: UInt16) throws(SystemError) -> Listener {
    var actual: UInt16 = 0
    let raw = try check(
      unsafe clinux_loopback_listen(port, &actual), "listen on 127.0.0.1 port \(port)")
    return Listener(descriptor: Descriptor(adopting: raw), port: actual)
  }

  /// Connects to 127.0.0.1; the descriptor is non-blocking.
  ///
  /// On the loopback a connection is made or refused at once; a listener whose queue stays full for a second gives
  /// `ETIMEDOUT`.
  public static func connect(port: UInt16) throws(SystemError) -> Descriptor {
    Descriptor(
      adopting: try check(clinux_loopback_connect(port, 1000), "connect to 127.0.0.1 port \(port)"))
  }

  /// Sends every write of a connection at once (`TCP_NODELAY`), for protocols of small messages that answer each other.
  public static func sendAtOnce(_ raw: Int32) {
    // A socket that cannot do it is only slower.
    _ = clinux_send_at_once(raw)
  }

  /// The user whose process listens on the port and would get a connection to 127.0.0.1 (else to ::1); `nil` when
  /// nobody listens.
  ///
  /// From `/proc/net/tcp` and `/proc/net/tcp6` (proc(5)), state 0A, of the process's own network namespace.
  public static func ownerOfListener(port: UInt16) throws(SystemError) -> UInt32? {
    let limit = 64 << 20
    var tables = String(decoding: try Files.read("/proc/net/tcp", limit: limit), as: UTF8.self)
    // Without IPv6 the second table does not exist.
    if let six = try? Files.read("/proc/net/tcp6", limit: limit) {
      tables += String(decoding: six, as: UTF8.self)
    }
    return owner(ofListenerOn: port, in: tables)
  }

  /// The addresses a connection to the loopback can end at, the one that gets it first; words are in the host's byte
  /// order, which is little-endian on everything this program runs on.
  private static let addresses = [
    "0100007F", "0000000000000000FFFF00000100007F", "00000000",
    "00000000000000000000000000000000", "00000000000000000000000001000000",
  ]

  static func owner(ofListenerOn port: UInt16, in tables: String) -> UInt32? {
    var best: (rank: Int, user: UInt32)?
    for line in tables.split(separator: "\n") {
      let fields = line.split(separator: " ", omittingEmptySubsequences: true)
      guard fields.count > 7, fields[3] == "0A", let user = UInt32(fields[7]) else { continue }
      let local = fields[1].split(separator: ":")
      guard local.count == 2, UInt16(local[1], radix: 16) == port,
        let rank = addresses.firstIndex(of: String(local[0])), rank < best?.rank ?? .max
      else { continue }
      best = (rank, user)
    }
    return best?.user
  }
}
