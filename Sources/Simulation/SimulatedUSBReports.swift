public import Channels
import Synchronization

/// The host's end of the HID interface of a simulated USB device, with neither USB nor a kernel between: reports without
/// numbers, one input and one output endpoint.
public final class SimulatedUSBReports: ReportChannel {
  /// As the device gives it.
  public let descriptor: [UInt8]
  private let line: SimulatedLine
  private let input: UInt8
  private let output: UInt8
  private let state: Mutex<State>

  private struct State {
    var function: any SimulatedUSBFunction
    var arrived: [[UInt8]] = []
  }

  /// Takes the device; nil when it has no HID interface.
  init?(_ device: SimulatedDevice) async throws(ChannelError) {
    guard let function = await device.usbFunction,
      let interface = function.description.interfaces.first(where: { $0.reports != nil }),
      let reports = interface.reports, let input = interface.endpoints.first(where: \.isIn),
      let output = interface.endpoints.first(where: { !$0.isIn })
    else { return nil }
    descriptor = reports
    self.input = input.address
    self.output = output.address
    state = Mutex(State(function: function))
    line = try await device.openLine()
  }

  /// The next report.
  public func read(timeout: Duration) async throws(ChannelError) -> [UInt8] {
    while true {
      let report = state.withLock { $0.arrived.isEmpty ? nil : $0.arrived.removeFirst() }
      if let report { return report }
      // One reply of the model, or what the faults of its line left of it.
      let bytes = try await line.read(upTo: 65_536, timeout: timeout)
      state.withLock { state in
        let inputs = state.function.send(bytes, isBroken: false) { _ in 0 }
        state.arrived += inputs.filter { $0.endpoint == input }.map(\.bytes)
      }
    }
  }

  /// Hands over a report; its number, the first byte, is 0.
  public func write(_ report: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    guard report.first == 0 else {
      throw ChannelWriteError(written: 0, reason: .malformed("reports of this device have no number"))
    }
    let bytes = state.withLock { $0.function.receive(Array(report.dropFirst()), on: output) }
    guard !bytes.isEmpty else { return }
    do throws(ChannelWriteError) {
      try await line.write(bytes, timeout: timeout)
    } catch {
      throw ChannelWriteError(written: 0, reason: error.reason)
    }
  }

  /// There are none.
  public func feature(_ number: UInt8, upTo count: Int) async throws(ChannelError) -> [UInt8] {
    throw .malformed("there are no feature reports")
  }

  /// There are none.
  public func setFeature(_ report: [UInt8]) async throws(ChannelError) {
    throw .malformed("there are no feature reports")
  }

  /// Throws away what arrived.
  public func discardInput() async {
    await line.discardInput()
    state.withLock { $0.arrived = [] }
  }

  /// Lets the interface go.
  public func close() async { await line.close() }
}
