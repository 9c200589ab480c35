internal import Posix

/// What a process holds of the system, to be compared before and after: for leak tests, which must run in an exit test,
/// since other tests of the same process open and close at the same time.
///
/// Compare with "no more than": libdispatch closes one of its own at some moment after the start. Repeat what may leak often
/// enough to be seen beside that.
public struct OpenResources: Equatable, Sendable, CustomStringConvertible {
  /// Open descriptors.
  public let descriptors: Int
  /// Threads.
  public let threads: Int

  /// What is held once the poller and the runtime's own timers, which open theirs at their first use, have been used.
  public static func settled() async -> OpenResources {
    try? await Task.sleep(for: .milliseconds(1), clock: .continuous)
    try? await Task.sleep(for: .milliseconds(1), clock: .suspending)
    _ = await Poller.shared.sleep(for: .milliseconds(1))
    return now()
  }

  /// What is held now.
  public static func now() -> OpenResources {
    OpenResources(descriptors: ProcessInfo.openDescriptors, threads: ProcessInfo.threads)
  }

  /// For messages of failed expectations.
  public var description: String { "\(descriptors) descriptors, \(threads) threads" }
}
