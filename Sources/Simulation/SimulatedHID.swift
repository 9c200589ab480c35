public import Channels
import Codecs

/// A device whose line carries messages: each reply is one, and stays apart from the next.
public protocol SimulatedMessageDevice: SimulatedSerialDevice {
  /// The form of channel that is usual for it.
  var channelKind: ChannelKind { get }
}

/// A HID device: what it sends are input reports, what it receives output reports, each with its number first where it
/// numbers them.
public protocol SimulatedHIDDevice: SimulatedMessageDevice {
  /// Its report descriptor.
  var reportDescriptor: [UInt8] { get }
}

extension SimulatedKeypad: SimulatedHIDDevice {
  /// The boot keyboard's (USB HID 1.11, appendix E.6).
  public var reportDescriptor: [UInt8] {
    [
      0x05, 0x01, 0x09, 0x06, 0xA1, 0x01, 0x05, 0x07, 0x19, 0xE0, 0x29, 0xE7, 0x15, 0x00, 0x25, 0x01, 0x75,
      0x01, 0x95, 0x08, 0x81, 0x02, 0x95, 0x01, 0x75, 0x08, 0x81, 0x01, 0x95, 0x05, 0x75, 0x01, 0x05, 0x08,
      0x19, 0x01, 0x29, 0x05, 0x91, 0x02, 0x95, 0x01, 0x75, 0x03, 0x91, 0x01, 0x95, 0x06, 0x75, 0x08, 0x15,
      0x00, 0x25, 0x65, 0x05, 0x07, 0x19, 0x00, 0x29, 0x65, 0x81, 0x00, 0xC0,
    ]
  }
  /// Keys.
  public var channelKind: ChannelKind { .inputEvents }
}

/// The host's end of a simulated HID device as the kernel's hidraw gives it: lengths are held against the descriptor.
public final class SimulatedReports: ReportChannel {
  /// The report descriptor.
  public let descriptor: [UInt8]
  private let reports: HIDReportDescriptor
  private let line: SimulatedLine

  init(_ line: SimulatedLine, descriptor: [UInt8]) throws(ChannelError) {
    self.line = line
    self.descriptor = descriptor
    do throws(HIDDescriptorError) {
      reports = try HIDReportDescriptor(descriptor)
    } catch {
      throw .malformed("\(error)")
    }
  }

  private func length(_ kind: HIDReportKind, _ report: [UInt8]) -> Int? {
    let number = reports.isNumbered ? report.first ?? 0 : 0
    return reports.report(kind, number).map { $0.bytes + (reports.isNumbered ? 1 : 0) }
  }

  /// The next input report; `.malformed` for one that was damaged on its way.
  public func read(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let report = try await line.read(upTo: HIDReportDescriptor.maximumLength * 4, timeout: timeout)
    guard report.count == length(.input, report) else {
      throw .malformed("an input report of \(report.count) bytes")
    }
    return report
  }

  /// Hands over one output report, filled up to its length.
  public func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let sent = reports.isNumbered ? report : Array(report.dropFirst())
    guard report.first != nil, reports.isNumbered || report.first == 0, let length = length(.output, sent),
      sent.count <= length
    else { throw ChannelWriteError(written: 0, reason: .malformed("the device has no such output report")) }
    try await line.write(sent + [UInt8](repeating: 0, count: length - sent.count), timeout: timeout)
  }

  /// No model here has features.
  public func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8] {
    throw .malformed("the device has no feature report \(number)")
  }
  /// No model here has features.
  public func setFeature(_ report: [UInt8]) async throws(ChannelError) {
    throw .malformed("the device has no feature report \(report.first ?? 0)")
  }
  /// Throws away what arrived.
  public func discardInput() async { await line.discardInput() }
  /// Lets the device go.
  public func close() async { await line.close() }
}

/// The host's end of a simulated keyboard as the kernel's evdev gives it: reports have become keys.
public final class SimulatedKeys: InputEvents {
  /// What the device calls itself.
  public let name: String
  private let line: SimulatedLine
  private let time: any Timekeeper
  private let state = Reading()

  /// One reader at a time, as with every channel.
  private actor Reading {
    private var keyboard = BootKeyboard()
    private var waiting: [UInt16] = []

    func next() -> UInt16? { waiting.isEmpty ? nil : waiting.removeFirst() }
    func take(_ report: [UInt8]) { waiting += keyboard.take(report) }
  }

  init(_ line: SimulatedLine, name: String, time: any Timekeeper) {
    self.line = line
    self.name = name
    self.time = time
  }

  /// The next key that goes down.
  public func next(timeout: Duration?) async throws(ChannelError) -> KeyPress {
    let deadline = timeout.map { time.now() + $0 }
    while true {
      if let code = await state.next() { return KeyPress(code: code, time: time.now()) }
      // Without a limit a read is begun anew once an hour.
      let patience = deadline.map { $0 - time.now() } ?? .seconds(3600)
      do throws(ChannelError) {
        await state.take(try await line.read(upTo: 64, timeout: patience))
      } catch {
        guard error == .timedOut, deadline == nil else { throw error }
      }
    }
  }

  /// Lets the device go.
  public func close() async { await line.close() }
}

extension SimulatedDevice {
  /// Opens a device whose line carries messages. A keyboard can be had as keys and as reports.
  func openMessages(as kind: ChannelKind) throws(ChannelError) -> Channel {
    let line = try openLine()
    if let hid = serial as? any SimulatedHIDDevice {
      if kind == .inputEvents, hid.channelKind == .inputEvents {
        return .inputEvents(SimulatedKeys(line, name: modelName, time: time))
      }
      return .reports(try SimulatedReports(line, descriptor: hid.reportDescriptor))
    }
    return .frames(SimulatedFrames(line, device: self, sizes: (serial as? SimulatedCamera)?.sizes ?? []))
  }
}
