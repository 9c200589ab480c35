/// Why a browser did not do what it was told.
public enum BrowserError: Error, Sendable, CustomStringConvertible {
  /// It could not be started.
  case notStarted(String)
  /// It has ended, or closed the page.
  case gone
  /// It did not answer in time.
  case timeout(String)
  /// It refused a command.
  case refused(String)
  /// A script on the page failed.
  case script(String)

  /// What is wrong.
  public var description: String {
    switch self {
    case .notStarted(let why): "the browser could not be started: \(why)"
    case .gone: "the browser has gone"
    case .timeout(let what): "the browser did not answer in time: \(what)"
    case .refused(let why): "the browser refused: \(why)"
    case .script(let why): "a script on the page failed: \(why)"
    }
  }
}
