internal import Channels
internal import Glibc
internal import Posix
internal import USB

/// What a USB refusal means for a channel.
extension ChannelError {
  /// A failure while opening the device at `node`, called `place` for people.
  init(opening place: String, node: String, _ error: USBError) {
    self =
      switch error {
      case .system(let error) where error.code == EACCES || error.code == EPERM:
        .denied(DeviceHolder.permissions(node))
      case .system(let error): ChannelError(opening: place, error)
      case .gone, .notFound: .absent(place)
      case .denied: .denied(DeviceHolder.permissions(node))
      case .busy: .busy(place)
      default: ChannelError(using: error, place)
      }
  }

  /// A failure of a transfer through `place`.
  init(using error: USBError, _ place: String) {
    self =
      switch error {
      case .timedOut: .timedOut
      case .gone: .gone
      case .cancelled: .cancelled
      case .overflow: .malformed("\(place): the device sends more than was asked for (babble)")
      case .stalled: .system(call: "\(place) is stalled", code: EPIPE)
      case .io: .system(call: "transfer through \(place)", code: EIO)
      case .busy: .busy(place)
      case .denied: .denied(place)
      case .notFound: .system(call: "use \(place)", code: ENOENT)
      case .system(let error): .system(call: error.call, code: error.code)
      case .library(let call, let code):
        .system(call: "\(call) (libusb error \(code)) for \(place)", code: EIO)
      }
  }
}
