public import Posix

/// The source tree that the tests were built from.
public enum Repository {
  /// Its top directory.
  public static let root: String = {
    var directory = Files.directory(of: #filePath)
    while directory != "/", !Files.exists(directory + "/Package.swift") {
      directory = Files.directory(of: directory)
    }
    return directory
  }()

  /// Every file under a directory of the tree whose name ends so, as paths from the top.
  public static func files(under directory: String, suffix: String) throws(SystemError) -> [String] {
    var found: [String] = []
    for name in try Files.list(root + "/" + directory) {
      let path = directory + "/" + name
      if case .directory = try Files.status(of: root + "/" + path).kind {
        found += try files(under: path, suffix: suffix)
      } else if name.hasSuffix(suffix) {
        found.append(path)
      }
    }
    return found.sorted()
  }

  /// A file's text.
  public static func text(_ path: String) throws(SystemError) -> String {
    String(decoding: try Files.read(root + "/" + path, limit: 64 << 20), as: UTF8.self)
  }
}
