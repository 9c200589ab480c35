internal import Glibc

/// What the process was started with.
public enum Environment {
  /// An environment variable; `nil` when it is not set.
  public static subscript(name: String) -> String? {
    unsafe getenv(name).map { unsafe String(cString: $0) }
  }

  /// The command line, the program's own name first.
  public static var arguments: [String] { CommandLine.arguments }
}
