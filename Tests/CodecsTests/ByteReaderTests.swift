import TestKit
import Testing

@testable import Codecs

@Suite struct ByteReaderTests {
  @Test func `numbers are read in both byte orders`() throws {
    var reader = ByteReader(hex("01 02 03 04 05 06 07 08 09 0A 0B 0C 0D FF"))
    #expect(try reader.bigEndian(UInt16.self) == 0x0102)
    #expect(try reader.littleEndian(UInt16.self) == 0x0403)
    #expect(try reader.bigEndian(UInt32.self) == 0x0506_0708)
    #expect(try reader.littleEndian(UInt32.self) == 0x0C0B_0A09)
    #expect(try reader.byte() == 0x0D)
    #expect(try reader.bigEndian(Int8.self) == -1)
    #expect(reader.remaining == 0)
  }

  @Test func `a read past the end says what was missing and moves nothing`() throws {
    var reader = ByteReader(hex("01 02 03"))
    _ = try reader.byte()
    #expect(throws: ByteReaderError(offset: 1, needed: 4, available: 2)) {
      try reader.littleEndian(UInt32.self)
    }
    #expect(throws: ByteReaderError(offset: 1, needed: .max, available: 2)) { try reader.bytes(.max) }
    #expect(reader.offset == 1)
    #expect(try reader.bytes(-1) == [])
    #expect(reader.rest() == [2, 3])
    #expect(reader.rest() == [])
  }

  @Test func `numbers are appended in both byte orders`() {
    var bytes: [UInt8] = []
    bytes.append(bigEndian: UInt16(0x0102))
    bytes.append(littleEndian: UInt32(0x0605_0403))
    #expect(bytes == hex("01 02 03 04 05 06"))
  }

  @Test func `a queue gives back what was put in, however it is taken`() {
    var random = SeededRandom(seed: 1)
    var queue = ByteQueue()
    var model: [UInt8] = []
    for _ in 0..<5_000 {
      if Bool.random(using: &random) {
        let bytes = random.bytes(Int.random(in: 0...9, using: &random))
        queue.append(bytes)
        model += bytes
      } else {
        let count = Int.random(in: 0...12, using: &random)
        #expect(queue.take(count) == Array(model.prefix(count)))
        model = Array(model.dropFirst(count))
      }
      #expect(queue.count == model.count)
      #expect(Array(queue[2..<5]) == Array(model.dropFirst(2).prefix(3)))
    }
  }

  @Test func `a pattern is found whole, or begun at the end`() {
    var queue = ByteQueue()
    queue.append(hex("00 AA 00 AA AA"))
    #expect(queue.firstPossible(hex("AA AA 96")) == 3)
    #expect(queue.firstPossible(hex("AA AA 96"), from: 4) == 4)
    #expect(queue.firstPossible(hex("BB")) == 5)
    #expect(queue.firstPossible(hex("AA"), from: 9) == 9)
    queue.append(hex("00 AA AA 96 AA"))
    #expect(queue.firstPossible(hex("AA AA 96")) == 6)
  }

  @Test func `the reference digest is SHA-256`() {
    #expect(
      ReferenceSHA256.hexDigest([]) == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    #expect(
      ReferenceSHA256.hexDigest(Array("abc".utf8))
        == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
    #expect(
      ReferenceSHA256.hexDigest(Array(repeating: 0x61, count: 10_000))
        == "27dd1f61b867b6a0f6e9d8a41c43231de52107e53ae424de8f847b821db4b711")
  }
}
