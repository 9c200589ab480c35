private import CLinux

/// The user and groups of the process at the other end of a socket, as the kernel recorded them when it connected.
///
/// Authorise by user and group: the process ID may belong to another process by now.
public struct PeerCredentials: Sendable, Equatable {
  /// The process that connected, or listened.
  public let processID: Int32
  /// Its effective user.
  public let userID: UInt32
  /// Its effective group.
  public let groupID: UInt32
  /// Its supplementary groups (`SO_PEERGROUPS`).
  public let supplementaryGroups: [UInt32]

  /// Credentials as they would be; for tests of what is decided from them.
  public init(processID: Int32, userID: UInt32, groupID: UInt32, supplementaryGroups: [UInt32]) {
    self.processID = processID
    self.userID = userID
    self.groupID = groupID
    self.supplementaryGroups = supplementaryGroups
  }
}

/// Stream sockets with a name in the file system.
public enum UnixSocket {
  /// The longest path a socket can have, in bytes: `sun_path` less its NUL (unix(7)).
  public static let longestPath = 107

  /// Binds and listens; the descriptor is non-blocking.
  ///
  /// A socket file left by a listener that is gone is replaced. Nobody can connect before the permissions are right,
  /// whatever the umask.
  /// - Parameters:
  ///   - path: at most ``longestPath`` bytes (else `ENAMETOOLONG`); its directory must exist.
  ///   - mode: the permissions of the file, such as 0o660: who may write to it may connect.
  ///   - group: the name of the group the file shall belong to; `nil` leaves the process's. `ENOENT` when there is none.
  /// - Throws: `EADDRINUSE` when somebody listens there, or when the file there is no socket.
  public static func listen(path: String, mode: UInt32, group: String?) throws(SystemError) -> Descriptor {
    try refuseNul(path, "bind socket")
    var groupID = UInt32.max
    if let group { groupID = try ProcessInfo.groupID(named: group) }
    let socket = Descriptor(adopting: try check(clinux_unix_socket(), "socket"))
    // The file bind makes has the socket's own mode less the umask: never more than asked for, even for a moment.
    try check(clinux_fchmod(socket.raw, mode), "chmod of the socket for \(path)")
    // "Is anyone there? then remove and bind" and "bind, then listen" must not interleave between two starting
    // listeners: the second would take the first's new file for a leftover. Both hold the directory meanwhile.
    let turn = turnInDirectory(of: path)
    try bind(socket, path)
    do throws(SystemError) {
      if groupID != .max {
        try check(unsafe clinux_chown(path, .max, groupID), "chown \(path)")
      }
      try check(unsafe clinux_chmod(path, mode), "chmod \(path)")
      try check(clinux_listen(socket.raw, 128), "listen \(path)")
    } catch {
      _ = unsafe clinux_unlink(path)
      throw error
    }
    _ = consume turn
    return socket
  }

  /// Connects; the descriptor is non-blocking.
  /// - Throws: `ENOENT` and `ECONNREFUSED` when nobody listens, `EACCES` without permission, `EAGAIN` when the
  ///   listener's queue is full.
  public static func connect(path: String) throws(SystemError) -> Descriptor {
    try refuseNul(path, "connect")
    let socket = Descriptor(adopting: try check(clinux_unix_socket(), "socket"))
    try check(unsafe clinux_unix_connect(socket.raw, path), "connect \(path)")
    return socket
  }

  /// Takes the next connection of a listening socket; `nil` when none is waiting. The descriptor is non-blocking.
  ///
  /// Serves ``Loopback`` listeners too.
  public static func accept(from listener: Int32) throws(SystemError) -> Descriptor? {
    let result = clinux_accept(listener)
    if result == -Errno.again { return nil }
    return Descriptor(adopting: try check(result, "accept"))
  }

  /// Two sockets connected with each other.
  @frozen public struct Pair: ~Copyable, Sendable {
    /// One end.
    public var first: Descriptor
    /// The other end.
    public var second: Descriptor
  }

  /// Two connected sockets, in blocking mode.
  public static func pair() throws(SystemError) -> Pair {
    var one: Int32 = -1
    var other: Int32 = -1
    try check(unsafe clinux_unix_pair(&one, &other), "socketpair")
    return Pair(first: Descriptor(adopting: one), second: Descriptor(adopting: other))
  }

  /// Who is at the other end of a connected socket.
  public static func peer(of raw: Int32) throws(SystemError) -> PeerCredentials {
    var process: Int32 = 0
    var user: UInt32 = 0
    var group: UInt32 = 0
    try check(unsafe clinux_peer_credentials(raw, &process, &user, &group), "SO_PEERCRED")
    // NGROUPS_MAX is 65536; a user with more than 256 is asked for again.
    var groups = [UInt32](repeating: 0, count: 256)
    var count = unsafe clinux_peer_groups(raw, &groups, Int32(groups.count))
    if count == -Errno.range {
      groups = [UInt32](repeating: 0, count: 65536)
      count = unsafe clinux_peer_groups(raw, &groups, Int32(groups.count))
    }
    try check(count, "SO_PEERGROUPS")
    return PeerCredentials(
      processID: process, userID: user, groupID: group, supplementaryGroups: Array(groups.prefix(Int(count))))
  }

  private static func bind(_ socket: borrowing Descriptor, _ path: String) throws(SystemError) {
    var result = unsafe clinux_unix_bind(socket.raw, path)
    if result == -Errno.addressInUse, try isStale(path) {
      let removed = unsafe clinux_unlink(path)
      if removed != -Errno.noEntry { try check(removed, "unlink \(path)") }
      result = unsafe clinux_unix_bind(socket.raw, path)
    }
    try check(result, "bind \(path)")
  }

  /// Whether the file is a socket nobody listens on, or has gone by now.
  private static func isStale(_ path: String) throws(SystemError) -> Bool {
    do throws(SystemError) {
      guard try Files.status(of: path, followingLinks: false).kind == .socket else { return false }
    } catch {
      if error.code == Errno.noEntry { return true }
      throw error
    }
    // A listener this process has closed lives on in a child that is just being started.
    return try SpawnWindow.retried { () throws(SystemError) in try isRefused(path) }
  }

  private static func isRefused(_ path: String) throws(SystemError) -> Bool {
    let probe = Descriptor(adopting: try check(clinux_unix_socket(), "socket"))
    return unsafe clinux_unix_connect(probe.raw, path) == -Errno.connectionRefused
  }

  /// The directory's lock. Held for microseconds by listeners that start; whoever holds it longer is none of them and
  /// must not keep the service from starting, so after a second it goes on without.
  private static func turnInDirectory(of path: String) -> Descriptor? {
    guard let directory = try? Files.open(Files.directory(of: path), .directory) else { return nil }
    for _ in 0..<100 {
      if clinux_flock(directory.raw) != -Errno.again { break }
      _ = clinux_poll(-1, 0, 10)
    }
    return directory
  }
}
