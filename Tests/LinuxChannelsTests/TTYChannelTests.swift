import Channels
import LinuxChannels
import Posix
import TestKit
import Testing

extension PlayedDevice {
  fileprivate func open() throws -> TTYChannel {
    try TTYChannel.open(path: path, line: LineSettings(baud: 115200))
  }
}

@Suite(.timeLimit(.minutes(1))) struct TTYChannelTests {
  let limit = Duration.seconds(50)

  @Test func `bytes pass both ways unchanged`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let all = (0...255).map { UInt8($0) }
    try await line.write(all, timeout: limit)
    #expect(try await device.receive(256) == all)
    try await device.controller.write(all, timeout: limit)
    var received: [UInt8] = []
    while received.count < 256 { received += try await line.read(upTo: 256, timeout: limit) }
    #expect(received == all)
    await line.close()
  }

  @Test func `the speed can be changed while the line is open`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    func speed() throws -> Int? { try device.controller.withDescriptor { try SerialPort.speed($0) } ?? nil }
    #expect(try speed() == 115200)
    for baud in SerialSettings.speeds {
      try await device.send("late")
      try await line.setBaud(baud)
      #expect(try speed() == baud)
    }
    // What had arrived at another speed is gone; the line works on.
    try await device.send("x")
    #expect(try await line.read(upTo: 16, timeout: limit) == Array("x".utf8))
    await #expect(throws: ChannelError.malformed("1200 baud")) { try await line.setBaud(1200) }
    await line.close()
    await #expect(throws: ChannelError.cancelled) { try await line.setBaud(9600) }
  }

  @Test func `a read gives no more than was asked for`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    try await device.send("abc")
    #expect(try await line.read(upTo: 1, timeout: limit) == Array("a".utf8))
    await line.close()
  }

  @Test func `nothing arriving is a time-out`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    await #expect(throws: ChannelError.timedOut) { try await line.read(upTo: 1, timeout: .milliseconds(20)) }
    await line.close()
  }

  @Test func `what had arrived is thrown away on demand`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    try await device.send("stale")
    #expect(try await line.read(upTo: 1, timeout: limit) == Array("s".utf8))
    await line.discardInput()
    try await device.send("fresh")
    #expect(try await line.read(upTo: 64, timeout: limit) == Array("fresh".utf8))
    await line.close()
  }

  @Test func `a line in use is busy and names this process`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let error = #expect(throws: ChannelError.self) { try device.open() }
    guard case .busy(let holder) = error else { return #expect(Bool(false), "\(String(describing: error))") }
    #expect(holder.contains(device.path))
    #expect(holder.contains("(process \(ProcessInfo.processID))"))
    await line.close()
    await (try device.open()).close()
  }

  @Test(.enabled(if: Programs.areExpected("flock"), "flock (package util-linux) is not installed"))
  func `a line in use by another program is busy and names it`() async throws {
    let device = try PlayedDevice()
    let holder = try ChildProcess.spawn(
      "flock", arguments: [device.path, "sh", "-c", "echo ready; read line"], standardInput: .pipe,
      standardOutput: .pipe)
    #expect(try await holder.output?.read(upTo: 16, timeout: limit) == Array("ready\n".utf8))
    let error = #expect(throws: ChannelError.self) { try device.open() }
    guard case .busy(let text) = error else { return #expect(Bool(false), "\(String(describing: error))") }
    #expect(text.contains("flock (process \(holder.processID))"))
    holder.input?.close()
    _ = await holder.wait(timeout: limit)
    await (try device.open()).close()
  }

  @Test func `a far end that leaves ends a waiting read with gone`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let reader = Task { try await line.read(upTo: 1, timeout: .seconds(60)) }
    device.controller.close()
    await #expect(throws: ChannelError.gone) { try await reader.value }
    await #expect(throws: ChannelError.gone) { try await line.read(upTo: 1, timeout: limit) }
    await #expect(throws: ChannelWriteError(written: 0, reason: .gone)) {
      try await line.write([1, 2, 3], timeout: limit)
    }
    await line.close()
  }

  @Test func `a device that takes no more gets exactly the bytes the error counts`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let bytes = (0..<200_000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    let error = try #require(
      await #expect(throws: ChannelWriteError.self) {
        try await line.write(bytes, timeout: .milliseconds(50))
      })
    #expect(error.reason == .timedOut)
    let written = error.written
    #expect((1..<bytes.count).contains(written))
    #expect(try await device.receive(written) == Array(bytes[..<written]))
    // Nothing follows: the next byte is the one written next.
    try await line.write([0xAA], timeout: limit)
    #expect(try await device.receive(1) == [0xAA])
    await line.close()
  }

  @Test func `closing ends a waiting read with cancelled, and may be done twice`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let reader = Task { try await line.read(upTo: 1, timeout: .seconds(60)) }
    await line.close()
    await line.close()
    await #expect(throws: ChannelError.cancelled) { try await reader.value }
    await #expect(throws: ChannelWriteError(written: 0, reason: .cancelled)) {
      try await line.write([1], timeout: limit)
    }
  }

  @Test func `a cancelled task stops reading`() async throws {
    let device = try PlayedDevice()
    let line = try device.open()
    let reader = Task { try await line.read(upTo: 1, timeout: .seconds(60)) }
    reader.cancel()
    await #expect(throws: ChannelError.cancelled) { try await reader.value }
    await line.close()
  }

  @Test func `a link to a line opens it`() async throws {
    let device = try PlayedDevice()
    let files = try TemporaryDirectory()
    try await Programs.run("ln", "-s", device.path, files.path("idcard.tty"))
    let line = try TTYChannel.open(path: files.path("idcard.tty"), line: LineSettings())
    try await line.write([0x42], timeout: limit)
    #expect(try await device.receive(1) == [0x42])
    await line.close()
  }

  @Test func `a path without a node is absent`() throws {
    let files = try TemporaryDirectory()
    #expect(throws: ChannelError.absent(files.path("none"))) {
      try TTYChannel.open(path: files.path("none"), line: LineSettings())
    }
  }

  @Test func `a link that leads nowhere is absent`() async throws {
    let files = try TemporaryDirectory()
    try await Programs.run("ln", "-s", files.path("none"), files.path("link"))
    #expect(throws: ChannelError.absent(files.path("link"))) {
      try TTYChannel.open(path: files.path("link"), line: LineSettings())
    }
  }

  @Test func `a file is no serial line`() throws {
    let files = try TemporaryDirectory()
    try Files.replaceDurable(files.path("file"), bytes: [1], mode: 0o600)
    #expect(throws: ChannelError.malformed("\(files.path("file")) is no serial line")) {
      try TTYChannel.open(path: files.path("file"), line: LineSettings())
    }
  }

  @Test func `a speed that no line has is refused before anything is opened`() throws {
    let error = #expect(throws: ChannelError.self) {
      try TTYChannel.open(path: "/nowhere", line: LineSettings(baud: 12345))
    }
    guard case .malformed(let text) = error else {
      return #expect(Bool(false), "\(String(describing: error))")
    }
    #expect(text.contains("12345"))
  }

  @Test(.enabled(if: ProcessInfo.userID != 0, "root may open everything"))
  func `a line this account may not open is denied and tells whose it is`() async throws {
    let device = try PlayedDevice()
    try Files.setMode(device.path, 0o000)
    let error = #expect(throws: ChannelError.self) { try device.open() }
    guard case .denied(let text) = error else { return #expect(Bool(false), "\(String(describing: error))") }
    #expect(text.hasPrefix("\(device.path) (mode 0, user "))
  }
}
