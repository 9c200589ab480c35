import Posix

/// A pseudo-terminal whose controller plays the device.
struct PlayedDevice {
  let controller: DescriptorStream
  let path: String
  private let limit = Duration.seconds(50)

  init() throws {
    let pty = try PseudoTerminal.open()
    path = pty.path
    controller = DescriptorStream(pty.controller)
  }

  func send(_ text: String) async throws { try await controller.write(Array(text.utf8), timeout: limit) }

  func receive(_ count: Int) async throws -> [UInt8] {
    var bytes: [UInt8] = []
    while bytes.count < count {
      bytes += try await controller.read(upTo: count - bytes.count, timeout: limit)
    }
    return bytes
  }
}
