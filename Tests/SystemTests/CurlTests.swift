import HallKit
import Posix
import TestKit
import Testing
import WireJSON

/// curl over a Unix socket is enough to use the agent (design 4.3).
@Suite(
  .timeLimit(.minutes(5)),
  .enabled(if: Programs.areExpected("curl"), "curl is not installed"))
struct CurlTests {
  private struct Reply {
    var status: Int
    var body: JSONValue
    var text: String
  }

  private func curl(_ position: Position, _ path: String, _ options: String...) async throws -> Reply {
    let result = try await RunningProgram.run(
      "curl",
      [
        "--silent", "--show-error", "--max-time", "300", "--unix-socket", position.socket, "-w",
        "\n%{http_code}",
      ]
        + options + ["http://localhost" + path])
    guard result.status == .exited(0) else { throw Programs.Failure(description: "curl: \(result.errors)") }
    var lines = result.output.split(separator: "\n", omittingEmptySubsequences: false)
    let status = Int(lines.removeLast()) ?? 0
    let text = lines.joined(separator: "\n")
    return Reply(status: status, body: (try? JSON.parse(Array(text.utf8))) ?? .null, text: text)
  }

  @Test func `curl lists the devices, reads a card and issues a ticket once, a crash in between`()
    async throws
  {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("idcard"), try devices.section("dispenser"))
    try await position.start()
    try await position.ready("idcard", "dispenser")

    let list = try await curl(position, "/v1/devices")
    #expect(list.status == 200)
    #expect(list.body["devices"]?.array?.map { $0["role"] } == ["idcard", "dispenser"])

    try await devices.apply("card present citizen", to: "idcard")
    let card = try await curl(
      position, "/v1/devices/idcard/card-reads", "-d", #"{"requestId":"card-1","timeoutSeconds":120}"#)
    #expect(card.status == 200)
    #expect(card.body["fields"]?["name"] == "张测试")
    #expect(card.body["fields"]?["idNumber"]?["value"] == "11010519491231002X")
    #expect(card.body["fields"]?["address"] == "北京市朝阳区样例路1号")
    // What was read is given once; the same id reads nothing again and gets nothing out of any store.
    let again = try await curl(
      position, "/v1/devices/idcard/card-reads", "-d", #"{"requestId":"card-1","timeoutSeconds":120}"#)
    #expect(again.status == 410 && again.body["code"] == "request.resultGone")
    #expect(try devices.records(of: "idcard", "card-read").count == 1)

    let order = #"{"requestId":"ticket-1","service":"A","waitingAhead":3}"#
    let first = try await curl(position, "/v1/devices/dispenser/tickets", "-d", order)
    #expect(first.status == 201 && first.body["number"] == "A001" && first.body["printed"] == "yes")
    let second = try await curl(position, "/v1/devices/dispenser/tickets", "-d", order)
    #expect(second.status == 201 && second.text == first.text)

    try await position.kill()
    try await position.start()
    let third = try await curl(position, "/v1/devices/dispenser/tickets", "-d", order)
    #expect(third.status == 201 && third.text == first.text)

    let code = first.body["checkCode"]?.string ?? "?"
    let tickets = try devices.records(of: "dispenser", "ticket")
    #expect(tickets.count == 1)
    #expect(tickets.first?["qr"]?.hasSuffix(":A001:\(code)") == true)
    #expect(tickets.first?["lines"]?.contains("A001") == true)

    let other = try await curl(
      position, "/v1/devices/dispenser/tickets", "-d", #"{"requestId":"ticket-1","service":"B"}"#)
    #expect(other.status == 409 && other.body["code"] == "request.mismatch")
  }

  @Test func `mistakes of a caller are answered with what to do, in its language`() async throws {
    let files = try TemporaryDirectory()
    let devices = try await SimulatedDevices(in: files)
    let position = Position(in: files)
    try position.write(try devices.section("dispenser"))
    try await position.start()
    try await position.ready("dispenser")
    let tickets = "/v1/devices/dispenser/tickets"

    let unknown = try await curl(position, tickets, "-d", #"{"requestId":"t","service":"A","waiting":3}"#)
    #expect(unknown.status == 400 && unknown.body["code"] == "request.invalid")
    #expect(unknown.body["errors"]?[0]?.string?.contains("waitingAhead") == true)
    let broken = try await curl(position, tickets, "-d", #"{"requestId":"#, "-H", "Accept-Language: zh-CN")
    #expect(broken.status == 400 && broken.body["title"]?.string?.contains("请求不是有效的 JSON") == true)
    let nowhere = try await curl(position, "/v1/devices/printer-9")
    #expect(nowhere.status == 404 && nowhere.body["detail"]?.string?.contains("dispenser") == true)
    let method = try await curl(position, "/v1/devices", "-X", "PUT")
    #expect(method.status == 405 && method.body["detail"] == "here: GET")
    let kind = try await curl(position, "/v1/devices/dispenser/scans", "-d", #"{"requestId":"s"}"#)
    #expect(kind.status == 409 && kind.body["code"] == "device.wrongKind")
    let type = try await curl(position, tickets, "-d", "<x/>", "-H", "Content-Type: text/xml")
    #expect(type.status == 415)
    // It asks before it sends: who sends all the same may find the line closed before it has read the answer.
    let large = try await curl(
      position, tickets, "-H", "Expect: 100-continue", "--expect100-timeout", "300", "-d",
      "@" + Built.path("halld"))
    #expect(large.status == 413 && large.body["code"] == "request.tooLarge")

    try await devices.apply("paper out", to: "dispenser")
    let paper = try await curl(position, tickets, "-d", #"{"requestId":"t-1","service":"A"}"#)
    #expect(paper.status == 409 && paper.body["code"] == "paper.out" && paper.body["actor"] == "clerk")
    #expect(paper.body["printed"] == "no" && paper.body["number"] == "A001")
    try await devices.apply("paper full", to: "dispenser")
    let printed = try await Attempts.until("the roll is in") {
      let reply = try await curl(position, tickets, "-d", #"{"requestId":"t-1","service":"A"}"#)
      return reply.status == 201 ? reply : nil
    }
    #expect(printed.body["number"] == "A001", "the number stays the request's")
    #expect(try devices.records(of: "dispenser", "ticket").count == 1)
  }
}
