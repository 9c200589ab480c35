import Channels
import Devices
import Posix
import Store
import WireJSON

/// What serves each slot, as it is kept in the database.
enum UnitTable {
  /// The register, with what an earlier run kept. What cannot be read is left out: then whatever fits is taken, which the
  /// log says.
  static func register(_ database: StateDatabase, log: Log) async -> UnitRegister {
    var memories: [String: UnitMemory] = [:]
    do throws(StoreError) {
      let rows = try await database.read { database throws(StoreError) in
        try database.query("SELECT role, document FROM slotUnit")
      }
      for row in rows {
        guard let role = row["role"].text, let text = row["document"].text else { continue }
        memories[role] = (try? JSON.parse(Array(text.utf8))).flatMap { UnitMemory(json: $0) }
      }
    } catch {
      log(.warning, "devices", "which units served the slots is not known: \(error)")
    }
    return UnitRegister(memories: memories) { role, memory in
      do throws(StoreError) {
        let text = try memory.map { (memory) throws(StoreError) in try Self.text(memory) }
        try await database.write { database throws(StoreError) in
          if let text {
            try database.run(
              "INSERT INTO slotUnit VALUES (?1, ?2) ON CONFLICT (role) DO UPDATE SET document = ?2",
              [.text(role), .text(text)])
          } else {
            try database.run("DELETE FROM slotUnit WHERE role = ?", [.text(role)])
          }
        }
      } catch {
        log(.warning, role, "which unit serves this slot could not be noted: \(error)")
      }
    }
  }

  private static func text(_ memory: UnitMemory) throws(StoreError) -> String {
    do {
      return String(decoding: try JSON.encode(memory.json), as: UTF8.self)
    } catch {
      throw .misuse("a unit could not be written: \(error)")
    }
  }
}

extension UnitMemory {
  var json: JSONValue {
    [
      "kind": .string(kind.rawValue), "port": .string(port.description), "unit": unit.json,
      "profile": .string(profile), "bystanders": .array(bystanders.map(\.json)),
    ]
  }

  init?(json: JSONValue) {
    guard let kind = json["kind"]?.string.flatMap({ DeviceKind(rawValue: $0) }),
      let port = json["port"]?.string.flatMap({ ChannelAddress($0) }),
      let unit = json["unit"].flatMap({ DeviceUnit(json: $0) }), let profile = json["profile"]?.string
    else { return nil }
    self.init(
      kind: kind, port: port, unit: unit, profile: profile,
      bystanders: (json["bystanders"]?.array ?? []).compactMap { DeviceUnit(json: $0) })
  }
}

extension DeviceUnit {
  var json: JSONValue {
    var value: [String: JSONValue] = [
      "model": .string(model), "place": .string(place), "port": .string(port), "name": .string(name),
    ]
    if let serial { value["serial"] = .string(serial) }
    return .object(value)
  }

  init?(json: JSONValue) {
    guard let model = json["model"]?.string, let place = json["place"]?.string,
      let port = json["port"]?.string
    else { return nil }
    self.init(
      model: model, serial: json["serial"]?.string, place: place, port: port,
      name: json["name"]?.string ?? "")
  }
}
