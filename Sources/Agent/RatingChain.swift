import Crypto
import Store
import WireJSON

/// What every rating is chained by, so that one that was removed, put in or altered shows.
///
/// Each link keeps the digest of the rating's data and not the data: the chain can be verified when the contents have long
/// been delivered and erased. A link's hash is SHA-256 over the hash before it, its number in decimal, a line feed, and
/// the digest of its content (facts/peers.md (e) 11). The intake has number, previous hash and hash of each in the event.
enum RatingChain {
  /// Adds a link for this data.
  /// - Returns: the member `chain` of the event.
  static func append(_ data: [String: JSONValue], in database: Database) throws(StoreError) -> JSONValue {
    let last = try database.queryOne("SELECT number, hash FROM ratingChain ORDER BY number DESC LIMIT 1")
    let number = (last?["number"].integer ?? 0) + 1
    let previous = last?["hash"].blob ?? start
    let content: Digest
    do {
      content = SHA256.digest(of: try JSON.encode(JSONValue.object(data)))
    } catch {
      throw .misuse("a rating has no JSON form: \(error)")
    }
    let hash = link(previous: previous, number: number, content: content.bytes)
    try database.run(
      "INSERT INTO ratingChain (number, hash, content) VALUES (?, ?, ?)",
      [.integer(number), .blob(hash.bytes), .blob(content.bytes)])
    return [
      "number": .integer(number), "previous": .string(Hex.encode(previous)), "hash": .string(hash.hex),
    ]
  }

  private static let start = [UInt8](repeating: 0, count: Digest.byteCount)

  private static func link(previous: [UInt8], number: Int64, content: [UInt8]) -> Digest {
    SHA256.digest(of: previous + Array("\(number)\n".utf8) + content)
  }

  /// What is wrong with the chain.
  struct Verdict: Sendable, Equatable {
    /// How many links there are.
    var links: Int64 = 0
    /// The newest link's hash, to be held against what the intake has.
    var head = ""
    /// Numbers that are missing.
    var missing: [Int64] = []
    /// Numbers whose hash does not follow from the link before and their content.
    var broken: [Int64] = []
    /// Links from before contents had digests: only their order can be verified.
    var unverifiable: Int64 = 0
    var isIntact: Bool { missing.isEmpty && broken.isEmpty }
  }

  /// Goes through the chain from its beginning, a thousand links at a time.
  static func verify(_ read: ([SQLValue]) async throws -> [SQLRow]) async throws -> Verdict {
    var verdict = Verdict()
    var previous = start
    var expected: Int64 = 1
    while true {
      let rows = try await read([.integer(expected - 1)])
      guard !rows.isEmpty else { break }
      for row in rows {
        guard let number = row["number"].integer, let hash = row["hash"].blob else { continue }
        while expected < number, verdict.missing.count < 1000 {
          verdict.missing.append(expected)
          expected += 1
        }
        expected = number + 1
        verdict.links += 1
        if let content = row["content"].blob {
          // After a gap the link before is not there to compute from: the gap itself is the finding.
          let follows = link(previous: previous, number: number, content: content).bytes == hash
          if !follows, verdict.missing.last != number - 1 { verdict.broken.append(number) }
        } else {
          verdict.unverifiable += 1
        }
        previous = hash
      }
    }
    verdict.head = Hex.encode(previous)
    return verdict
  }
}
