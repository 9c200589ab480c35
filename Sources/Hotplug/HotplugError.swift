public import Posix

/// Why the kernel's device events cannot be had.
public enum HotplugError: Error, Sendable, Equatable {
  /// libudev refused a call.
  case system(SystemError)
}
