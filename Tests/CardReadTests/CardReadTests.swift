import Channels
import Codecs
import Devices
import Drivers
import LinuxChannels
import Posix
import Simulation
import TestKit
import Testing

/// Reads in a row on every transport that needs no kernel of its own, with random faults from fixed seeds.
///
/// `HALL_READS=10000 swift test --filter CardReadTests` is the full size; 60 unless given. By itself, as it measures the memory of the whole
/// process: `HALL_TRANSPORT=bus` is for a process each.
@Suite(.serialized, .timeLimit(.minutes(120))) struct CardReadTests {
  private static let count = Environment["HALL_READS"].flatMap { Int($0) } ?? 60
  private static let transports =
    Environment["HALL_TRANSPORT"].flatMap(Transport.init).map { [$0] } ?? Transport.allCases

  @Test(arguments: transports)
  func `each read ends in the right card or the right fault`(transport: Transport) async throws {
    let bench = try await CardBench(transport)
    // What is allocated once is allocated now.
    for seed in 0..<50 { try await bench.read(UInt64(seed)) }
    let descriptors = ProcessInfo.openDescriptors
    let memory = ProcessInfo.privateBytes
    var course: [Int] = []
    for seed in 0..<Self.count {
      try await bench.read(UInt64(1000 + seed))
      if seed % max(Self.count / 20, 1) == 0 { course.append((ProcessInfo.privateBytes - memory) >> 10) }
    }
    let growth = ProcessInfo.privateBytes - memory
    await bench.stop()
    #expect(ProcessInfo.openDescriptors <= descriptors)
    // A leak of one reply a read would be 13 MB in 10 000.
    #expect(
      growth < 4 << 20 + Self.count * 400,
      "\(growth) bytes more after \(Self.count) reads; kB on the way: \(course)")
    let outcomes = bench.outcomes
    #expect(outcomes["card", default: 0] > Self.count / 2, "\(outcomes)")
    #expect(outcomes.count > 4, "\(outcomes)")
    print("\(transport): \(outcomes.sorted { $0.value > $1.value })")
  }
}
