import Crypto
import Outbox
import Posix
import Store
import WireJSON

/// An outbox in a directory of its own, which is removed with it.
///
/// It lies where temporary files lie: set `TMPDIR` to measure another disk.
final class OutboxRig {
  let directory: String
  let outbox: Outbox
  let database: StateDatabase

  static let identity = OutboxIdentity(hall: "bench", position: "window-01")

  private init(directory: String, outbox: Outbox, database: StateDatabase) {
    self.directory = directory
    self.outbox = outbox
    self.database = database
  }

  static func make() async throws -> OutboxRig {
    try await open(try Files.makeTemporaryDirectory(prefix: "hall-bench-"))
  }

  /// Opens the outbox that lies there, as a start of the service does.
  static func open(_ directory: String) async throws -> OutboxRig {
    let database = try await StateDatabase.open(
      path: directory + "/hall.db", components: [Outbox.schema])
    let limits = OutboxLimits(pageBytes: 1 << 44, pages: 1 << 30)
    let (outbox, _) = try await Outbox.open(
      database: database, directory: directory + "/pages", key: nil, identity: identity, limits: limits)
    return OutboxRig(directory: directory, outbox: outbox, database: database)
  }

  func close() async { await database.close() }

  func remove() { Files.removeTree(directory) }

  /// A rating with everything that a counter's rating has.
  static func rating(_ number: Int) -> EventDraft {
    EventDraft(
      source: .device(role: "evaluator"), type: "gov.hall.rating.v1", subject: "SAMPLE-2026-000123",
      visit: "0190b6a0-5c2e-7c3a-9d51-1f0a3c4b5d6e", clockTrusted: true,
      data: [
        "rating": .string(Identifier.uuidV4()), "cases": ["SAMPLE-2026-000123"], "serviceNumber": 1,
        "serviceName": "居住证申领", "phase": "accepting", "staffNumber": "S0137", "window": "07",
        "outcome": "rated", "level": 5, "rawKey": 1, "scale": 5, "confirmed": true, "channel": "key",
        "promptedAt": "2026-02-03T10:15:30+08:00", "ratedAt": "2026-02-03T10:15:34+08:00",
        "device": ["role": "evaluator", "model": "simulated", "serial": "0", "port": "tty"],
        "chain": [
          "number": .integer(Int64(number)), "previous": .string(String(repeating: "0", count: 64)),
          "hash": .string(String(repeating: "f", count: 64)),
        ],
      ], priority: .rating)
  }

  /// Bytes that no other page has, as little compressible as a JPEG.
  static func page(bytes count: Int, number: Int) -> [UInt8] {
    var state = UInt64(truncatingIfNeeded: number) &* 0x9E37_79B9_7F4A_7C15 &+ 1
    var bytes = [UInt8](repeating: 0, count: count)
    for index in stride(from: 0, to: count, by: 512) {
      state ^= state << 13
      state ^= state >> 7
      state ^= state << 17
      bytes[index] = UInt8(truncatingIfNeeded: state)
    }
    return bytes
  }

  static func material(_ page: StoredBlob, number: Int) -> EventDraft {
    EventDraft(
      source: .device(role: "scanner"), type: "gov.hall.material.page.v1", clockTrusted: true,
      data: [
        "material": .string(Identifier.uuidV4()), "page": .string(Identifier.uuidV4()), "order": 1,
        "sheet": 1, "side": "front", "blob": .string(page.digest.hex),
        "mediaType": .string(page.mediaType), "bytes": .integer(Int64(page.bytes)), "width": 2480,
        "height": 3508, "dpi": 300, "colour": "colour", "form": "original",
        "device": ["role": "scanner", "model": "simulated", "serial": "0", "port": "http"],
      ], blobs: [page.digest])
  }
}

extension Duration {
  var seconds: Double { Double(components.seconds) + Double(components.attoseconds) / 1e18 }
}

/// A number given on the command line, or the usual one.
func option(_ options: [String], _ index: Int, _ usual: Int) -> Int {
  options.indices.contains(index) ? Int(options[index]) ?? usual : usual
}
