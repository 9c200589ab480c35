public import Channels
public import Codecs
internal import Glibc
public import Posix
internal import Synchronization

/// Reports of a HID interface through the kernel's hidraw driver.
///
/// Lengths are held against the report descriptor: an input report of another length than it says, or with a number it
/// does not have, is `.malformed`, and the next read goes on after it. The kernel lets any number of programs read; the lock
/// taken here keeps out those that look at it.
public final class HIDRawChannel: ReportChannel {
  /// The report descriptor, as the device gave it.
  public let descriptor: [UInt8]
  /// What it says.
  public let reports: HIDReportDescriptor
  /// Ids and names.
  public let information: HIDRaw.Information

  private let stream: DescriptorStream
  private let calls: BlockingCalls

  private init(
    _ node: consuming Descriptor, _ calls: BlockingCalls, descriptor: [UInt8], reports: HIDReportDescriptor,
    information: HIDRaw.Information
  ) {
    stream = DescriptorStream(node)
    self.calls = calls
    self.descriptor = descriptor
    self.reports = reports
    self.information = information
  }

  /// Opens `/dev/hidraw*`, or a link to one. What had arrived before is thrown away.
  /// - Throws: `.absent`, `.denied`; `.busy` with the program that has it; `.malformed` for what is no hidraw device, and
  ///   for a report descriptor that cannot be gone by.
  public static func open(path: String) async throws(ChannelError) -> HIDRawChannel {
    let calls = BlockingCalls(name: "hidraw")
    let outcome = await calls.run(timeout: nil) {
      Result { () throws(ChannelError) in try connect(path, calls) }
    }
    guard case .returned(let result) = outcome else { throw .cancelled }
    return try result.get()
  }

  private static func connect(_ path: String, _ calls: BlockingCalls) throws(ChannelError) -> HIDRawChannel {
    let mistake: HIDDescriptorError
    do throws(SystemError) {
      let node = try HIDRaw.open(path: path)
      let descriptor = try HIDRaw.reportDescriptor(node.raw)
      let information = try HIDRaw.information(node.raw)
      switch Result(catching: { () throws(HIDDescriptorError) in try HIDReportDescriptor(descriptor) }) {
      case .success(let reports):
        HIDRaw.discardInput(node.raw)
        return HIDRawChannel(
          node, calls, descriptor: descriptor, reports: reports, information: information)
      case .failure(let error): mistake = error
      }
    } catch {
      throw ChannelError(opening: path, as: "HID interface", error)
    }
    throw .malformed("\(path): \(mistake)")
  }

  /// The next input report, of exactly the length the descriptor gives it.
  public func read(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let report: [UInt8]
    do throws(StreamError) {
      // One byte more than the longest, so that a longer one is seen.
      report = try await stream.read(upTo: reports.longest(.input) + 1, timeout: timeout)
    } catch {
      throw ChannelError(usingReports: error)
    }
    try Self.check(report, reports)
    return report
  }

  /// Holds an input report against the descriptor.
  static func check(_ report: [UInt8], _ reports: HIDReportDescriptor) throws(ChannelError) {
    let number = reports.isNumbered ? report.first ?? 0 : 0
    guard let declared = reports.report(.input, number) else {
      throw .malformed("input report \(number), which the descriptor does not have")
    }
    let length = declared.bytes + (reports.isNumbered ? 1 : 0)
    guard report.count == length else {
      let much = report.count > length ? "more than \(length)" : "\(report.count) instead of \(length)"
      throw .malformed("input report \(number) has \(much) bytes")
    }
  }

  /// Fills a report up to the length the descriptor gives it, number first.
  static func padded(
    _ report: [UInt8], _ kind: HIDReportKind, _ reports: HIDReportDescriptor
  ) throws(ChannelError) -> [UInt8] {
    let number = report.first ?? 0
    guard let declared = reports.report(kind, number) else {
      throw .malformed("\(kind.rawValue) report \(number), which the descriptor does not have")
    }
    let length = declared.bytes + 1
    guard report.count <= length, !report.isEmpty else {
      throw .malformed("\(kind.rawValue) report \(number) has \(report.count) bytes, more than \(length)")
    }
    return report + [UInt8](repeating: 0, count: length - report.count)
  }

  /// Sends an output report, number (or 0) first, filled up with zeros to its length. When the time is over, or the task
  /// cancelled, while the kernel still waits for the device, `written` is the whole report: it may have arrived.
  public func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let whole: [UInt8]
    do throws(ChannelError) {
      whole = try Self.padded(report, .output, reports)
    } catch {
      throw ChannelWriteError(written: 0, reason: error)
    }
    do throws(ChannelError) {
      let taken = try await call(timeout: timeout) { raw throws(SystemError) in
        try HIDRaw.send(raw, whole)
      }
      guard taken == whole.count else {
        throw .malformed("the device took \(taken) of \(whole.count) bytes")
      }
    } catch {
      let isUndecided = error == .timedOut || error == .cancelled
      throw ChannelWriteError(written: isUndecided ? report.count : 0, reason: error)
    }
  }

  /// Asks for a feature report, its number (or 0) first; waits as long as the kernel does, 5 s on the USB.
  public func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8] {
    guard let declared = reports.report(.feature, number) else {
      throw .malformed("feature report \(number), which the descriptor does not have")
    }
    let most = min(max(count, 1), declared.bytes + 1)
    let report = try await call(timeout: nil) { raw throws(SystemError) in
      try HIDRaw.feature(raw, number: number, count: most)
    }
    guard report.first == number else { throw .malformed("another feature report than \(number)") }
    return report
  }

  /// Sends a feature report, number (or 0) first, filled up with zeros to its length.
  public func setFeature(_ report: [UInt8]) async throws(ChannelError) {
    let whole = try Self.padded(report, .feature, reports)
    try await call(timeout: nil) { raw throws(SystemError) in try HIDRaw.setFeature(raw, whole) }
  }

  private func call<Value: Sendable>(
    timeout: Duration?, _ body: @escaping @Sendable (Int32) throws(SystemError) -> Value
  ) async throws(ChannelError) -> Value {
    let outcome = await calls.run(timeout: timeout) { [stream] in
      Result { () throws(StreamError) in try stream.call(body) }
    }
    switch outcome {
    case .timedOut: throw .timedOut
    case .cancelled: throw .cancelled
    case .returned(let result):
      do throws(StreamError) {
        return try result.get()
      } catch {
        throw ChannelError(usingReports: error)
      }
    }
  }

  /// Throws away what has arrived and was not read.
  public func discardInput() async { stream.withDescriptor { HIDRaw.discardInput($0) } }

  /// Ends the channel.
  public func close() async { stream.close() }
}

extension ChannelError {
  /// A failure with an open hidraw device. `EPIPE` is a device that refuses a report (stall), not one that has gone.
  init(usingReports error: StreamError) {
    self =
      switch error {
      case .system(let error) where error.code == ETIMEDOUT: .timedOut
      case .system(let error) where error.code == EPIPE: .system(call: error.call, code: error.code)
      default: ChannelError(using: error)
      }
  }

  /// A failure while opening a node that is to be of a kind, such as `camera`; `.busy` names the holder.
  init(opening path: String, as kind: String, _ error: SystemError) {
    self =
      switch error.code {
      case ENOTTY, EINVAL: .malformed("\(path) is no \(kind)")
      case EBUSY: .busy(DeviceHolder.describe(path))
      case EACCES, EPERM: .denied(DeviceHolder.permissions(path))
      default: ChannelError(opening: path, error)
      }
  }
}
