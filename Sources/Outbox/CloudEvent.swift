import Posix
import Store
import WireJSON

/// The JSON form of an event (CloudEvents 1.0, with the attributes of intake API v1).
enum CloudEvent {
  static func encode(
    _ draft: EventDraft, id: String, source: String, epoch: String, sequence: Int64
  ) throws(StoreError) -> [UInt8] {
    var event: JSONValue = [
      "specversion": "1.0", "id": .string(id), "source": .string(source), "type": .string(draft.type),
      "time": .string(draft.time.rfc3339), "datacontenttype": "application/json", "epoch": .string(epoch),
      "sequence": .string(padded(sequence)), "data": draft.data,
    ]
    event["subject"] = draft.subject.map(JSONValue.string)
    event["visit"] = draft.visit.map(JSONValue.string)
    if !draft.clockTrusted { event["clock"] = "unsynchronised" }
    if draft.simulated { event["simulated"] = true }
    do throws(JSONError) { return try JSON.encode(event) } catch {
      throw .misuse("an event that has no JSON form: \(error)")
    }
  }

  /// 20 digits, so that the order of texts is that of numbers.
  static func padded(_ sequence: Int64) -> String {
    let digits = String(sequence)
    return String(repeating: "0", count: max(0, 20 - digits.count)) + digits
  }
}
