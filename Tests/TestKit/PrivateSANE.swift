public import Posix

/// A configuration for SANE that knows only its `test` backend (sane-test(5)): devices `test:0` and `test:1`, whose
/// feeder holds ten sheets.
public final class PrivateSANE: Sendable {
  /// Whether tests with it are to run.
  public static var isExpected: Bool { Programs.areExpected("scanimage") }
  /// What to say when they are not.
  public static let reason = "scanimage (package sane-utils) is not installed"

  /// The name of the device with the feeder.
  public static let device = "test:0"

  private let files: TemporaryDirectory

  /// What `SANE_CONFIG_DIR` has to be.
  public var directory: String { files.path }

  /// Makes the configuration.
  public init() throws(SystemError) {
    files = try TemporaryDirectory()
    try Files.replaceDurable(files.path("dll.conf"), bytes: Array("test\n".utf8), mode: 0o644)
    try answer("Default")
  }

  /// What reading a page returns from now on, in every program that is started: `Default`, or a status such as
  /// `SANE_STATUS_JAMMED`.
  public func answer(_ status: String) throws(SystemError) {
    // Without these lines the backend begins with a resolution of almost nothing. With an error its own thread must not
    // come to its first byte before the end: it would write to a pipe that is closed already, or be in the middle of
    // writing to one that is full, and the signal handler for that waits, in that thread, for the thread's end. So it
    // waits a quarter of an hour; the end takes it out of that.
    let text = """
      number_of_devices 2
      mode Color
      depth 8
      resolution_min 1.0
      resolution_max 1200.0
      resolution_quant 1.0
      resolution 50.0
      test-picture "Color pattern"
      read-status-code "\(status)"
      read-delay \(status != "Default")
      read-delay-duration \(status == "Default" ? 200_000 : 900_000_000)
      geometry_min 0.0
      geometry_max 200.0
      geometry_quant 1.0
      tl_x 0.0
      tl_y 0.0
      br_x 80.0
      br_y 100.0

      """
    try Files.replaceDurable(files.path("test.conf"), bytes: Array(text.utf8), mode: 0o644)
  }
}
