import LocalAPI
import Posix
import TestKit
import Testing
import WireJSON

@Suite struct OpenAPIFileTests {
  private static let path = "config/openapi/hall-agent-v1.json"

  /// `HALL_RECORD=1 swift test --filter OpenAPIFileTests` writes the file anew.
  @Test func `the OpenAPI document under config is the one the agent serves`() throws {
    let document = OpenAPIDocument.make(version: "v1")
    if Environment["HALL_RECORD"] == "1" {
      try Files.replaceDurable(
        Repository.root + "/" + Self.path, bytes: Array((try Self.text(document, "") + "\n").utf8),
        mode: 0o644)
    }
    let kept = try JSON.parse(Array(try Repository.text(Self.path).utf8))
    #expect(kept == document, "record it anew: HALL_RECORD=1 swift test --filter OpenAPIFileTests")
  }

  /// Indented, members sorted: a change shows as the lines it changes.
  private static func text(_ value: JSONValue, _ indent: String) throws -> String {
    let inner = indent + "  "
    switch value {
    case .object(let members) where !members.isEmpty:
      let lines = try members.sorted { $0.key < $1.key }.map { name, member in
        inner + String(decoding: try JSON.encode(name), as: UTF8.self) + ": " + (try text(member, inner))
      }
      return "{\n" + lines.joined(separator: ",\n") + "\n" + indent + "}"
    case .array(let elements) where elements.contains { $0.object != nil || $0.array != nil }:
      let lines = try elements.map { inner + (try text($0, inner)) }
      return "[\n" + lines.joined(separator: ",\n") + "\n" + indent + "]"
    default: return String(decoding: try JSON.encode(value), as: UTF8.self)
    }
  }
}
