import Crypto
import Posix
import WireJSON

/// The attributes of an event that a receiver has to look at (intake API v1: Attributes of every event).
struct ReceivedEvent: Sendable {
  var id: String
  var source: String
  var epoch: String
  var sequence: Int64
  var type: String
  /// Every page that it names, in the order of their digests.
  var blobs: [Digest]

  /// The event, or what is wrong with it: one English sentence.
  static func read(_ value: JSONValue) -> Result<ReceivedEvent, Wrong> {
    func wrong(_ sentence: String) -> Result<ReceivedEvent, Wrong> { .failure(Wrong(sentence: sentence)) }
    guard let members = value.object else { return wrong("An event is no JSON object.") }
    guard let id = members["id"]?.string, isUUID(id, version: "7") else {
      return wrong("An event has no UUIDv7 as id.")
    }
    guard members["specversion"] == "1.0" else { return wrong("Event \(id): specversion is not 1.0.") }
    guard let source = members["source"]?.string, source.hasPrefix("/halls/") else {
      return wrong("Event \(id): source is not /halls/….")
    }
    guard let type = members["type"]?.string, !type.isEmpty else { return wrong("Event \(id): no type.") }
    guard let time = members["time"]?.string, WallTime(rfc3339: time) != nil else {
      return wrong("Event \(id): time is not RFC 3339.")
    }
    guard members["datacontenttype"] == "application/json" else {
      return wrong("Event \(id): datacontenttype is not application/json.")
    }
    guard let epoch = members["epoch"]?.string, isUUID(epoch, version: nil) else {
      return wrong("Event \(id): epoch is no UUID.")
    }
    guard let text = members["sequence"]?.string, text.utf8.count == 20, let sequence = Int64(text),
      sequence > 0,
      !text.hasPrefix("+")
    else { return wrong("Event \(id): sequence is not 20 decimal digits above 0.") }
    guard let data = members["data"], data.object != nil else {
      return wrong("Event \(id): data is no object.")
    }
    for (name, allowed) in ["clock": JSONValue.string("unsynchronised"), "simulated": .bool(true)] {
      if let value = members[name], value != allowed {
        return wrong("Event \(id): \(name) has an unknown value.")
      }
    }
    let known: Set = [
      "specversion", "id", "source", "type", "time", "datacontenttype", "epoch", "sequence", "data",
      "subject",
      "visit", "clock", "simulated",
    ]
    if let stranger = members.keys.first(where: { !known.contains($0) }) {
      return wrong("Event \(id): unknown attribute \(stranger).")
    }
    var blobs: Set<Digest> = []
    collectBlobs(data, into: &blobs)
    return .success(
      ReceivedEvent(
        id: id, source: source, epoch: epoch, sequence: sequence, type: type, blobs: blobs.sorted()))
  }

  struct Wrong: Error { var sentence: String }

  /// The members `blob` and `strokes` name pages, wherever they stand; the caller's own `context` is not the agent's.
  private static func collectBlobs(_ value: JSONValue, into blobs: inout Set<Digest>) {
    switch value {
    case .object(let members):
      for (name, value) in members where name != "context" {
        if name == "blob" || name == "strokes", let digest = value.string.flatMap(Digest.init(hex:)) {
          blobs.insert(digest)
        } else {
          collectBlobs(value, into: &blobs)
        }
      }
    case .array(let elements): for element in elements { collectBlobs(element, into: &blobs) }
    default: break
    }
  }

  private static func isUUID(_ text: String, version: Character?) -> Bool {
    let parts = text.split(separator: "-", omittingEmptySubsequences: false)
    guard parts.map(\.count) == [8, 4, 4, 4, 12], parts.allSatisfy({ Hex.decode(String($0)) != nil }) else {
      return false
    }
    return version.map { parts[2].first == $0 } ?? true
  }
}
