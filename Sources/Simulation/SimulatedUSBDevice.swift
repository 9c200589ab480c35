public import Codecs

/// A transfer that a host wants done.
public struct USBTransfer: Sendable, Equatable {
  /// The host's number for it.
  public let id: UInt32
  /// Endpoint, with 80 for those to the host; 00 and 80 are the control endpoint.
  public let endpoint: UInt8
  /// How many bytes the host has room for; what it sends for the other direction.
  public let length: Int
  /// What the host sends.
  public let data: [UInt8]
  /// Setup packet of a control transfer.
  public let setup: [UInt8]
  /// Whether fewer bytes than ``length`` are a failure.
  public let forbidsShort: Bool

  /// A transfer.
  public init(
    id: UInt32, endpoint: UInt8, length: Int, data: [UInt8] = [], setup: [UInt8] = [],
    forbidsShort: Bool = false
  ) {
    self.id = id
    self.endpoint = endpoint
    self.length = length
    self.data = data
    self.setup = setup
    self.forbidsShort = forbidsShort
  }

  var isControl: Bool { endpoint & 0x7F == 0 }
  var isIn: Bool { endpoint & 0x80 != 0 }
}

/// How a transfer ended.
public struct USBCompletion: Sendable, Equatable {
  /// The host's number for it.
  public let id: UInt32
  /// How.
  public let status: USBIP.Status
  /// How many bytes went one way or the other.
  public let length: Int
  /// What the device sent.
  public let data: [UInt8]

  /// An end.
  public init(id: UInt32, _ status: USBIP.Status, length: Int = 0, data: [UInt8] = []) {
    self.id = id
    self.status = status
    self.length = length
    self.data = data
  }
}

/// What follows from a transfer for the owner of the device.
struct USBConsequences: Sendable {
  /// For the model.
  var bytes: [UInt8] = []
  /// What the model did.
  var actions: [SimulatedAction] = []
  /// The host's speed on a serial line from now on.
  var baud: Int?
}

/// A USB device as its host controller sees it: descriptors, the standard requests, and endpoints as queues. Transfers to the
/// host wait until there are packets, those from the host until the model has room: on the wire these are NAKs.
///
/// Pure: its owner hands it transfers and takes the ends of transfers from it.
struct SimulatedUSBDevice: Sendable {
  /// Most transfers that wait at once, and most bytes in them. A host's drivers have a few dozen.
  static let mostPending = 4096, mostPendingBytes = 64 << 20
  /// Most bytes an endpoint keeps for a host that does not fetch them; what comes then is lost, as in a full FIFO.
  static let mostWaiting = 8 << 20

  private struct Pending: Sendable {
    let transfer: USBTransfer
    /// Bytes that went either way so far.
    var taken = 0
    var data: [UInt8] = []
  }
  /// A packet of a control request that nobody answers stays here.
  private var unanswered: [UInt32] = []
  private var inputs: [UInt8: [[UInt8]]] = [:]
  private var pendingIn: [UInt8: [Pending]] = [:]
  private var pendingOut: [Pending] = []
  private var halted: Set<UInt8> = []
  private var done: [USBCompletion] = []
  private(set) var descriptors: USBDescriptors
  private(set) var configuration: UInt8 = 0
  private var isWakeAllowed = false
  /// The host has chosen a configuration since this was last asked for.
  private var wasConfigured = false

  let description: USBDescription
  private(set) var function: any SimulatedUSBFunction
  var faults = USBFaults()

  init(_ function: any SimulatedUSBFunction) {
    self.function = function
    description = function.description
    descriptors = description.descriptors
  }

  /// A host found it on its bus. Returns what the model gets because of it.
  mutating func attach() -> [UInt8] {
    descriptors = description.descriptors
    if let seed = faults.malformedSeed {
      var random = SeededGenerator(seed: seed)
      descriptors.damage(&random)
    }
    return forget()
  }

  /// Nobody has it any more, or it begins anew: everything that waited is forgotten. Returns what the model gets.
  mutating func forget() -> [UInt8] {
    unanswered = []
    inputs = [:]
    pendingIn = [:]
    pendingOut = []
    halted = []
    done = []
    configuration = 0
    isWakeAllowed = false
    return function.reset()
  }

  mutating func takeDone() -> [USBCompletion] {
    defer { done = [] }
    return done
  }

  mutating func takeWasConfigured() -> Bool {
    defer { wasConfigured = false }
    return wasConfigured
  }

  private var pendingCount: Int {
    unanswered.count + pendingOut.count + pendingIn.values.reduce(0) { $0 + $1.count }
  }

  private var pendingBytes: Int { pendingOut.reduce(0) { $0 + $1.transfer.data.count } }

  // MARK: The host's side

  /// Takes a transfer. Returns what follows from it at once.
  mutating func submit(
    _ transfer: USBTransfer, _ model: inout any SimulatedSerialDevice
  ) -> USBConsequences {
    if transfer.isControl { return control(transfer, &model) }
    guard configuration != 0, description.endpoint(transfer.endpoint) != nil else {
      done.append(USBCompletion(id: transfer.id, .noAnswer))
      return USBConsequences()
    }
    guard !halted.contains(transfer.endpoint) else {
      done.append(USBCompletion(id: transfer.id, .stalled))
      return USBConsequences()
    }
    guard pendingCount < Self.mostPending, pendingBytes + transfer.data.count <= Self.mostPendingBytes else {
      done.append(USBCompletion(id: transfer.id, .failed))
      return USBConsequences()
    }
    if transfer.isIn {
      pendingIn[transfer.endpoint, default: []].append(Pending(transfer: transfer))
      fetch()
    } else {
      pendingOut.append(Pending(transfer: transfer))
    }
    return USBConsequences()
  }

  /// Takes a transfer back; false when it was done already.
  mutating func unlink(_ id: UInt32) -> Bool {
    if let index = unanswered.firstIndex(of: id) {
      unanswered.remove(at: index)
      return true
    }
    if let index = pendingOut.firstIndex(where: { $0.transfer.id == id }) {
      pendingOut.remove(at: index)
      return true
    }
    for endpoint in pendingIn.keys {
      guard let index = pendingIn[endpoint]?.firstIndex(where: { $0.transfer.id == id }) else { continue }
      pendingIn[endpoint]?.remove(at: index)
      return true
    }
    return false
  }

  // MARK: The device's side

  /// What the endpoints send for a reply of the model.
  mutating func send(_ reply: [UInt8]) {
    guard configuration != 0 else { return }
    let waiting = inputs.mapValues { $0.reduce(0) { $0 + $1.count } }
    let isBroken = faults.marks > 0
    if isBroken { faults.marks -= 1 }
    for input in function.send(reply, isBroken: isBroken, waiting: { waiting[$0] ?? 0 }) { queue(input) }
    fetch()
  }

  private mutating func queue(_ input: USBInput) {
    guard let endpoint = description.endpoint(input.endpoint), endpoint.packet > 0 else { return }
    let waiting = inputs[input.endpoint, default: []].reduce(0) { $0 + $1.count }
    guard waiting + input.bytes.count <= Self.mostWaiting else { return }
    var parts = [input.bytes]
    if let count = faults.shortPacket, count < input.bytes.count {
      parts = [Array(input.bytes.prefix(count)), Array(input.bytes.dropFirst(count))]
      faults.shortPacket = nil
    }
    for (index, part) in parts.enumerated() {
      var packets = stride(from: 0, to: part.count, by: endpoint.packet).map {
        Array(part[$0..<min($0 + endpoint.packet, part.count)])
      }
      let isFull = part.count.isMultiple(of: endpoint.packet)
      if isFull, input.isClosed || index < parts.count - 1 { packets.append([]) }
      inputs[input.endpoint, default: []] += packets
    }
  }

  /// Gives the hosts' transfers what waits for them.
  mutating func fetch() {
    guard !faults.isNaking else { return }
    for (address, endpoint) in description.interfaces.flatMap(\.endpoints).map({ ($0.address, $0) }) {
      while let end = fetch(address, endpoint.packet) { done.append(end) }
    }
  }

  /// The next end of a transfer to the host on one endpoint.
  private mutating func fetch(_ address: UInt8, _ packetSize: Int) -> USBCompletion? {
    while var pending = pendingIn[address]?.first, let packet = inputs[address]?.first {
      inputs[address]?.removeFirst()
      let transfer = pending.transfer
      let room = transfer.length - pending.data.count
      if packet.count > room || faults.babbles > 0 {
        faults.babbles = max(0, faults.babbles - (packet.count > room ? 0 : 1))
        pendingIn[address]?.removeFirst()
        // What was sent beyond the host's room is lost, and with it the rest of the packet.
        let filled = pending.data + packet.prefix(room)
        let padding = [UInt8](repeating: 0xFF, count: max(0, transfer.length - filled.count))
        return USBCompletion(id: transfer.id, .overflow, length: transfer.length, data: filled + padding)
      }
      pending.data += packet
      let isShort = packet.count < packetSize
      guard isShort || pending.data.count == transfer.length else {
        pendingIn[address]?[0] = pending
        continue
      }
      pendingIn[address]?.removeFirst()
      let isTooShort = transfer.forbidsShort && pending.data.count < transfer.length
      return USBCompletion(
        id: transfer.id, isTooShort ? .tooShort : .ok, length: pending.data.count, data: pending.data)
    }
    return nil
  }

  /// The next packet from the host; nil when none waits, or the device answers with NAK.
  var nextOutput: [UInt8]? {
    guard !faults.isNaking, let pending = pendingOut.first,
      let endpoint = description.endpoint(pending.transfer.endpoint)
    else { return nil }
    return Array(pending.transfer.data[pending.taken...].prefix(endpoint.packet))
  }

  /// Takes the packet that ``nextOutput`` showed; returns what the model gets.
  mutating func takeOutput() -> [UInt8] {
    guard let packet = nextOutput else { return [] }
    pendingOut[0].taken += packet.count
    let pending = pendingOut[0]
    if pending.taken == pending.transfer.data.count {
      pendingOut.removeFirst()
      done.append(USBCompletion(id: pending.transfer.id, .ok, length: pending.taken))
    }
    return function.receive(packet, on: pending.transfer.endpoint)
  }

  // MARK: Faults

  mutating func arm(_ command: USBFaults.Command) {
    switch command {
    case .nak(let on): faults.isNaking = on
    case .halt(let direction):
      for endpoint in description.interfaces.flatMap(\.endpoints) where endpoint.isIn == (direction == .in) {
        halt(endpoint.address)
      }
    case .haltEndpoint(let address): halt(address)
    case .mark: faults.marks += 1
    case .babble: faults.babbles += 1
    case .shortPacket(let count): faults.shortPacket = count
    case .malformed(let seed): faults.malformedSeed = seed
    case .silent(let silence): faults.silence = silence
    }
    fetch()
  }

  private mutating func halt(_ address: UInt8) {
    guard description.endpoint(address) != nil else { return }
    halted.insert(address)
    for pending in pendingIn[address] ?? [] { done.append(USBCompletion(id: pending.transfer.id, .stalled)) }
    pendingIn[address] = nil
    for pending in pendingOut where pending.transfer.endpoint == address {
      done.append(USBCompletion(id: pending.transfer.id, .stalled, length: pending.taken))
    }
    pendingOut.removeAll { $0.transfer.endpoint == address }
  }

  /// Configuration, halts and faults, for technicians.
  var state: [SimulationField] {
    var fields = [SimulationField("usb-configuration", Int(configuration))]
    if !halted.isEmpty {
      let addresses = halted.sorted().map { String($0, radix: 16) }
      fields.append(SimulationField("halted-endpoints", addresses.joined(separator: " ")))
    }
    return fields + faults.state
  }

  // MARK: Control requests

  private mutating func control(
    _ transfer: USBTransfer, _ model: inout any SimulatedSerialDevice
  ) -> USBConsequences {
    guard let setup = USBSetup(transfer.setup), setup.length == 0 || setup.isIn == transfer.isIn else {
      done.append(USBCompletion(id: transfer.id, .stalled))
      return USBConsequences()
    }
    var answer: USBAnswer
    if setup.isStandard {
      if setup.request == 6, setup.value >> 8 == 2, setup.type == 0x80, faults.silence != .answered {
        if faults.silence == .nak {
          if pendingCount < Self.mostPending { unanswered.append(transfer.id) }
          return USBConsequences()
        }
        answer = .refused
      } else {
        answer = standard(setup)
      }
    } else if setup.type & 0x1F == 1, setup.index & 0xFF >= description.interfaces.count {
      answer = .refused
    } else {
      answer = function.answer(setup, transfer.data, &model)
    }
    guard let data = answer.data else {
      done.append(USBCompletion(id: transfer.id, .stalled))
      return USBConsequences()
    }
    if setup.isIn {
      let sent = Array(data.prefix(min(Int(setup.length), transfer.length)))
      let isTooShort = transfer.forbidsShort && sent.count < transfer.length
      done.append(
        USBCompletion(id: transfer.id, isTooShort ? .tooShort : .ok, length: sent.count, data: sent))
    } else {
      done.append(USBCompletion(id: transfer.id, .ok, length: transfer.data.count))
    }
    for input in answer.inputs where configuration != 0 { queue(input) }
    fetch()
    return USBConsequences(bytes: answer.bytes, actions: answer.actions, baud: answer.baud)
  }

  /// Requests that USB itself defines (USB 2.0, 9.4).
  private mutating func standard(_ setup: USBSetup) -> USBAnswer {
    switch setup.type & 0x1F {
    case 0: return deviceRequest(setup)
    case 1: return interfaceRequest(setup)
    case 2: return endpointRequest(setup)
    default: return .refused
    }
  }

  private mutating func deviceRequest(_ setup: USBSetup) -> USBAnswer {
    switch (setup.isIn, setup.request) {
    case (true, 0): return USBAnswer([(description.isSelfPowered ? 1 : 0) | (isWakeAllowed ? 2 : 0), 0])
    case (true, 6):
      return USBAnswer(
        descriptors.answer(type: UInt8(setup.value >> 8), index: Int(setup.value & 0xFF)))
    case (true, 8): return USBAnswer([configuration])
    // The address is the host controller's business.
    case (false, 5): return setup.value < 128 ? .accepted : .refused
    case (false, 9):
      // The number is what the descriptor says, which may be damaged.
      let number = descriptors.configuration.count > 5 ? descriptors.configuration[5] : 1
      guard setup.value == 0 || setup.value == UInt16(number) || setup.value == 1 else { return .refused }
      let waiting = pendingIn.values.flatMap { $0 } + pendingOut
      let ends = done + waiting.map { USBCompletion(id: $0.transfer.id, .noAnswer) }
      var answer = USBAnswer.accepted
      answer.bytes = forget()
      done = ends
      configuration = UInt8(truncatingIfNeeded: setup.value)
      wasConfigured = configuration != 0
      return answer
    default: return .refused
    }
  }

  private mutating func interfaceRequest(_ setup: USBSetup) -> USBAnswer {
    let number = Int(setup.index & 0xFF)
    guard description.interfaces.indices.contains(number) else { return .refused }
    switch (setup.isIn, setup.request) {
    case (true, 0): return USBAnswer([0, 0])
    case (true, 6):
      return USBAnswer(descriptors.answer(type: UInt8(setup.value >> 8), ofInterface: UInt8(number)))
    case (true, 10): return configuration == 0 ? .refused : USBAnswer([0])
    case (false, 11):
      guard configuration != 0, setup.value == 0 else { return .refused }
      var answer = USBAnswer.accepted
      for endpoint in description.interfaces[number].endpoints { answer.bytes += clear(endpoint.address) }
      return answer
    default: return .refused
    }
  }

  private mutating func endpointRequest(_ setup: USBSetup) -> USBAnswer {
    let address = UInt8(setup.index & 0xFF)
    let isControl = address & 0x7F == 0
    guard isControl || description.endpoint(address) != nil else { return .refused }
    switch (setup.isIn, setup.request, setup.value) {
    case (true, 0, _): return USBAnswer([halted.contains(address) ? 1 : 0, 0])
    case (false, 1, 0):
      var answer = USBAnswer.accepted
      if !isControl { answer.bytes = clear(address) }
      return answer
    case (false, 3, 0):
      if !isControl { halt(address) }
      return .accepted
    default: return .refused
    }
  }

  private mutating func clear(_ address: UInt8) -> [UInt8] {
    halted.remove(address)
    if function.forgetsWhenCleared { inputs[address] = nil }
    return function.cleared(address)
  }
}
