/// What can go wrong between a program and a device that speaks HTTP.
struct HTTPFaults: Sendable {
  /// What a person can do to it.
  enum Command: Sendable, Equatable {
    case plug, unplug, hang, resume, drop(Int), closeMidReply, answer(Int, times: Int), delay(Duration), clear
  }

  static let commands: [CommandForm<Command>] = [
    CommandForm("unplug", "pull the cable", .unplug),
    CommandForm("plug", "put the cable back in", .plug),
    CommandForm("hang", "take requests and answer none of them", .hang),
    CommandForm("resume", "go on after a hang, answering what has come meanwhile", .resume),
    CommandForm("drop", "close the connection instead of answering the next request", .drop(1)),
    CommandForm("drop <1-1000> requests", "close the connection instead of answering the next requests") {
      $0.number().map { .drop($0) }
    },
    CommandForm(
      "close mid-reply", "carry out the next request and close the connection in the middle of its answer",
      .closeMidReply),
    CommandForm("answer <400-599> <1-1000> times", "refuse the next requests with that status") {
      guard let status = $0.number(0), let times = $0.number(1) else { return nil }
      return .answer(status, times: times)
    },
    CommandForm("delay <time>", "answer that much later from now on; 0 s ends it") {
      $0.time().map { .delay($0) }
    },
    CommandForm("clear faults", "forget every fault of the connection, and plug it in", .clear),
  ]

  /// What becomes of a request.
  enum Fate: Sendable, Equatable {
    /// The device answers.
    case answered
    /// The connection is closed, the device has not seen the request.
    case dropped
    /// The device carries it out and the answer breaks off.
    case cut
    /// Refused before the device sees it.
    case refused(Int)
  }

  var isPlugged = true
  var isHanging = false
  var delay = Duration.zero
  private var drops = 0
  private var cuts = 0
  private var refusal: (status: Int, times: Int)?

  mutating func arm(_ command: Command) {
    switch command {
    case .plug: isPlugged = true
    case .unplug: isPlugged = false
    case .hang: isHanging = true
    case .resume: isHanging = false
    case .drop(let count): drops += count
    case .closeMidReply: cuts += 1
    case .answer(let status, let times): refusal = (status, times)
    case .delay(let time): delay = time
    case .clear: self = HTTPFaults()
    }
  }

  /// Decides the next request.
  mutating func decide() -> Fate {
    if drops > 0 {
      drops -= 1
      return .dropped
    }
    if let (status, times) = refusal {
      refusal = times > 1 ? (status, times - 1) : nil
      return .refused(status)
    }
    if cuts > 0 {
      cuts -= 1
      return .cut
    }
    return .answered
  }

  /// The faults in force, for technicians.
  var state: [SimulationField] {
    var fields = [SimulationField("plugged", isPlugged)]
    if isHanging { fields.append(SimulationField("hanging", true)) }
    if delay > .zero { fields.append(SimulationField("delay", SimulationTime.text(delay))) }
    if drops > 0 { fields.append(SimulationField("drop-requests", drops)) }
    if cuts > 0 { fields.append(SimulationField("close-mid-reply", cuts)) }
    if let refusal { fields.append(SimulationField("answer-\(refusal.status)", refusal.times)) }
    return fields
  }
}
