/// What can go wrong with a USB device beside what can go wrong with any line.
struct USBFaults: Sendable {
  /// What a person can do to it.
  enum Command: Sendable, Equatable {
    case nak(Bool), halt(Direction), haltEndpoint(UInt8), babble, mark, shortPacket(Int), malformed(UInt64?)
    case silent(Silence)
  }
  /// Which endpoints.
  enum Direction: String, Sendable { case `in`, out }
  /// How the question for the configuration descriptor is treated.
  enum Silence: String, Sendable {
    case stall, nak
    case answered = "off"
  }

  static let commands: [CommandForm<Command>] = [
    CommandForm("nak on|off", "answer every packet but those of control requests with NAK") {
      $0.flag().map { .nak($0) }
    },
    CommandForm("halt in|out", "STALL the endpoints of this direction until the host clears them") {
      $0.word().flatMap(Direction.init(rawValue:)).map { .halt($0) }
    },
    CommandForm("halt endpoint <hex>", "STALL the endpoint with this address until the host clears it") {
      $0.byte().map { .haltEndpoint($0) }
    },
    CommandForm("error bit", "mark the next frame of a camera as broken in its payload headers", .mark),
    CommandForm("babble", "send more than the host asked for with the next packet", .babble),
    CommandForm(
      "short packet <0-4096>",
      "end a transfer after so many bytes of the next reply; the rest follows in another"
    ) {
      $0.number().map { .shortPacket($0) }
    },
    CommandForm("malformed-descriptors <n>", "damage the descriptors by this seed, from the next plugging in")
    {
      $0.number().map { .malformed(UInt64($0)) }
    },
    CommandForm(
      "good descriptors", "end 'malformed-descriptors', from the next plugging in", .malformed(nil)),
    CommandForm(
      "silent stall|nak|off",
      "refuse the configuration descriptor, or never answer the question for it, or answer it"
    ) {
      $0.word().flatMap(Silence.init(rawValue:)).map { .silent($0) }
    },
  ]

  var isNaking = false
  var silence = Silence.answered
  var babbles = 0
  /// How many of the next replies are marked as damaged.
  var marks = 0
  var shortPacket: Int?
  var malformedSeed: UInt64?

  /// The faults in force, for technicians.
  var state: [SimulationField] {
    var fields: [SimulationField] = []
    if isNaking { fields.append(SimulationField("nak", true)) }
    if silence != .answered { fields.append(SimulationField("silent", silence.rawValue)) }
    if babbles > 0 { fields.append(SimulationField("babbles-waiting", babbles)) }
    if marks > 0 { fields.append(SimulationField("error-bits-waiting", marks)) }
    if let shortPacket { fields.append(SimulationField("short-packet-waiting", shortPacket)) }
    if let malformedSeed {
      fields.append(SimulationField("malformed-descriptors", Int(clamping: malformedSeed)))
    }
    return fields
  }
}
