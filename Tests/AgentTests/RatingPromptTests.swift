import Posix
import TestKit
import Testing

@testable import Agent

@Suite struct RatingPromptTests {
  private static let wall = WallTime(secondsSince1970: 1_790_000_000, utcOffsetSeconds: 28_800)
  private static let keys = RatingPrompt.Manner()
  private static let screen = RatingPrompt.Manner(
    asksReasons: true, outlivesAbsence: true, reasons: { ["\($0)07", "\($0)08"] },
    isReasonRequired: { $0 <= 2 })

  private func prompt(
    _ manner: RatingPrompt.Manner, _ inputs: [(Double, RatingPrompt.Input)]
  ) -> (RatingPrompt, [RatingPrompt.Action]) {
    var prompt = RatingPrompt(manner)
    var actions: [RatingPrompt.Action] = []
    for (seconds, input) in inputs {
      actions += prompt.handle(input, now: .milliseconds(Int(seconds * 1000)), wall: Self.wall)
    }
    return (prompt, actions)
  }

  private func ending(_ actions: [RatingPrompt.Action]) -> RatingPrompt.Ending? {
    for case .end(let ending) in actions { return ending }
    return nil
  }

  @Test(arguments: 1...5) func `a key press is kept at once and final after three seconds`(level: Int) {
    let (_, early) = prompt(Self.keys, [(0, .opened), (5, .press(level: level, rawKey: 9)), (7.9, .time)])
    #expect(early.contains { if case .keep(let press) = $0 { press.level == level } else { false } })
    #expect(ending(early) == nil)
    let (_, actions) = prompt(Self.keys, [(0, .opened), (5, .press(level: level, rawKey: 9)), (8, .time)])
    #expect(ending(actions)?.outcome == .rated && ending(actions)?.press?.level == level)
    #expect(ending(actions)?.isConfirmed == true)
  }

  @Test func `another level within three seconds replaces the first, the same one again is a double press`() {
    let (_, changed) = prompt(
      Self.keys,
      [(0, .opened), (5, .press(level: 2, rawKey: 2)), (7, .press(level: 4, rawKey: 4)), (8, .time)])
    #expect(ending(changed)?.press?.level == 4)
    let (_, doubled) = prompt(
      Self.keys,
      [(0, .opened), (5, .press(level: 2, rawKey: 2)), (6, .press(level: 2, rawKey: 2)), (8, .time)])
    #expect(doubled.contains(.stray("duplicate")) && ending(doubled)?.press?.level == 2)
  }

  @Test func `a press after the correction's end is late, whoever looked at the clock first`() {
    let (_, actions) = prompt(
      Self.keys, [(0, .opened), (5, .press(level: 2, rawKey: 2)), (8.5, .press(level: 5, rawKey: 5))])
    #expect(ending(actions)?.press?.level == 2)
    #expect(actions.last == .stray("late"))
  }

  @Test func `without a press there is no level`() {
    #expect(ending(prompt(Self.keys, [(0, .opened), (60, .time)]).1) == .init(outcome: .timeout))
    #expect(ending(prompt(Self.keys, [(0, .opened), (1, .deviceLost)]).1) == .init(outcome: .deviceLost))
    #expect(
      ending(prompt(Self.keys, [(0, .opened), (1, .cancelled(by: "clerk"))]).1)
        == .init(outcome: .cancelled, cancelledBy: "clerk"))
    #expect(ending(prompt(Self.screen, [(0, .opened), (1, .declined)]).1) == .init(outcome: .declined))
    #expect(prompt(Self.keys, [(0, .press(level: 5, rawKey: 5))]).1 == [.stray("noPrompt")])
  }

  @Test(arguments: [
    RatingPrompt.Input.cancelled(by: "clerk"), .cancelled(by: "visit"), .deviceLost, .time,
  ]) func `a level that was pressed stays, confirmed or not`(end: RatingPrompt.Input) {
    let (_, onKeys) = prompt(
      Self.keys, [(0, .opened), (5, .press(level: 1, rawKey: 1)), (6, end), (100, .time)])
    #expect(ending(onKeys)?.outcome == .rated && ending(onKeys)?.press?.level == 1)
    let (_, onScreen) = prompt(
      Self.screen, [(0, .opened), (5, .press(level: 1, rawKey: 1)), (6, end), (100, .time)])
    #expect(ending(onScreen)?.outcome == .rated && ending(onScreen)?.press?.level == 1)
    #expect(ending(onScreen)?.isConfirmed == false)
  }

  @Test func `reasons are those of the level, and a bad level needs one or a comment`() {
    let pressed: [(Double, RatingPrompt.Input)] = [(0, .opened), (5, .press(level: 1, rawKey: 1))]
    #expect(prompt(Self.screen, pressed + [(9, .reasons([], comment: ""))]).1.last == .refuse)
    #expect(prompt(Self.screen, pressed + [(9, .reasons(["507"], comment: ""))]).1.last == .refuse)
    #expect(prompt(Self.screen, pressed + [(9, .reasons(["107", "107"], comment: ""))]).1.last == .refuse)
    let (_, told) = prompt(Self.screen, pressed + [(9, .reasons(["107"], comment: "慢"))])
    #expect(ending(told)?.reasons == ["107"] && ending(told)?.comment == "慢")
    #expect(ending(told)?.isConfirmed == true)
    #expect(ending(prompt(Self.screen, pressed + [(9, .reasons([], comment: "慢"))]).1)?.isConfirmed == true)
  }

  @Test func `more time is given from when it is asked for, and a screen that is away costs nothing`() {
    let (waiting, _) = prompt(Self.screen, [(0, .opened), (50, .moreTime), (55, .deviceLost), (100, .time)])
    #expect(!waiting.isEnded && waiting.deadline == .seconds(110))
    let (over, actions) = prompt(Self.screen, [(0, .opened), (50, .moreTime), (110, .time)])
    #expect(over.isEnded && ending(actions)?.outcome == .timeout)
  }

  @Test func `a press faster than a person is told as such`() {
    let (_, actions) = prompt(Self.keys, [(0, .opened), (0.2, .press(level: 5, rawKey: 5)), (4, .time)])
    #expect(ending(actions)?.press?.isTooFast == true)
    let (_, human) = prompt(Self.keys, [(0, .opened), (0.4, .press(level: 5, rawKey: 5)), (4, .time)])
    #expect(human.isEmpty == false && ending(human)?.press?.isTooFast == false)
  }

  @Test func `a question that is taken up after a restart keeps the level and gives all of the time`() {
    let press = RatingPrompt.Press(level: 2, rawKey: 2, ratedAt: Self.wall)
    var onScreen = RatingPrompt(Self.screen, resuming: press)
    #expect(onScreen.handle(.opened, now: .seconds(1000), wall: Self.wall) == [.show])
    #expect(onScreen.deadline == .seconds(1060))
    let told = onScreen.handle(.reasons(["207"], comment: ""), now: .seconds(1010), wall: Self.wall)
    #expect(ending(told)?.press == press && ending(told)?.isConfirmed == true)
    var onKeys = RatingPrompt(Self.keys, resuming: press)
    _ = onKeys.handle(.opened, now: .seconds(1000), wall: Self.wall)
    #expect(ending(onKeys.handle(.time, now: .seconds(1000), wall: Self.wall))?.press == press)
  }

  /// Ten thousand walks, each from its own seed: exactly one end, and the level of the last press that was kept.
  @Test(arguments: 0..<20)
  func `whatever comes in whatever order, there is one end and no level without a press`(
    block: Int
  ) {
    for seed in block * 500..<(block + 1) * 500 {
      var random = SeededRandom(seed: UInt64(seed) &* 0x9E37_79B9_7F4A_7C15 &+ 1)
      var prompt = RatingPrompt(random.next() % 2 == 0 ? Self.keys : Self.screen)
      var now = Duration.zero
      var ends: [RatingPrompt.Ending] = []
      var kept: [RatingPrompt.Press] = []
      func take(_ input: RatingPrompt.Input) {
        for action in prompt.handle(input, now: now, wall: Self.wall) {
          switch action {
          case .end(let ending): ends.append(ending)
          case .keep(let press):
            #expect(ends.isEmpty, "kept after the end, seed \(seed)")
            kept.append(press)
          case .show, .stray, .refuse: break
          }
        }
      }
      take(.opened)
      for _ in 0..<40 {
        now += .milliseconds(Int(random.next() % 4000))
        switch random.next() % 12 {
        case 0...3: take(.press(level: Int(random.next() % 5) + 1, rawKey: 1))
        case 4: take(.reasons(random.next() % 2 == 0 ? [] : ["107"], comment: ""))
        case 5: take(.declined)
        case 6: take(.moreTime)
        case 7: take(.touched)
        case 8: take(.deviceLost)
        case 9: take(random.next() % 4 == 0 ? .cancelled(by: "clerk") : .time)
        case 10:
          // The service is restarted: what was kept is all that is left.
          if !prompt.isEnded { prompt = RatingPrompt(prompt.manner, resuming: kept.last) }
          take(.opened)
        default: take(.time)
        }
      }
      now += .seconds(1000)
      take(.time)
      #expect(ends.count == 1, "seed \(seed): \(ends.count) ends")
      let end = ends.first
      #expect((end?.outcome == .rated) == (end?.press != nil), "seed \(seed)")
      #expect(end?.press?.level == kept.last?.level, "seed \(seed)")
    }
  }
}
