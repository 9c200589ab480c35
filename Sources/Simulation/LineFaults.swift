/// What can go wrong on a line of bytes, whatever the device at its end. Pure: the owner of the line asks it what to do
/// with each reply and with each piece the host writes.
struct LineFaults: Sendable {
  /// What a person can do to a line.
  enum Command: Sendable, Equatable {
    case plug, unplug, unplugAfterWritten(Int), unplugAfterReplied(Int), powerOff, powerOn
    case stall, resume, dropReply(Int), dropReplies(Int), flipByte(Int?), truncate(Int), extraByte(UInt8?)
    case missingByte, split(Bool), delay(Duration), paced(Bool), noise(Int), clear
  }

  static let commands: [CommandForm<Command>] = [
    CommandForm("unplug", "pull the cable", .unplug),
    CommandForm("plug", "put the cable back in", .plug),
    CommandForm("unplug after <n> bytes", "pull the cable when the host has written that many more bytes") {
      $0.number().map { .unplugAfterWritten($0) }
    },
    CommandForm("unplug after <n> reply bytes", "pull the cable when that many more bytes were answered") {
      $0.number().map { .unplugAfterReplied($0) }
    },
    CommandForm("power off", "cut its power: bytes vanish and nothing is answered", .powerOff),
    CommandForm("power on", "give its power back", .powerOn),
    CommandForm("stall", "take no bytes and send none", .stall),
    CommandForm("resume", "go on after a stall", .resume),
    CommandForm("drop reply <1-1000>", "lose that reply, 1 being the next") {
      $0.number().map { .dropReply($0) }
    },
    CommandForm("drop <1-1000> replies", "lose the next replies") { $0.number().map { .dropReplies($0) } },
    CommandForm("flip byte", "damage one byte of the next reply, chosen by the seed", .flipByte(nil)),
    CommandForm("flip byte <n> of reply", "damage that byte of the next reply, 0 being the first") {
      $0.number().map { .flipByte($0) }
    },
    CommandForm("truncate reply <n>", "send only so many bytes of the next reply") {
      $0.number().map { .truncate($0) }
    },
    CommandForm("extra byte", "send the first byte of the next reply twice", .extraByte(nil)),
    CommandForm("extra byte <hex>", "send this byte before the next reply") {
      $0.byte().map { .extraByte($0) }
    },
    CommandForm("missing byte", "leave out the first byte of the next reply", .missingByte),
    CommandForm("split replies", "let every byte of a reply arrive by itself", .split(true)),
    CommandForm("whole replies", "end 'split replies'", .split(false)),
    CommandForm("delay <time>", "answer that much later from now on; 0 s ends it") {
      $0.time().map { .delay($0) }
    },
    CommandForm(
      "wire speed", "let bytes take the time that a line of its speed needs for them", .paced(true)),
    CommandForm("any speed", "end 'wire speed'", .paced(false)),
    CommandForm("noise <1-4096> bytes", "send bytes that nobody asked for, chosen by the seed") {
      $0.number().map { .noise($0) }
    },
    CommandForm("clear faults", "forget every fault of the line, and plug and power it", .clear),
  ]

  var isPlugged = true
  var isPowered = true
  var isStalled = false
  /// Bytes the host may write before the cable comes out.
  var writable: Int?
  /// Bytes that may still be answered before the cable comes out.
  var answerable: Int?
  var delay = Duration.zero
  var isSplit = false
  var isPaced = false
  private var drops: Set<Int> = []
  private var flip: Int??
  private var truncation: Int?
  private var extra: UInt8??
  private var missing = false
  private var random: SeededGenerator

  init(seed: UInt64) { random = SeededGenerator(seed: seed) }

  /// Notes a fault that waits for a reply. The others are read by the owner of the line.
  mutating func arm(_ command: Command) {
    switch command {
    case .unplugAfterWritten(let count): writable = count
    case .unplugAfterReplied(let count): answerable = count
    case .dropReply(let number): drops.insert(number)
    case .dropReplies(let count): drops.formUnion(1...max(1, count))
    case .flipByte(let index): flip = .some(index)
    case .truncate(let count): truncation = count
    case .extraByte(let byte): extra = .some(byte)
    case .missingByte: missing = true
    case .split(let on): isSplit = on
    case .delay(let time): delay = time
    case .paced(let on): isPaced = on
    case .stall: isStalled = true
    case .resume: isStalled = false
    case .powerOff: isPowered = false
    case .powerOn: isPowered = true
    case .unplug: isPlugged = false
    case .plug: isPlugged = true
    case .noise: break
    case .clear: self = LineFaults(random)
    }
  }

  private init(_ random: SeededGenerator) { self.random = random }

  /// What is left of a reply on its way to the host, in the pieces in which it arrives; empty when nothing is.
  mutating func pass(_ reply: [UInt8]) -> [[UInt8]] {
    guard !reply.isEmpty else { return [] }
    let dropped = drops.contains(1)
    drops = Set(drops.compactMap { $0 > 1 ? $0 - 1 : nil })
    // A lost reply does not use up the damage meant for the next one that arrives.
    if dropped { return [] }
    var bytes = reply
    if let chosen = flip {
      let index = chosen ?? Int.random(in: 0..<bytes.count, using: &random)
      if bytes.indices.contains(index) { bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random) }
      flip = nil
    }
    if let count = truncation {
      bytes = Array(bytes.prefix(count))
      truncation = nil
    }
    if missing {
      bytes = Array(bytes.dropFirst())
      missing = false
    }
    if let byte = extra {
      if let first = byte ?? bytes.first { bytes.insert(first, at: 0) }
      extra = nil
    }
    if bytes.isEmpty { return [] }
    return isSplit ? bytes.map { [$0] } : [bytes]
  }

  /// Bytes for `noise`.
  mutating func noise(_ count: Int) -> [UInt8] {
    (0..<count).map { _ in UInt8.random(in: 0...255, using: &random) }
  }

  /// The faults in force, for technicians.
  var state: [SimulationField] {
    var fields = [SimulationField("plugged", isPlugged), SimulationField("powered", isPowered)]
    if isStalled { fields.append(SimulationField("stalled", true)) }
    if delay > .zero { fields.append(SimulationField("delay", SimulationTime.text(delay))) }
    if isPaced { fields.append(SimulationField("wire-speed", true)) }
    if isSplit { fields.append(SimulationField("split-replies", true)) }
    if let writable { fields.append(SimulationField("unplug-after-bytes", writable)) }
    if let answerable { fields.append(SimulationField("unplug-after-reply-bytes", answerable)) }
    let waiting = drops.count + (flip == nil ? 0 : 1) + (truncation == nil ? 0 : 1) + (extra == nil ? 0 : 1)
    if waiting + (missing ? 1 : 0) > 0 {
      fields.append(SimulationField("reply-faults-waiting", waiting + (missing ? 1 : 0)))
    }
    return fields
  }
}
