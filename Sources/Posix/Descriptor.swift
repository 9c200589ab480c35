private import CLinux

/// An open file descriptor with one owner, closed when the owner lets go of it.
///
/// Waiters that ``Poller/shared`` still has for it are woken before it is closed, so that none of them can be woken by
/// whatever file gets the same number next.
public struct Descriptor: ~Copyable, Sendable {
  /// The number, for calls that borrow it. It means nothing any more once this value is gone.
  public let raw: Int32

  /// Takes over an open descriptor: nobody else may close it from now on.
  public init(adopting raw: Int32) { self.raw = raw }

  /// Hands the number over to the caller, who has to close it.
  public consuming func release() -> Int32 {
    let number = raw
    discard self
    return number
  }

  /// Another descriptor for the same open file, closed on exec.
  public func duplicate() throws(SystemError) -> Descriptor {
    Descriptor(adopting: try check(clinux_duplicate(raw, 0), "duplicate descriptor \(raw)"))
  }

  /// Closes now and reports what `close` reports: the last chance of some file systems to tell of a lost write.
  public consuming func close() throws(SystemError) {
    let number = release()
    Poller.shared.forget(number)
    try check(clinux_close(number), "close descriptor \(number)")
  }

  deinit {
    Poller.shared.forget(raw)
    _ = clinux_close(raw)
  }
}
