internal import Posix
internal import Synchronization
internal import TestKit

/// A disk with a volatile write cache, in this process's memory: what the guest wrote and did not flush can be lost, in
/// whole or in part, when the power is cut. It outlives the guests that use it.
///
/// QEMU reaches it by the NBD protocol (github.com/NetworkBlockDevice/nbd, doc/proto.md): fixed newstyle negotiation,
/// simple replies, no FUA, so that QEMU sends a flush for it. A flush makes stable what was answered before it.
public final class VolatileDisk: Sendable {
  /// What becomes of the writes that were not flushed when the power is cut.
  public enum Loss: Sendable, Equatable {
    /// All of them are lost.
    case everything
    /// Of each 512-byte sector written, the number decides whether it is there: writes are lost, kept in any order, and
    /// torn, as a disk's cache may do.
    case some(seed: UInt64)
    /// None is lost: what a kill of the machine alone does, when the host goes on.
    case nothing
  }

  /// What the disk refuses from now on with an input/output error; for tests of failing disks.
  public struct Faults: Sendable, Equatable {
    /// Whether writing fails.
    public var writing = false
    /// Whether flushing fails.
    public var flushing = false
    /// Whether reading fails.
    public var reading = false
    /// A disk in order.
    public init() {}
  }

  /// How much was done to it.
  public struct Counts: Sendable, Equatable {
    /// Requests to write.
    public var writes = 0
    /// Requests to flush.
    public var flushes = 0
    /// Sectors that were dropped at power cuts.
    public var lostSectors = 0
  }

  /// Every disk's size in bytes (1 GiB): the machine of the snapshot has it fixed. Only what is written takes memory.
  public static let size = 1 << 30

  private static let sector = 512
  private static let block = 4096

  private struct Write {
    var offset: Int
    var bytes: [UInt8]
  }

  private struct State {
    // Blocks by number; one that is missing is zero.
    var stable: [Int: [UInt8]] = [:]
    var seen: [Int: [UInt8]] = [:]
    var pending: [Write] = []
    var faults = Faults()
    var counts = Counts()
    var hasPower = true
  }

  private let state: Mutex<State>

  /// An empty disk.
  public init() { state = Mutex(State()) }

  /// A disk that holds what another holds stably now: one formatted disk serves many tests.
  public init(copyOf other: VolatileDisk) {
    let stable = other.state.withLock { $0.stable }
    var state = State()
    state.stable = stable
    state.seen = stable
    self.state = Mutex(state)
  }

  /// What it refuses.
  public var faults: Faults {
    get { state.withLock { $0.faults } }
    set { state.withLock { $0.faults = newValue } }
  }

  /// How much was done to it.
  public var counts: Counts { state.withLock { $0.counts } }

  /// Cuts the power: from now on nothing is read or written, until ``restore(losing:)``.
  func cut() { state.withLock { $0.hasPower = false } }

  /// Gives power again, after what was not flushed has had its fate.
  func restore(losing loss: Loss) {
    state.withLock { state in
      switch loss {
      case .nothing: break
      case .everything:
        state.counts.lostSectors += state.pending.reduce(0) { $0 + $1.bytes.count / Self.sector }
        state.pending = []
      case .some(let seed):
        var random = SeededRandom(seed: seed)
        var kept: [Write] = []
        for write in state.pending {
          // Whole writes are the usual case, as a disk takes them in; a torn one the interesting.
          let fate = random.next() % 4
          if fate == 0 {
            state.counts.lostSectors += write.bytes.count / Self.sector
            continue
          }
          if fate != 1 {
            kept.append(write)
            continue
          }
          for start in stride(from: 0, to: write.bytes.count, by: Self.sector) {
            if random.next() % 2 == 0 {
              let end = min(start + Self.sector, write.bytes.count)
              kept.append(Write(offset: write.offset + start, bytes: Array(write.bytes[start..<end])))
            } else {
              state.counts.lostSectors += 1
            }
          }
        }
        state.pending = kept
      }
      for write in state.pending { Self.store(write, in: &state.stable) }
      state.pending = []
      state.seen = state.stable
      state.hasPower = true
    }
  }

  // MARK: Blocks

  private static func store(_ write: Write, in blocks: inout [Int: [UInt8]]) {
    var position = 0
    while position < write.bytes.count {
      let (number, start) = (write.offset + position).quotientAndRemainder(dividingBy: block)
      let count = min(block - start, write.bytes.count - position)
      if count == block {
        blocks[number] = Array(write.bytes[position..<position + count])
      } else {
        blocks[number, default: [UInt8](repeating: 0, count: block)]
          .replaceSubrange(start..<start + count, with: write.bytes[position..<position + count])
      }
      position += count
    }
  }

  private static func load(_ offset: Int, _ count: Int, from blocks: [Int: [UInt8]]) -> [UInt8] {
    var bytes: [UInt8] = []
    bytes.reserveCapacity(count)
    while bytes.count < count {
      let (number, start) = (offset + bytes.count).quotientAndRemainder(dividingBy: block)
      let piece = min(block - start, count - bytes.count)
      if let content = blocks[number] {
        bytes += content[start..<start + piece]
      } else {
        bytes += repeatElement(0, count: piece)
      }
    }
    return bytes
  }

  // MARK: NBD

  private enum Code {
    static let refused: UInt32 = 22
    static let failed: UInt32 = 5
    static let unsupported: UInt32 = 0x8000_0001
  }

  /// Serves one connection until the other end goes.
  func serve(_ stream: DescriptorStream) async {
    let connection = Connection(stream)
    do {
      guard try await negotiate(connection) else { return }
      while try await handle(connection) {}
    } catch {
      // The guest is gone.
    }
    stream.close()
  }

  private func negotiate(_ connection: Connection) async throws -> Bool {
    try await connection.write(Array("NBDMAGICIHAVEOPT".utf8) + big(UInt16(3)))
    _ = try await connection.read(4)
    while true {
      _ = try await connection.read(8)
      let option: UInt32 = number(try await connection.read(4))
      let length: UInt32 = number(try await connection.read(4))
      _ = try await connection.read(Int(length))
      let export = big(UInt64(Self.size)) + big(UInt16(1 | 4))
      func reply(_ kind: UInt32, _ data: [UInt8] = []) -> [UInt8] {
        big(UInt64(0x0003_e889_0455_65a9)) + big(option) + big(kind) + big(UInt32(data.count)) + data
      }
      switch option {
      case 1:  // EXPORT_NAME
        try await connection.write(export)
        return true
      case 2:  // ABORT
        try await connection.write(reply(1))
        return false
      case 6, 7:  // INFO, GO
        try await connection.write(reply(3, big(UInt16(0)) + export) + reply(1))
        if option == 7 { return true }
      default: try await connection.write(reply(Code.unsupported))
      }
    }
  }

  private func handle(_ connection: Connection) async throws -> Bool {
    let request = try await connection.read(28)
    let kind: UInt16 = number(Array(request[6..<8]))
    let offset = Int(clamping: number(Array(request[16..<24])) as UInt64)
    let length = Int(number(Array(request[24..<28])) as UInt32)
    let data = kind == 1 ? try await connection.read(length) : []
    func reply(_ error: UInt32, _ data: [UInt8] = []) -> [UInt8] {
      big(UInt32(0x6744_6698)) + big(error) + request[8..<16] + data
    }
    let isInside = length <= Self.size && offset <= Self.size - length
    let answer: [UInt8]? = state.withLock { state in
      // A disk without power answers nothing.
      guard state.hasPower else { return nil }
      switch kind {
      case 0 where isInside:
        if state.faults.reading { return reply(Code.failed) }
        return reply(0, Self.load(offset, length, from: state.seen))
      case 1 where isInside:
        if state.faults.writing { return reply(Code.failed) }
        let write = Write(offset: offset, bytes: data)
        state.counts.writes += 1
        Self.store(write, in: &state.seen)
        state.pending.append(write)
        return reply(0)
      case 3:
        if state.faults.flushing { return reply(Code.failed) }
        state.counts.flushes += 1
        for write in state.pending { Self.store(write, in: &state.stable) }
        state.pending = []
        return reply(0)
      default: return reply(Code.refused)
      }
    }
    guard kind != 2, let answer else { return false }
    try await connection.write(answer)
    return true
  }
}

/// A stream read by counts.
private final class Connection: Sendable {
  private let stream: DescriptorStream
  private let rest = Mutex<(bytes: [UInt8], start: Int)>(([], 0))

  init(_ stream: DescriptorStream) { self.stream = stream }

  func read(_ count: Int) async throws -> [UInt8] {
    while true {
      let found: [UInt8]? = rest.withLock { rest in
        guard rest.bytes.count - rest.start >= count else { return nil }
        let taken = Array(rest.bytes[rest.start..<rest.start + count])
        rest.start += count
        return taken
      }
      if let found { return found }
      let more = try await stream.read(upTo: 1 << 18, timeout: nil)
      guard !more.isEmpty else { throw StreamError.closed }
      rest.withLock { rest in
        rest.bytes.removeFirst(rest.start)
        rest.start = 0
        rest.bytes += more
      }
    }
  }

  func write(_ bytes: [UInt8]) async throws { try await stream.write(bytes, timeout: nil) }
}

private func big<Number: FixedWidthInteger>(_ value: Number) -> [UInt8] {
  (0..<Number.bitWidth / 8).reversed().map { UInt8(truncatingIfNeeded: value >> Number($0 * 8)) }
}

private func number<Number: FixedWidthInteger>(_ bytes: [UInt8]) -> Number {
  bytes.reduce(0) { $0 << 8 | Number($1) }
}
