public import Posix

/// A directory of one test's own, removed with everything in it when the test lets go of it.
public final class TemporaryDirectory: Sendable {
  /// Absolute path without a trailing slash.
  public let path: String

  /// Makes `hall-test-XXXXXX` under the system's directory for temporary files, mode 0700.
  public init() throws(SystemError) {
    path = try Files.makeTemporaryDirectory(prefix: "hall-test-")
  }

  /// The path of an entry of this directory.
  public func path(_ name: String) -> String { path + "/" + name }

  deinit { Files.removeTree(path) }
}
