import Crypto
import Testing

@Suite struct SHA256Tests {
  /// FIPS 180-4 examples as published by NIST (CSRC, "SHA256.pdf") and the empty message.
  static let vectors: [(String, String)] = [
    ("", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    ("abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
      "abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
      "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
    ),
  ]

  @Test(arguments: vectors)
  func `the published examples come out`(message: String, digest: String) {
    #expect(SHA256.digest(of: Array(message.utf8)).hex == digest)
  }

  @Test func `a message fed in pieces has the digest of the whole`() throws {
    let message = (0..<1000).map { UInt8(truncatingIfNeeded: $0 * 7) }
    for cut in [0, 1, 63, 64, 65, 999, 1000] {
      let hash = SHA256()
      hash.update(Array(message[..<cut]))
      hash.update(Array(message[cut...]))
      #expect(hash.finalize() == SHA256.digest(of: message))
    }
  }

  @Test func `a hash that is let go of without a digest does no harm`() {
    let hash = SHA256()
    hash.update([1, 2, 3])
    _ = consume hash
  }

  @Test(arguments: [
    "", "ba", String(repeating: "a", count: 63), String(repeating: "a", count: 65),
    String(repeating: "A", count: 64), String(repeating: "g", count: 64),
    String(repeating: "０", count: 64), "0x" + String(repeating: "0", count: 62),
  ])
  func `only 64 lower-case hexadecimal digits are a digest`(text: String) {
    #expect(Digest(hex: text) == nil)
  }

  @Test func `a digest survives its text and its bytes`() throws {
    let digest = SHA256.digest(of: [1, 2, 3])
    #expect(Digest(hex: digest.hex) == digest)
    #expect(Digest(digest.bytes) == digest)
    #expect("\(digest)" == digest.hex)
    #expect(Digest([UInt8](repeating: 0, count: 31)) == nil)
    #expect(Digest([UInt8](repeating: 0, count: 33)) == nil)
  }

  @Test func `digests are ordered as their text is`() {
    let digests = (0..<50).map { SHA256.digest(of: [UInt8($0)]) }
    #expect(digests.sorted().map(\.hex) == digests.map(\.hex).sorted())
  }
}
