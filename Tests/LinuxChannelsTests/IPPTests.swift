import Testing

@testable import LinuxChannels

@Suite struct IPPTests {
  /// RFC 8010 3.1: version, operation or status, request number, groups, end.
  @Test func `a request has the bytes of RFC 8010`() throws {
    let bytes = try #require(
      IPP.request(.cancelJob, printer: "q", user: "hall", attributes: [.integer("job-id", 258)]))
    // Version 2.0, Cancel-Job 0008, operation attributes.
    #expect(Array(bytes[0..<4]) == [0x02, 0x00, 0x00, 0x08])
    #expect(bytes[8] == 0x01)
    let uri =
      [0x45, 0x00, 0x0B] + Array("printer-uri".utf8) + [0x00, 0x1A] + Array("ipp://localhost/printers/q".utf8)
    #expect(bytes.firstRange(of: uri) != nil)
    let user = [0x42, 0x00, 0x14] + Array("requesting-user-name".utf8) + [0x00, 0x04] + Array("hall".utf8)
    #expect(bytes.firstRange(of: user) != nil)
    let job: [UInt8] = [0x21, 0x00, 0x06] + Array("job-id".utf8) + [0x00, 0x04, 0x00, 0x00, 0x01, 0x02]
    #expect(bytes.firstRange(of: job) != nil)
    #expect(bytes.last == 0x03)
  }

  @Test func `a list of keywords has its name once`() throws {
    let bytes = try #require(
      IPP.request(
        .getJobs, printer: "q", user: "u",
        attributes: [.keywords("requested-attributes", ["job-id", "job-name"])]))
    let list =
      [0x44, 0x00, 0x14] + Array("requested-attributes".utf8) + [0x00, 0x06] + Array("job-id".utf8)
      + [0x44, 0x00, 0x00, 0x00, 0x08] + Array("job-name".utf8)
    #expect(bytes.firstRange(of: list) != nil)
  }

  @Test func `job options get the types that IPP gives them`() throws {
    let bytes = try #require(
      IPP.request(
        .createJob, printer: "q", user: "u", attributes: [.name("job-name", "办理-1")],
        jobOptions: [(name: "copies", value: "2"), (name: "sides", value: "two-sided-long-edge")]))
    let copies: [UInt8] = [0x21, 0x00, 0x06] + Array("copies".utf8) + [0x00, 0x04, 0x00, 0x00, 0x00, 0x02]
    #expect(bytes.firstRange(of: copies) != nil)
    let sides = [0x44, 0x00, 0x05] + Array("sides".utf8) + [0x00, 0x13] + Array("two-sided-long-edge".utf8)
    #expect(bytes.firstRange(of: sides) != nil)
    let name = [0x42, 0x00, 0x08] + Array("job-name".utf8) + [0x00, 0x08] + Array("办理-1".utf8)
    #expect(bytes.firstRange(of: name) != nil)
  }

  @Test func `a queue's name is escaped in its address`() {
    #expect(IPP.printerPath("Receipt-1_a.b") == "/printers/Receipt-1_a.b")
    #expect(IPP.printerPath("收 据%") == "/printers/%E6%94%B6%20%E6%8D%AE%25")
  }

  /// Two jobs, as RFC 8010 3.1.2 lays them out: 02 starts a job's group, 03 is the end.
  private let answer: [UInt8] =
    [0x02, 0x00, 0x00, 0x00, 0x00, 0x00, 0x00, 0x01, 0x01]
    + [0x47, 0x00, 0x12] + Array("attributes-charset".utf8) + [0x00, 0x05] + Array("utf-8".utf8)
    + [0x48, 0x00, 0x1B] + Array("attributes-natural-language".utf8) + [0x00, 0x02] + Array("en".utf8)
    + [0x02, 0x21, 0x00, 0x06] + Array("job-id".utf8) + [0x00, 0x04, 0x00, 0x00, 0x00, 0x07]
    + [0x44, 0x00, 0x11] + Array("job-state-reasons".utf8) + [0x00, 0x04] + Array("none".utf8)
    + [0x13, 0x00, 0x12] + Array("time-at-processing".utf8) + [0x00, 0x00]
    + [0x02, 0x21, 0x00, 0x06] + Array("job-id".utf8) + [0x00, 0x04, 0x00, 0x00, 0x00, 0x08]
    + [0x22, 0x00, 0x04] + Array("flag".utf8) + [0x00, 0x01, 0x01]
    + [0x44, 0x00, 0x11] + Array("job-state-reasons".utf8) + [0x00, 0x03] + Array("a-b".utf8)
    + [0x44, 0x00, 0x00, 0x00, 0x03] + Array("c-d".utf8)
    + [0x03]

  @Test func `an answer's groups are kept apart`() throws {
    let response = try #require(IPP.response(answer))
    #expect(response.succeeded)
    #expect(response.statusName == "successful-ok")
    #expect(response.groups.count == 2)
    let first = try #require(response.groups.first)
    #expect(first.integer("job-id") == 7)
    #expect(first.keywords("job-state-reasons") == [])
    #expect(first["time-at-processing"] == [.absent])
    let second = try #require(response.groups.last)
    #expect(second.integer("job-id") == 8)
    #expect(second.boolean("flag") == true)
    #expect(second.keywords("job-state-reasons") == ["a-b", "c-d"])
  }

  @Test func `a refusal has its keyword`() throws {
    var bytes = answer
    bytes[2] = 0x04
    bytes[3] = 0x06
    let response = try #require(IPP.response(bytes))
    #expect(!response.succeeded)
    #expect(response.status == IPP.Response.notFound)
    #expect(response.statusName == "client-error-not-found")
  }

  @Test func `an answer cut anywhere is none`() {
    for count in 0..<answer.count { #expect(IPP.response(Array(answer[..<count])) == nil, "\(count) bytes") }
  }

  @Test func `an answer with any byte changed is read or refused, and harms nothing`() {
    for index in answer.indices {
      for value in [0x00, 0x03, 0x34, 0x7F, 0x80, 0xFF] as [UInt8] {
        var bytes = answer
        bytes[index] = value
        if let response = IPP.response(bytes) { #expect(response.groups.count <= 64) }
      }
    }
  }
}
