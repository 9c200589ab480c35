import Codecs

/// A camera of the USB video class (UVC 1.0 or 1.1) that delivers MJPEG over a bulk endpoint, as document cameras do
/// (facts/devices.md D1; facts/kernel-lab.md).
public struct USBCamera: SimulatedUSBFunction {
  /// Which revision of the class.
  public enum Version: UInt16, Sendable {
    /// Without the clock in Probe and Commit.
    case one = 0x0100
    /// With it.
    case oneOne = 0x0110
  }

  private static let endpoint: UInt8 = 0x81
  private static let streaming = 1
  /// Bytes of a payload with its header. Linux asks for as many at a time.
  private static let payload = 16_384
  /// 48 MHz, as the descriptors say.
  private static let clock: UInt32 = 48_000_000
  /// Times between frames, in 100 ns: 10 and 5 a second.
  private static let intervals: [UInt32] = [1_000_000, 2_000_000]
  /// Room for what a fault adds to a frame.
  private static let spare = 4096

  /// What a host has chosen.
  private struct Choice: Sendable {
    var frame = 1
    var interval = USBCamera.intervals[0]
  }

  /// What the device says of itself.
  public let description: USBDescription
  /// Clearing the halt of its endpoint is how hosts end a bulk stream.
  public var forgetsWhenCleared: Bool { true }
  private let sizes: [SimulatedCamera.Size]
  private let version: Version
  private var probe = Choice()
  private var committed = Choice()
  /// VC_REQUEST_ERROR_CODE_CONTROL: 6 when the last request was for a control that is not there.
  private var lastError: UInt8 = 0
  /// VS_STREAM_ERROR_CODE_CONTROL: 4, an input buffer was too small or overflowed, after a broken frame.
  private var streamError: UInt8 = 0
  /// FID: turns with every frame.
  private var turn: UInt8 = 0

  /// A camera with these sizes, numbered as the model numbers them. No identity of a real one is known; the one given is kept
  /// for tests by pid.codes.
  public init(
    _ sizes: [SimulatedCamera.Size], version: Version = .one, vendor: UInt16 = 0x1209,
    product: UInt16 = 0x0003,
    serial: String? = nil
  ) {
    self.sizes = sizes
    self.version = version
    var description = USBDescription(
      vendor: vendor, product: product, manufacturer: "Simulated", name: "Document camera",
      interfaces: [
        USBInterface(
          codes: [0x0E, 1, 0], name: "Video control", extra: Self.controlDescriptors(version), endpoints: [],
          association: (2, [0x0E, 3, 0])),
        USBInterface(
          codes: [0x0E, 2, 0], name: "Video stream", extra: Self.streamDescriptors(sizes),
          endpoints: [USBEndpoint(Self.endpoint, .bulk, packet: 512)]),
      ])
    description.speed = .high
    description.version = 0x0200
    // Several interfaces make one function: miscellaneous device with associations.
    description.codes = [0xEF, 2, 1]
    description.serial = serial
    description.current = 500
    self.description = description
  }

  /// A header, a camera and the stream it feeds (UVC 1.1, 3.7.2).
  private static func controlDescriptors(_ version: Version) -> [UInt8] {
    let camera: [UInt8] = [18, 0x24, 2, 1, 0x01, 0x02, 0, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0]
    let output: [UInt8] = [9, 0x24, 3, 2, 0x01, 0x01, 0, 1, 0]
    let total = UInt16(13 + camera.count + output.count)
    return [13, 0x24, 1] + version.rawValue.usbBytes + total.usbBytes + clock.usbBytes + [
      1, UInt8(streaming),
    ]
      + camera + output
  }

  /// One format, MJPEG, with a frame descriptor for each size (UVC 1.1, 3.9.2; MJPEG payload 3.1).
  private static func streamDescriptors(_ sizes: [SimulatedCamera.Size]) -> [UInt8] {
    var body: [UInt8] = [11, 0x24, 6, 1, UInt8(clamping: sizes.count), 0, 1, 0, 0, 0, 0]
    for (index, size) in sizes.enumerated() {
      let largest = UInt32(clamping: size.bytes + spare)
      func rate(_ interval: UInt32) -> [UInt8] {
        UInt32(clamping: UInt64(largest) * 8 * 10_000_000 / UInt64(interval)).usbBytes
      }
      body += [UInt8(26 + 4 * intervals.count), 0x24, 7, UInt8(clamping: index + 1), 0]
      body += UInt16(clamping: size.width).usbBytes + UInt16(clamping: size.height).usbBytes
      body +=
        rate(intervals.max() ?? 1) + rate(intervals.min() ?? 1) + largest.usbBytes + intervals[0].usbBytes
      body.append(UInt8(intervals.count))
      for interval in intervals { body += interval.usbBytes }
    }
    // Colours: BT.709 primaries and transfer, BT.601 matrix.
    body += [6, 0x24, 0x0D, 1, 1, 4]
    let header: [UInt8] =
      [14, 0x24, 1, 1] + UInt16(clamping: body.count + 14).usbBytes + [endpoint, 0, 2, 0, 0, 0, 1, 0]
    return header + body
  }

  /// Probe and Commit (UVC 1.1, 4.3.1.1), and the error of the last request.
  public mutating func answer(
    _ setup: USBSetup, _ data: [UInt8], _ model: inout any SimulatedSerialDevice
  ) -> USBAnswer {
    let selector = setup.value >> 8
    let (interface, entity) = (Int(setup.index & 0xFF), setup.index >> 8)
    if interface == 0, entity == 0, selector == 2, setup.type == 0xA1 {
      switch setup.request {
      case 0x81: return USBAnswer([lastError])
      case 0x86: return USBAnswer([1])
      default: break
      }
    }
    if interface == Self.streaming, entity == 0, selector == 6, setup.type == 0xA1, setup.request == 0x81 {
      defer { streamError = 0 }
      return USBAnswer([streamError])
    }
    guard interface == Self.streaming, entity == 0, selector == 1 || selector == 2,
      let answer = negotiate(setup, data, commits: selector == 2)
    else {
      lastError = 6
      return .refused
    }
    lastError = 0
    return answer
  }

  private mutating func negotiate(_ setup: USBSetup, _ data: [UInt8], commits: Bool) -> USBAnswer? {
    switch (setup.type, setup.request) {
    case (0x21, 0x01):
      guard data.count >= 26 else { return nil }
      // What cannot be had is changed to what can, as the class wants it.
      probe.frame = min(max(1, Int(data[3])), max(1, sizes.count))
      let wanted = data[4..<8].reversed().reduce(UInt32(0)) { $0 << 8 | UInt32($1) }
      probe.interval =
        Self.intervals.min { one, other in
          max(one, wanted) - min(one, wanted) < max(other, wanted) - min(other, wanted)
        } ?? wanted
      guard commits else { return .accepted }
      committed = probe
      turn = 0
      var answer = USBAnswer.accepted
      answer.bytes = SimulatedCamera.start(committed.frame - 1, interval: committed.interval)
      return answer
    case (0xA1, 0x81): return USBAnswer(block(commits ? committed : probe))
    case (0xA1, 0x82): return USBAnswer(block(Choice(frame: 1, interval: Self.intervals.min() ?? 1)))
    case (0xA1, 0x83):
      return USBAnswer(block(Choice(frame: max(1, sizes.count), interval: Self.intervals.max() ?? 1)))
    case (0xA1, 0x87): return USBAnswer(block(Choice()))
    case (0xA1, 0x85): return USBAnswer([version == .one ? 26 : 34, 0])
    case (0xA1, 0x86): return USBAnswer([3])
    default: return nil
    }
  }

  private func block(_ choice: Choice) -> [UInt8] {
    let size = sizes.indices.contains(choice.frame - 1) ? sizes[choice.frame - 1].bytes : 0
    var block: [UInt8] = [1, 0, 1, UInt8(clamping: choice.frame)] + choice.interval.usbBytes
    // No key frames, quality, window or delay.
    block += [UInt8](repeating: 0, count: 10)
    block += UInt32(clamping: size + Self.spare).usbBytes + UInt32(Self.payload).usbBytes
    // Framing by FID and EOF; payload format of this revision.
    return version == .one ? block : block + Self.clock.usbBytes + [3, 1, 1, 1]
  }

  /// A frame in payloads, each with a header of two bytes. A frame that comes before the host has fetched the last one is lost,
  /// as in a camera.
  public mutating func send(_ reply: [UInt8], isBroken: Bool, waiting: (UInt8) -> Int) -> [USBInput] {
    guard waiting(Self.endpoint) == 0 else { return [] }
    defer { turn ^= 1 }
    if isBroken { streamError = 4 }
    let room = Self.payload - 2
    return stride(from: 0, to: reply.count, by: room).map { start in
      let part = reply[start..<min(start + room, reply.count)]
      let isLast = start + room >= reply.count
      // EOH, ERR, EOF, FID.
      let header: [UInt8] = [2, 0x80 | (isBroken ? 0x40 : 0) | (isLast ? 0x02 : 0) | turn]
      return USBInput(Self.endpoint, header + part, isClosed: part.count < room)
    }
  }

  /// Ends the stream.
  public mutating func cleared(_ endpoint: UInt8) -> [UInt8] {
    endpoint == Self.endpoint ? SimulatedCamera.stop : []
  }

  /// Ends the stream and forgets what was chosen.
  public mutating func reset() -> [UInt8] {
    probe = Choice()
    committed = Choice()
    lastError = 0
    return SimulatedCamera.stop
  }
}
