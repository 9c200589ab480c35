import Testing

@testable import Simulation

/// Held against literal bytes of facts/devices.md A1–A4.
@Suite struct SimulatedTicketPrinterTests {
  static let cut = hex("1D 56 00")

  private var printer = SimulatedTicketPrinter(options())

  private static func options() -> SimulatedTicketPrinter.Options {
    // 测 = B2 E2, 试 = CA D4 in GB 18030; enough for these tests, and no font has more than it has.
    SimulatedTicketPrinter.Options(decodeText: { bytes in
      switch bytes {
      case [0xB2, 0xE2]: "测"
      case [0xCA, 0xD4]: "试"
      case [0x95, 0x32, 0x82, 0x36]: "𠀀"
      default: nil
      }
    })
  }

  private mutating func print(_ text: String) -> [SimulatedAction] { printer.receive(Array(text.utf8)) }

  @Test mutating func `nothing comes out before the cut, and then the whole ticket`() {
    #expect(print("A001\n\nplease wait\n").records.isEmpty)
    let tickets = printer.receive(Self.cut).tickets
    #expect(tickets.map(\.lines) == [["A001", "please wait"]])
    #expect(tickets.map(\.number) == [1])
    #expect(tickets.map(\.end) == [.cut])
  }

  @Test mutating func `numbers of tickets run on, from a given one`() {
    var options = Self.options()
    options.firstTicket = 41
    printer = SimulatedTicketPrinter(options)
    let first = printer.receive(Array("a\n".utf8) + Self.cut).tickets
    let second = printer.receive(Array("b\n".utf8) + hex("1B 69")).tickets
    #expect(first.map(\.number) == [41])
    #expect(second.map(\.number) == [42])
    #expect(second.map(\.end) == [.partialCut])
  }

  @Test mutating func `style and alignment are on the paper`() {
    let bytes =
      hex("1B 40 1B 61 01 1D 21 11 1B 45 01") + Array("A1\n".utf8) + hex("1B 40") + Array("x\n".utf8)
      + Self.cut
    let elements = printer.receive(bytes).tickets[0].elements
    let big = PrintedTicket.Run(
      text: "A1", width: 2, height: 2, isBold: true, isUnderlined: false, isInverted: false)
    let plain = PrintedTicket.Run(
      text: "x", width: 1, height: 1, isBold: false, isUnderlined: false, isInverted: false)
    #expect(elements == [.line([big], .centre), .line([plain], .left)])
  }

  @Test mutating func `Chinese is read by pairs, in any pieces`() {
    _ = printer.receive([0xB2])
    _ = printer.receive([0xE2, 0xCA])
    let tickets = printer.receive([0xD4, 0x0A] + Self.cut).tickets
    #expect(tickets.map(\.lines) == [["测试"]])
  }

  @Test mutating func `a four-byte character prints boxes on a two-byte font`() {
    let tickets = printer.receive(hex("95 32 82 36 0A") + Self.cut).tickets
    #expect(tickets.map(\.lines) == [["□□"]])
  }

  @Test func `a full font prints four-byte characters`() {
    var options = Self.options()
    options.font = .gb18030
    var printer = SimulatedTicketPrinter(options)
    #expect(printer.receive(hex("95 32 82 36 B2 E2 0A") + Self.cut).tickets.map(\.lines) == [["𠀀测"]])
  }

  @Test mutating func `with Chinese mode off the same bytes are boxes`() {
    let tickets = printer.receive(hex("1C 2E B2 E2 0A 1C 26 B2 E2 0A") + Self.cut).tickets
    #expect(tickets.map(\.lines) == [["□□", "测"]])
  }

  @Test mutating func `long lines wrap at the paper's width`() {
    let tickets = printer.receive(Array(String(repeating: "x", count: 50).utf8) + [0x0A] + Self.cut).tickets
    #expect(tickets[0].lines.map(\.count) == [48, 2])
    let wide = printer.receive(
      hex("1D 21 10") + Array(String(repeating: "x", count: 25).utf8) + [0x0A] + Self.cut)
    #expect(wide.tickets[0].lines.map(\.count) == [24, 1])
  }

  @Test mutating func `a QR symbol keeps its content`() {
    let store = hex("1D 28 6B 05 00 31 50 30 68 69")
    let bytes = hex("1D 28 6B 03 00 31 43 06") + store + hex("1D 28 6B 03 00 31 51 30")
    let ticket = printer.receive(bytes + Self.cut).tickets[0]
    #expect(ticket.qrTexts == ["hi"])
    #expect(ticket.elements == [.qr(Array("hi".utf8), moduleDots: 6, .left)])
  }

  @Test mutating func `a picture with command bytes in it is a picture`() {
    let picture = hex("1D 76 30 00 02 00 02 00 0A 1D 56 00")
    let ticket = printer.receive(picture + Self.cut).tickets[0]
    #expect(ticket.elements == [.picture(rowBytes: 2, rows: 2, dots: hex("0A 1D 56 00"), .left)])
  }

  @Test mutating func `a cut in the middle of a line is passed over`() {
    #expect(printer.receive(Array("A".utf8) + Self.cut).tickets.isEmpty)
    #expect(printer.receive([0x0A] + Self.cut).tickets.map(\.lines) == [["A"]])
  }

  @Test mutating func `cutting blank paper is no ticket`() {
    #expect(printer.receive(hex("0A 0A 1D 56 42 10")).records.map(\.event) == ["blank"])
  }

  // MARK: Status

  @Test(
    arguments: [
      ([], ["16", "12", "12", "12"]), (["paper low"], ["16", "12", "12", "1E"]),
      (["paper out"], ["1E", "32", "12", "7E"]), (["cover open"], ["1E", "16", "12", "12"]),
      (["jam"], ["1E", "52", "16", "12"]), (["head hot"], ["1E", "52", "52", "12"]),
      (["paper out", "status constant"], ["16", "12", "12", "12"]),
    ] as [([String], [String])])
  func `DLE EOT answers by the published bits`(commands: [String], answers: [String]) throws {
    var printer = SimulatedTicketPrinter(Self.options())
    for command in commands { try printer.command(command) }
    for (kind, answer) in zip(UInt8(1)..., answers) {
      #expect(printer.receive([0x10, 0x04, kind]).sent == hex(answer), "n=\(kind)")
    }
  }

  @Test mutating func `a silent printer answers nothing`() throws {
    try printer.command("status silent")
    #expect(
      printer.receive(hex("10 04 01 10 04 04 1D 72 01 1D 49 01 1D 61 FF 1D 28 48 06 00 30 30 41 42 43 44"))
        .sent == [])
  }

  @Test mutating func `status is answered off line, with data waiting, and inside a picture`() throws {
    try printer.command("paper out")
    #expect(print("waiting\n").sent == [])
    #expect(printer.receive(hex("10 04 04")).sent == hex("7E"))
    #expect(printer.receive(hex("1D 76 30 00 03 00 01 00 10 04 01")).sent == hex("1E"))
  }

  @Test mutating func `GS r is silent at paper end and answered after the refill`() throws {
    #expect(printer.receive(hex("1D 72 01")).sent == hex("00"))
    try printer.command("paper low")
    #expect(printer.receive(hex("1D 72 01")).sent == hex("03"))
    try printer.command("paper out")
    #expect(printer.receive(hex("1D 72 01")).sent == [])
    #expect(try printer.command("paper full").sent == hex("00"))
  }

  @Test mutating func `automatic status comes at once and on each change`() throws {
    #expect(printer.receive(hex("1D 61 0E")).sent == hex("14 00 00 00"))
    #expect(try printer.command("paper low").sent == hex("14 00 03 00"))
    #expect(try printer.command("paper out").sent == hex("1C 00 0F 00"))
    #expect(try printer.command("paper out").sent == [])
    #expect(try printer.command("paper full").sent == hex("14 00 00 00"))
    #expect(try printer.command("cover open").sent == hex("3C 00 00 00"))
    #expect(printer.receive(hex("1D 61 00")).sent == [])
    #expect(try printer.command("cover closed").sent == [])
  }

  @Test mutating func `identity is told as a byte or as text`() {
    #expect(printer.receive(hex("1D 49 01 1D 49 02 1D 49 03")).sent == hex("20 03 01"))
    #expect(printer.receive(hex("1D 49 43")).sent == [0x5F] + Array("TP-80".utf8) + [0])
  }

  @Test mutating func `the print-complete echo comes when all before it is on paper`() throws {
    let echo = hex("1D 28 48 06 00 30 30 41 42 43 44")
    #expect(printer.receive(Array("a\n".utf8) + echo).sent == hex("37 22 41 42 43 44 00"))
    try printer.command("paper out")
    #expect(printer.receive(Array("b\n".utf8) + echo).sent == [])
    #expect(try printer.command("paper full").sent == hex("37 22 41 42 43 44 00"))
    try printer.command("echo off")
    #expect(printer.receive(echo).sent == [])
  }

  // MARK: Paper

  @Test mutating func `out of paper the buffer fills, holds the line, and is printed after the refill`()
    throws
  {
    try printer.command("paper out")
    #expect(printer.room == 4096)
    let ticket = Array("A002\n".utf8) + Self.cut
    #expect(printer.receive(ticket).tickets.isEmpty)
    #expect(printer.room == 4096 - ticket.count)
    _ = printer.receive([UInt8](repeating: 0x20, count: printer.room))
    #expect(printer.room == 0)
    #expect(try printer.command("paper full").tickets.map(\.lines) == [["A002"]])
    #expect(printer.room == 4096)
  }

  @Test mutating func `a printer that is busy off line takes nothing`() throws {
    var options = Self.options()
    options.isBusyWhenOffline = true
    printer = SimulatedTicketPrinter(options)
    #expect(printer.room > 0)
    try printer.command("cover open")
    #expect(printer.room == 0)
  }

  @Test mutating func `a roll that ends in a ticket leaves a fragment, and the rest comes on the new roll`()
    throws
  {
    try printer.command("paper out after 2 lines")
    #expect(printer.receive(Array("one\ntwo\nthree\n".utf8) + Self.cut).tickets.isEmpty)
    let records = try printer.command("paper full").records
    #expect(records.map(\.event) == ["fragment", "ticket"])
    #expect(records.compactMap(\.ticket).map(\.lines) == [["one", "two"], ["three"]])
    #expect(records.compactMap(\.ticket).map(\.end) == [.torn, .cut])
  }

  @Test mutating func `the roll comes near its end after so many tickets`() throws {
    try printer.command("paper low after 2 tickets")
    _ = printer.receive(Array("a\n".utf8) + Self.cut)
    #expect(printer.receive(hex("10 04 04")).sent == hex("12"))
    _ = printer.receive(Array("b\n".utf8) + Self.cut)
    #expect(printer.receive(hex("10 04 04")).sent == hex("1E"))
  }

  // MARK: Cutter

  @Test mutating func `a stuck cutter keeps the ticket until recovery, which tries again`() throws {
    try printer.command("cutter jam")
    #expect(printer.receive(Array("a\n".utf8) + Self.cut).records.map(\.event) == ["cutter-jam"])
    #expect(printer.receive(hex("10 04 03")).sent == hex("1A"))
    #expect(printer.receive(hex("10 05 01")).records.map(\.event) == ["cutter-jam"])
    try printer.command("cutter free")
    #expect(printer.receive(hex("10 04 03")).sent == hex("1A"))
    #expect(printer.receive(hex("10 05 01")).tickets.map(\.lines) == [["a"]])
    #expect(printer.receive(hex("10 04 03")).sent == hex("12"))
  }

  @Test mutating func `recovery with clearing leaves the uncut ticket on the next one`() throws {
    try printer.command("cutter jam")
    _ = printer.receive(Array("a\n".utf8) + Self.cut + Array("lost\n".utf8))
    try printer.command("cutter free")
    #expect(printer.receive(hex("10 05 02")).records.isEmpty)
    #expect(printer.receive(Array("b\n".utf8) + Self.cut).tickets.map(\.lines) == [["a", "b"]])
  }

  @Test mutating func `clearing the buffer forgets what waits and not what comes after`() throws {
    try printer.command("cover open")
    _ = print("old\n")
    let clear = hex("10 14 08 01 03 14 01 06 02 08")
    #expect(printer.receive(clear + Array("new\n".utf8) + Self.cut).sent == hex("37 25 00"))
    #expect(try printer.command("cover closed").tickets.map(\.lines) == [["new"]])
  }

  // MARK: Time and power

  @Test mutating func `lines take their time`() {
    var options = Self.options()
    options.lineTime = .milliseconds(20)
    printer = SimulatedTicketPrinter(options)
    var actions = printer.receive(Array("a\nb\n".utf8) + Self.cut)
    #expect(actions.tickets.isEmpty)
    #expect(actions.wakes.map(\.after) == [.milliseconds(20)])
    actions = printer.woke(actions.wakes[0].token)
    #expect(actions.tickets.isEmpty)
    actions = printer.woke(actions.wakes[0].token)
    #expect(actions.tickets.map(\.lines) == [["a", "b"]])
  }

  @Test mutating func `fed lines take the time of all of them`() {
    var options = Self.options()
    options.lineTime = .milliseconds(20)
    printer = SimulatedTicketPrinter(options)
    let actions = printer.receive(hex("1B 64 05") + Array("b\n".utf8))
    #expect(actions.wakes.map(\.after) == [.milliseconds(100)])
    let next = printer.woke(actions.wakes[0].token)
    #expect(next.wakes.map(\.after) == [.milliseconds(20)])
    // The timer of an earlier line does not end this one.
    #expect(printer.woke(actions.wakes[0].token).isEmpty)
  }

  @Test mutating func `without power the buffer is lost and the paper is not`() {
    _ = print("half\nof it")
    _ = printer.powerLost()
    #expect(printer.receive(Array("next\n".utf8) + Self.cut).tickets.map(\.lines) == [["half", "next"]])
  }

  @Test mutating func `an unplugged cable leaves half a ticket, which comes out with the next`() {
    #expect(!printer.isBusPowered)
    _ = print("half a\ntick")
    let next = printer.receive(hex("1B 40") + Array("next\n".utf8) + Self.cut).tickets
    #expect(next.map(\.lines) == [["half a", "next"]])
  }

  // MARK: Presenter

  @Test func `a kiosk printer holds the ticket until it is taken`() throws {
    var options = Self.options()
    options.hasPresenter = true
    var printer = SimulatedTicketPrinter(options)
    #expect(printer.receive(hex("10 04 14")).sent == hex("10 0F 00 00 00 00"))
    _ = printer.receive(Array("a\n".utf8) + Self.cut)
    #expect(printer.receive(hex("10 04 14")).sent == hex("10 0F 20 00 00 00"))
    #expect(try printer.command("ticket take").records.map(\.event) == ["ticket-taken"])
    #expect(printer.receive(hex("10 04 14")).sent == hex("10 0F 00 00 00 00"))
    #expect(throws: SimulationError.self) { try printer.command("ticket take") }
    _ = printer.receive(Array("b\n".utf8) + Self.cut)
    #expect(printer.receive(hex("1D 65 02")).records.map(\.event) == ["ticket-retracted"])
  }

  @Test func `a kiosk printer takes a ticket back that nobody took`() throws {
    var options = Self.options()
    options.hasPresenter = true
    var printer = SimulatedTicketPrinter(options)
    _ = printer.receive(hex("1D 52 31 0A"))
    let first = printer.receive(Array("a\n".utf8) + Self.cut).wakes[0]
    #expect(first.after == .seconds(10))
    try printer.command("ticket take")
    let second = printer.receive(Array("b\n".utf8) + Self.cut).wakes[0]
    #expect(printer.woke(first.token).isEmpty)
    #expect(printer.woke(second.token).records.map(\.event) == ["ticket-retracted"])
    #expect(printer.receive(hex("10 04 14")).sent == hex("10 0F 00 00 00 00"))
  }

  @Test mutating func `a real-time command is found in any pieces`() {
    var sent: [UInt8] = []
    for byte in hex("41 41 10 04 04 41 10 04 01") { sent += printer.receive([byte]).sent }
    #expect(sent == hex("12 16"))
    _ = printer.receive(Array(repeating: 0x41, count: 20) + [0x10])
    #expect(printer.receive([0x04]).sent == [])
    #expect(printer.receive([0x04]).sent == hex("12"))
  }

  @Test mutating func `equal tickets have equal digests and others have not`() {
    let one = printer.receive(Array("a\n".utf8) + Self.cut).tickets[0]
    let two = printer.receive(Array("a\n".utf8) + Self.cut).tickets[0]
    let other = printer.receive(Array("b\n".utf8) + Self.cut).tickets[0]
    #expect(one.digest == two.digest)
    #expect(one.digest != other.digest)
  }

  @Test func `garbage of any kind neither crashes nor blocks`() {
    var random = SeededGenerator(seed: 7)
    var printer = SimulatedTicketPrinter(Self.options())
    for _ in 0..<2000 {
      let bytes = (0..<Int.random(in: 1...64, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      _ = printer.receive(bytes)
    }
    #expect(printer.room > 0)
  }
}
