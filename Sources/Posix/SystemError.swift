private import CLinux

/// A system call, or a library call that reports like one, that failed.
public struct SystemError: Error, Sendable, Equatable, CustomStringConvertible {
  /// What was asked of the system, with its object: `open /dev/ttyUSB0`.
  public let call: String
  /// The errno.
  public let code: Int32

  /// - Parameters:
  ///   - call: what was asked, with its object: `open /dev/ttyUSB0`.
  ///   - code: the errno, positive.
  public init(call: String, code: Int32) {
    self.call = call
    self.code = code
  }

  /// The symbolic name of the errno, such as `ENOENT`; `errno 4711` for a number Linux has no name for.
  public var name: String {
    unsafe clinux_error_name(code).map { unsafe String(cString: $0) } ?? "errno \(code)"
  }

  /// For people: `open /x: No such file or directory (ENOENT)`.
  public var description: String {
    let text = unsafe clinux_error_text(code).map { unsafe String(cString: $0) } ?? "Unknown error"
    return "\(call): \(text) (\(name))"
  }
}

/// The result of a CLinux function, or its negative errno as an error.
@discardableResult
func check<Value: SignedInteger>(
  _ result: Value, _ call: @autoclosure () -> String
) throws(SystemError) -> Value {
  guard result < 0 else { return result }
  throw SystemError(call: call(), code: Int32(clamping: -result))
}

/// Refuses text that C would cut short at an embedded NUL, and so mean another file.
func refuseNul(_ text: String, _ call: @autoclosure () -> String) throws(SystemError) {
  guard text.utf8.contains(0) else { return }
  throw SystemError(call: call(), code: Errno.invalid)
}

/// The error numbers this module raises or tells apart itself.
enum Errno {
  static let noEntry: Int32 = 2
  static let noDevice: Int32 = 19
  static let again: Int32 = 11
  static let exists: Int32 = 17
  static let busy: Int32 = 16
  static let invalid: Int32 = 22
  static let notTerminal: Int32 = 25
  static let fileTooBig: Int32 = 27
  static let notPermitted: Int32 = 1
  static let badDescriptor: Int32 = 9
  static let range: Int32 = 34
  static let addressInUse: Int32 = 98
  static let connectionRefused: Int32 = 111
}
