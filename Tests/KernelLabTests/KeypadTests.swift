import LabKit
import Posix
import TestKit
import Testing
import WireJSON

extension KernelLab {
  /// Keyboards that the kernel and not this project makes.
  @Suite struct KeypadTests {
    /// Where a keyboard comes from.
    enum Origin: String, CaseIterable, CustomTestStringConvertible {
      case uinput, uhid, hidg
      var testDescription: String { rawValue }
    }

    @Test(.timeLimit(.minutes(30)), arguments: Origin.allCases)
    func `a keypad that the agent holds rates, and types nothing into any other reader`(origin: Origin)
      async throws
    {
      try await Guest.run { guest in
        try await GuestHall.prepare(guest)
        try await GuestHall.permitGadgets(guest)
        try await guest.check("mkfifo /run/presses")
        if origin == .hidg { try await guest.check("gadget keyboard keys 0") }
        let keypad = try await guest.launch("exec keypad \(origin.rawValue) 'Lab keypad' <> /run/presses")
        var node = try await keypad.line(containing: "ready").text.split(separator: " ").dropFirst().first
          .map(String.init)
        if node == nil {
          node = try await guest.check(
            "for e in /sys/class/input/event*; do grep -q 'HID gadget' $e/device/name && echo /dev/input/${e##*/}; done"
          )
        }
        try await guest.check("udevadm settle")
        let path = try #require(node)
        let other = try await guest.launch("exec keys \(path)")
        try await other.line(containing: "reading")
        // Before the agent holds it, everybody reads it.
        try await guest.check("echo 3 > /run/presses")
        try await other.line(containing: "key 4")

        let hall = try await GuestHall.start(
          on: guest,
          [
            .init("evaluator", "evaluator", at: "evdev:\(path)", "profile = evaluator-keys")
          ])
        try await hall.device("evaluator", is: "online")
        let before = other.lines.count
        var latencies: [Duration] = []
        var shares: [Duration] = []
        for number in 1...5 {
          let mark = hall.mark
          async let answer = hall.call(
            "POST", "/v1/devices/evaluator/ratings",
            [
              "requestId": .string("rating-\(number)"), "serviceNumber": .integer(Int64(number)),
              "timeoutSeconds": 30,
            ])
          try await JourneyTests.asked(hall, after: mark)
          let (asked, pressedBefore) = (hall.mark, keypad.lines.count)
          let before = try await hall.processorTime()
          try await guest.check("echo \(number) > /run/presses")
          let pressed = try await keypad.line(containing: "pressed \(number) ", after: pressedBefore).text
          let told = try await hall.event(after: asked) {
            $0["requestId"]?.string == "rating-\(number)" && $0["state"] == "done"
          }
          #expect(try await answer.body["outcome"] == "rated")
          let at = Int(pressed.split(separator: " ").last ?? "") ?? 0
          latencies.append(told.time - .microseconds(at))
          shares.append(try await hall.processorTime() - before)
        }
        let told = try await hall.accepted("rating", count: 5)
        #expect(told.count == 5)
        print(
          "key press (\(origin.rawValue)) to event on the API: \(Measured(latencies)); the agent's own part, "
            + "with the answer and the delivery to the intake: \(Measured(shares))")
        #expect(other.lines.count == before, "the other reader got \(other.text)")

        // Once the agent is gone, so is the hold.
        try await hall.agent.signal(Signals.terminate)
        _ = try await hall.agent.result()
        try await guest.check("echo 7 > /run/presses")
        try await other.line(containing: "key 8", after: before)
      }
    }
  }
}

/// Times of a repeated thing.
struct Measured: CustomStringConvertible {
  private let milliseconds: [Double]

  init(_ times: [Duration]) { milliseconds = times.map { $0 / .milliseconds(1) }.sorted() }

  private static func text(_ value: Double) -> String { "\((value * 10).rounded() / 10)" }

  var description: String {
    guard let first = milliseconds.first, let last = milliseconds.last else { return "nothing measured" }
    let middle = milliseconds[milliseconds.count / 2]
    return
      "p50 \(Self.text(middle)) ms, least \(Self.text(first)), most \(Self.text(last)) (n = \(milliseconds.count))"
  }
}
