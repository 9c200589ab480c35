import Channels
import Devices
import Posix
import Synchronization

@testable import Drivers

/// The machine's own clock.
struct RealTime: Timekeeper {
  private let clock = ContinuousClock()
  private static let start = ContinuousClock().now

  func now() -> Duration { Self.start.duration(to: clock.now) }
  func sleep(for duration: Duration) async -> Bool {
    do {
      try await clock.sleep(for: duration)
      return true
    } catch {
      return false
    }
  }
}

enum Text {
  static let encode: @Sendable (String, CodePage) -> [UInt8]? = { text, page in
    switch page {
    case .gb18030: Iconv.encode(text, to: .gb18030)
    case .gbk: Iconv.encode(text, to: .gbk)
    case .utf8: Array(text.utf8)
    case .shiftJIS: Iconv.encode(text, to: .shiftJIS)
    }
  }
  static let decode: @Sendable ([UInt8]) -> String? = { Iconv.decode($0, from: .gb18030) }
}

let context = DriverContext(time: RealTime(), encodeText: Text.encode)

extension Driver {
  /// The driver's standard settings with these in their place.
  func settings(_ values: [String: String] = [:]) -> DriverSettings {
    DriverSettings(settings, values: values)
  }
}

/// Bytes from hexadecimal, as the facts files have them.
func hex(_ text: String) -> [UInt8] { text.split(separator: " ").compactMap { UInt8($0, radix: 16) } }

/// Counts, and keeps what was told, in order.
final class Log<Element: Sendable>: Sendable {
  private let elements = Mutex<[Element]>([])
  func add(_ element: Element) { elements.withLock { $0.append(element) } }
  var all: [Element] { elements.withLock { $0 } }
}

/// A line of bytes whose far end is a closure.
final class FakeLine: ByteStream {
  private struct State {
    var written: [UInt8] = []
    var writes: [[UInt8]] = []
    var room: Int?
    var roomEnd = ChannelError.timedOut
    var isClosed = false
  }
  private let state = Mutex(State())
  private let arrived = Inbox<[UInt8]>(limit: 10_000, time: RealTime())
  private let answer: @Sendable (FakeLine, [UInt8]) -> Void

  /// `answer` is told each write and delivers what the device says to it.
  init(_ answer: @escaping @Sendable (FakeLine, [UInt8]) -> Void = { _, _ in }) { self.answer = answer }

  /// Everything the host wrote.
  var written: [UInt8] { state.withLock { $0.written } }
  /// Each write by itself.
  var writes: [[UInt8]] { state.withLock { $0.writes } }
  var isClosed: Bool { state.withLock { $0.isClosed } }

  /// Bytes from the device.
  func deliver(_ bytes: [UInt8]) { if !bytes.isEmpty { arrived.put(bytes) } }
  /// The cable comes out.
  func unplug(_ error: ChannelError = .gone) {
    state.withLock { state in
      state.room = 0
      state.roomEnd = error
    }
    arrived.close(error)
  }
  /// The device takes so many bytes more, then the write ends like this.
  func accept(_ count: Int, then error: ChannelError) {
    state.withLock { state in
      state.room = count
      state.roomEnd = error
    }
  }
  /// The device takes everything again.
  func acceptAll() { state.withLock { $0.room = nil } }

  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    switch await arrived.take(until: RealTime().now() + timeout) {
    case .element(let bytes): return bytes
    case .timedOut: throw .timedOut
    case .cancelled: throw .cancelled
    case .closed(let error): throw error
    }
  }

  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    let (taken, end) = state.withLock { state in
      let taken = min(bytes.count, state.room ?? bytes.count)
      if let room = state.room { state.room = room - taken }
      state.written += bytes[..<taken]
      state.writes.append(Array(bytes[..<taken]))
      return (taken, state.roomEnd)
    }
    if taken > 0 { answer(self, Array(bytes[..<taken])) }
    guard taken == bytes.count else {
      if end == .gone { arrived.close(.gone) }
      throw ChannelWriteError(written: taken, reason: end)
    }
  }

  func discardInput() async { arrived.clear() }

  func close() async {
    state.withLock { $0.isClosed = true }
    arrived.close(.cancelled)
  }
}

extension AttachedDevice {
  /// The next notice that `isMeant` picks out; nil when the notices end before.
  func notice<Value: Sendable>(_ isMeant: (DeviceNotice) -> Value?) async -> Value? {
    for await notice in notices {
      if let value = isMeant(notice) { return value }
    }
    return nil
  }

  /// Every loss that is told until the notices end.
  func losses() async -> [Fault] {
    var losses: [Fault] = []
    for await notice in notices { if case .lost(let fault) = notice { losses.append(fault) } }
    return losses
  }
}

/// The fault that a call throws; nil when it throws none.
func fault<Value>(_ body: () async throws(Fault) -> Value) async -> Fault? {
  do throws(Fault) {
    _ = try await body()
    return nil
  } catch {
    return error
  }
}
