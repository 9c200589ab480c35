import Channels
import Testing
import WireJSON

@testable import Screens

@Suite struct ScreenInputTests {
  private func read(_ text: String) throws -> ScreenInput? { ScreenInput(try JSON.parse(Array(text.utf8))) }

  @Test func `what a page sends is read`() throws {
    #expect(try read(#"{"type":"press","level":5}"#) == .press(level: 5))
    #expect(
      try read(#"{"type":"reasons","codes":["510","517"],"comment":"好"}"#)
        == .reasons(codes: ["510", "517"], comment: "好"))
    #expect(try read(#"{"type":"confirm","accepted":false}"#) == .confirm(accepted: false))
    #expect(
      try read(#"{"type":"signature","png":"iVBORw==","strokes":[[[0,0,0,500],[10000,10000,80,1000]]]}"#)
        == .signature(
          png: [0x89, 0x50, 0x4E, 0x47], strokes: Array("[[[0,0,0,500],[10000,10000,80,1000]]]".utf8)))
    for (word, input) in [
      ("decline", ScreenInput.decline), ("moreTime", .moreTime), ("touched", .touched),
      ("opened", .window(.opened)),
      ("blocked", .window(.blocked)), ("closed", .window(.closed)),
    ] {
      #expect(try read(#"{"type":"\#(word)"}"#) == input)
    }
  }

  @Test(arguments: [
    "{}", "[]", "null", #"{"type":"press"}"#, #"{"type":"press","level":0}"#, #"{"type":"press","level":6}"#,
    #"{"type":"press","level":"5"}"#, #"{"type":"press","level":4.5}"#, #"{"type":"reasons"}"#,
    #"{"type":"reasons","codes":[5]}"#, #"{"type":"confirm"}"#, #"{"type":"confirm","accepted":"yes"}"#,
    #"{"type":"signature","png":"!!!!","strokes":[[[0,0,0,0]]]}"#, #"{"type":"signature","png":"iVBORw=="}"#,
    #"{"type":"signature","png":"iVBORw==","strokes":[]}"#,
    #"{"type":"signature","png":"iVBORw==","strokes":[[]]}"#,
    #"{"type":"signature","png":"iVBORw==","strokes":[[[0,0,0]]]}"#,
    #"{"type":"signature","png":"iVBORw==","strokes":[[["0",0,0,0]]]}"#,
    #"{"type":"signature","png":"iVBORw==","strokes":[[[9223372036854775807,0,0,0]]]}"#,
    #"{"type":"reboot"}"#,
  ]) func `anything else is not`(_ text: String) throws {
    #expect(try read(text) == nil)
  }

  @Test func `a comment and a list of reasons have their limits`() throws {
    let long = String(repeating: "字", count: 301)
    #expect(try read(#"{"type":"reasons","codes":[],"comment":"\#(long)"}"#) == nil)
    #expect(try read(#"{"type":"reasons","codes":[],"comment":"\#(long.dropLast())"}"#) != nil)
    let codes = Array(repeating: #""510""#, count: 21).joined(separator: ",")
    #expect(try read(#"{"type":"reasons","codes":[\#(codes)]}"#) == nil)
  }

  @Test func `a view tells what it holds to its page alone`() {
    let view = ScreenView(
      step: "1", visit: "v",
      .confirm(title: nil, fields: [ScreenView.Field(label: ScreenText("姓名", "Name"), value: "张三")]),
      seconds: 60)
    #expect(view.json(revision: 3, secondsLeft: 60)["fields"]?.array?.first?["value"] == "张三")
    var printed = ""
    dump(view, to: &printed)
    #expect(!"\(view)\(printed)\(String(reflecting: view))".contains("张三"))
  }
}
