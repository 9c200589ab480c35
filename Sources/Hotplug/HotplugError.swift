internal import CUdev
public import Posix

/// Why the kernel's device events cannot be had.
public enum HotplugError: Error, Sendable {
  /// libudev refused a call.
  case system(SystemError)
}
