internal import CScreen

/// The files of the citizen's screen, embedded in the program.
enum ScreenFiles {
  static let page = unsafe bytes(cscreen_page())
  static let style = unsafe bytes(cscreen_style())
  static let script = unsafe bytes(cscreen_script())

  private static func bytes(_ file: cscreen_file) -> [UInt8] {
    unsafe Array(UnsafeBufferPointer(start: file.bytes, count: file.length))
  }
}
