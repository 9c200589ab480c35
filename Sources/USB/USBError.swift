internal import CLibUSB
public import Posix

/// Why a USB device could not be opened or used.
public enum USBError: Error, Sendable, Equatable {
  /// The device took or gave nothing (more) within the time: it answers NAK, or not at all.
  case timedOut
  /// The device has been unplugged, or its port was reset and it is another one now.
  case gone
  /// The endpoint is halted (STALL), or the device refuses the control request.
  case stalled
  /// The device sent more than was asked for (babble).
  case overflow
  /// A driver of the kernel or another program has the interface.
  case busy
  /// This account may not.
  case denied
  /// The task was cancelled, or the device closed from this side.
  case cancelled
  /// The transfer failed on the bus: a bad cable, an endpoint the controller cannot serve.
  case io
  /// No such interface or endpoint.
  case notFound
  /// The system refused a call of its own.
  case system(SystemError)
  /// libusb refused otherwise; `code` is its `LIBUSB_ERROR_…` value, such as -11 for no memory.
  case library(call: String, code: Int32)

  /// What libusb returned from `call`.
  init(_ code: Int32, _ call: String) {
    self =
      switch code {
      case LIBUSB_ERROR_TIMEOUT.rawValue: .timedOut
      case LIBUSB_ERROR_NO_DEVICE.rawValue: .gone
      case LIBUSB_ERROR_PIPE.rawValue: .stalled
      case LIBUSB_ERROR_OVERFLOW.rawValue: .overflow
      case LIBUSB_ERROR_BUSY.rawValue: .busy
      case LIBUSB_ERROR_ACCESS.rawValue: .denied
      case LIBUSB_ERROR_IO.rawValue: .io
      case LIBUSB_ERROR_NOT_FOUND.rawValue: .notFound
      default: .library(call: call, code: code)
      }
  }

  /// How a transfer ended; nil when it went well.
  init?(_ status: libusb_transfer_status) {
    switch status {
    case LIBUSB_TRANSFER_COMPLETED: return nil
    case LIBUSB_TRANSFER_TIMED_OUT: self = .timedOut
    case LIBUSB_TRANSFER_CANCELLED: self = .cancelled
    case LIBUSB_TRANSFER_STALL: self = .stalled
    case LIBUSB_TRANSFER_NO_DEVICE: self = .gone
    case LIBUSB_TRANSFER_OVERFLOW: self = .overflow
    default: self = .io
    }
  }

  /// The result of a libusb function, or its negative code as an error.
  static func check(_ result: Int32, _ call: String) throws(USBError) {
    if result < 0 { throw USBError(result, call) }
  }
}
