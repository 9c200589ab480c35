internal import Channels
internal import Glibc
internal import Posix

/// What a system call's refusal means for a channel.
extension ChannelError {
  /// A failure while opening what is named by `place`.
  init(opening place: String, _ error: SystemError) {
    self =
      switch error.code {
      // EIO: a serial driver's node without a port behind it (/dev/ttyS*), or the closed side of a pseudo-terminal.
      case ENOENT, ENXIO, ENODEV, ENOTDIR, EIO: .absent(place)
      case EACCES, EPERM: .denied(place)
      case EBUSY: .busy(place)
      case ENOTTY: .malformed("\(place) is no serial line")
      default: .system(call: error.call, code: error.code)
      }
  }

  /// A failure while reading or writing an open descriptor.
  init(using error: StreamError) {
    self =
      switch error {
      case .closed, .cancelled: .cancelled
      case .timedOut: .timedOut
      case .system(let error):
        switch error.code {
        case EIO, ENODEV, ENXIO, EPIPE, ECONNRESET, ESHUTDOWN: .gone
        default: .system(call: error.call, code: error.code)
        }
      }
  }
}
