import Crypto
import Testing

@Suite struct AESGCMTests {
  let key: SealingKey
  let data = Array("0196f0c2-0000-7000-8000-000000000001".utf8)

  init() throws { key = try SealingKey(bytes: (0..<32).map { UInt8($0) }) }

  @Test(arguments: [0, 1, 15, 16, 17, 4096, 300_001])
  func `what was sealed opens again`(count: Int) throws {
    let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
    let sealed = try AESGCM.seal(plain, key: key, associatedData: data)
    #expect(sealed.count == count + AESGCM.overhead)
    #expect(try AESGCM.open(sealed, key: key, associatedData: data) == plain)
  }

  /// Made with Python's cryptography 48: key 00…1f, nonce a0…ab, associated data version ‖ key identifier ‖ "id".
  @Test func `a text sealed by another implementation opens`() throws {
    let sealed = try #require(
      Hex.decode(
        "01f244d7ee74becf3ea0a1a2a3a4a5a6a7a8a9aaab00a3ddcbc14413710af5946771fc69d4"
          + "d907269c4fc2"))
    #expect(try AESGCM.open(sealed, key: key, associatedData: Array("id".utf8)) == Array("满意".utf8))
  }

  @Test func `the same content is never sealed to the same bytes`() throws {
    let seals = try (0..<100).map { _ in try AESGCM.seal([1, 2, 3], key: key, associatedData: data) }
    #expect(Set(seals).count == 100)
  }

  @Test func `every flipped bit is noticed`() throws {
    let sealed = try AESGCM.seal([1, 2, 3], key: key, associatedData: data)
    for index in sealed.indices {
      for bit in 0..<8 {
        var changed = sealed
        changed[index] ^= 1 << bit
        #expect(throws: CryptoError.self) { try AESGCM.open(changed, key: key, associatedData: data) }
      }
    }
  }

  @Test func `every truncation is noticed`() throws {
    let sealed = try AESGCM.seal([1, 2, 3], key: key, associatedData: data)
    for count in 0..<sealed.count {
      #expect(throws: CryptoError.damaged) {
        try AESGCM.open(Array(sealed[..<count]), key: key, associatedData: data)
      }
    }
  }

  @Test func `content does not open under another name`() throws {
    let sealed = try AESGCM.seal([1, 2, 3], key: key, associatedData: data)
    #expect(throws: CryptoError.damaged) { try AESGCM.open(sealed, key: key, associatedData: [7]) }
    #expect(throws: CryptoError.damaged) { try AESGCM.open(sealed, key: key, associatedData: []) }
  }

  @Test func `another key is told from damage`() throws {
    let sealed = try AESGCM.seal([1, 2, 3], key: key, associatedData: data)
    let other = try SealingKey.generated()
    #expect(throws: CryptoError.otherKey) { try AESGCM.open(sealed, key: other, associatedData: data) }
  }

  @Test func `a format from the future is named`() throws {
    var sealed = try AESGCM.seal([1, 2, 3], key: key, associatedData: data)
    sealed[0] = 2
    #expect(throws: CryptoError.unknownVersion(2)) {
      try AESGCM.open(sealed, key: key, associatedData: data)
    }
  }

  @Test(arguments: [0, 16, 31, 33])
  func `a key of another length is refused`(count: Int) {
    #expect(throws: CryptoError.keyLength(count)) {
      try SealingKey(bytes: [UInt8](repeating: 1, count: count))
    }
  }

  @Test func `generated keys differ and survive their bytes`() throws {
    let a = try SealingKey.generated()
    let b = try SealingKey.generated()
    #expect(a.identifier != b.identifier)
    #expect(try SealingKey(bytes: a.reveal()).identifier == a.identifier)
  }

  @Test func `a key cannot be printed`() throws {
    let secret = try SealingKey(bytes: Array("0123456789abcdef0123456789abcdef".utf8))
    var dumped = ""
    dump(secret, to: &dumped)
    for text in ["\(secret)", String(reflecting: secret), dumped] {
      #expect(!text.contains("0123456789"))
      #expect(!text.contains("30313233"))
    }
  }
}
