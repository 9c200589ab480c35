internal import Channels
internal import Codecs
internal import Synchronization

/// The SDT byte stream inside the reports of a HID reader (facts/idcard.md 2.3 and 2.4).
final class SDTReportStream: ByteStream {
  private let reports: any ReportChannel
  private let framing: SDTReportFraming
  private let state: Mutex<State>

  private struct State {
    var reader: SDTReportReader
    /// Bytes of a report that the last read had no room for.
    var rest: [UInt8] = []
  }

  init(_ reports: any ReportChannel, _ framing: SDTReportFraming) {
    self.reports = reports
    self.framing = framing
    state = Mutex(State(reader: SDTReportReader(framing, .reply)))
  }

  func read(upTo count: Int, timeout: Duration) async throws(ChannelError) -> [UInt8] {
    let kept = state.withLock { Self.take(upTo: count, &$0.rest) }
    if !kept.isEmpty { return kept }
    while true {
      let report = try await reports.read(timeout: timeout)
      let bytes = state.withLock { state in
        do throws(SDTPacket.Malformed) {
          state.rest = try state.reader.take(report)
        } catch {
          // One byte that begins no frame, so that whoever waits learns that something came and was not to be read.
          state.rest = [0]
        }
        return Self.take(upTo: count, &state.rest)
      }
      if !bytes.isEmpty { return bytes }
    }
  }

  /// A request is one write. What was received of an earlier reply is forgotten.
  func write(_ bytes: [UInt8], timeout: Duration) async throws(ChannelWriteError) {
    guard let reports = framing.reports(request: bytes) else {
      throw ChannelWriteError(written: 0, reason: .malformed("\(bytes.count) bytes do not fit into a report"))
    }
    state.withLock { state in
      state.reader.reset()
      state.rest = []
    }
    for (index, report) in reports.enumerated() {
      do throws(ChannelWriteError) {
        // Before a report that has no number stands a zero (Linux hidraw).
        try await self.reports.write([0] + report, timeout: timeout)
      } catch {
        throw ChannelWriteError(
          written: index == 0 ? 0 : min(bytes.count, index * SDTReportFraming.reportSize),
          reason: error.reason)
      }
    }
  }

  func discardInput() async {
    await reports.discardInput()
    state.withLock { state in
      state.reader.reset()
      state.rest = []
    }
  }

  func close() async { await reports.close() }

  private static func take(upTo count: Int, _ rest: inout [UInt8]) -> [UInt8] {
    let taken = Array(rest.prefix(max(1, count)))
    rest.removeFirst(taken.count)
    return taken
  }
}
