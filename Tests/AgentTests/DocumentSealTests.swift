import Crypto
import Store
import Testing
import WireJSON

@testable import Agent

@Suite struct DocumentSealTests {
  private let document: JSONValue = ["name": "张测试", "count": 3]

  private func contains(_ value: SQLValue, _ text: String) -> Bool {
    let bytes = value.blob ?? []
    let pattern = Array(text.utf8)
    return bytes.indices.contains { bytes[$0...].starts(with: pattern) }
  }

  @Test func `without a key a document is stored as JSON`() throws {
    let seal = DocumentSeal(key: nil)
    let stored = try seal.store(document, id: "r-1")
    #expect(contains(stored, "张测试"))
    #expect(seal.open(stored, id: "r-1") == document)
  }

  @Test func `with a key nothing of it can be read, and only under its own id`() throws {
    let seal = DocumentSeal(key: try SealingKey(bytes: [UInt8](repeating: 7, count: 32)))
    let stored = try seal.store(document, id: "r-1")
    #expect(!contains(stored, "张测试") && !contains(stored, "name"))
    #expect(seal.open(stored, id: "r-1") == document)
    #expect(seal.open(stored, id: "r-2") == nil)
  }

  @Test func `a document under another key, without its key, or damaged is nothing`() throws {
    let seal = DocumentSeal(key: try SealingKey(bytes: [UInt8](repeating: 7, count: 32)))
    let stored = try seal.store(document, id: "r-1")
    let other = DocumentSeal(key: try SealingKey(bytes: [UInt8](repeating: 8, count: 32)))
    #expect(other.open(stored, id: "r-1") == nil)
    #expect(DocumentSeal(key: nil).open(stored, id: "r-1") == nil)
    var bytes = try #require(stored.blob)
    bytes[bytes.count / 2] ^= 1
    #expect(seal.open(.blob(bytes), id: "r-1") == nil)
    for length in 0..<bytes.count { #expect(seal.open(.blob(Array(bytes[..<length])), id: "r-1") == nil) }
    #expect(seal.open(.null, id: "r-1") == nil && seal.open(.text("{}"), id: "r-1") == nil)
  }

  @Test func `what was stored before there was a key can still be read`() throws {
    let stored = try DocumentSeal(key: nil).store(document, id: "r-1")
    let seal = DocumentSeal(key: try SealingKey(bytes: [UInt8](repeating: 7, count: 32)))
    #expect(seal.open(stored, id: "r-1") == document)
  }
}
