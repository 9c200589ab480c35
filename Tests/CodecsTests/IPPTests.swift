import Codecs
import TestKit
import Testing

private let pinetree = "ipp://printer.example.com/ipp/print/pinetree"
private let job147 = IPPGroup(
  .job,
  [
    IPPAttribute("job-id", .integer(147)), IPPAttribute("job-uri", .uri(pinetree + "/147")),
    IPPAttribute("job-state", .enumeration(3)),
  ])
private let unsupported = [
  IPPAttribute("copies", .integer(20)), IPPAttribute("sides", .outOfBand(.unsupported)),
]

private func read(_ bytes: [UInt8], limits: IPPLimits = IPPLimits()) throws -> IPPMessage {
  try IPPMessage.read(bytes, limits: limits).message
}

private func request(_ bytes: [UInt8]) throws -> IPPRequest { try IPPRequest(reading: bytes) }

/// A request with these bytes between the target and the end tag.
private func request(with bytes: [UInt8]) -> [UInt8] {
  IPPVectors.createJobRequest.dropLast() + [0x02] + bytes + [0x03]
}

private func attribute(_ tag: UInt8, _ name: String, _ value: [UInt8]) -> [UInt8] {
  [tag, 0, UInt8(name.utf8.count)] + Array(name.utf8) + [UInt8(value.count >> 8), UInt8(value.count & 0xFF)]
    + value
}

@Suite struct IPPMessageTests {
  @Test func `the standard's Print-Job request is read`() throws {
    let (message, start) = try IPPMessage.read(IPPVectors.printJobRequest)
    #expect(message.version == IPPVersion(1, 1))
    #expect(IPPOperation(rawValue: message.code) == .printJob)
    #expect(message.requestID == 1)
    #expect(
      message.groups == [
        IPPGroup(
          .operation,
          [
            IPPAttribute("attributes-charset", .charset("utf-8")),
            IPPAttribute("attributes-natural-language", .naturalLanguage("en-us")),
            IPPAttribute("printer-uri", .uri(pinetree)), IPPAttribute("job-name", .name("foobar")),
            IPPAttribute("ipp-attribute-fidelity", .boolean(true)),
          ]),
        IPPGroup(
          .job,
          [
            IPPAttribute("copies", .integer(20)), IPPAttribute("sides", .keyword("two-sided-long-edge")),
          ]),
      ])
    #expect(Array(IPPVectors.printJobRequest[start...]) == Array("%!PDF...".utf8))
  }

  @Test(arguments: [
    IPPVectors.printJobRequest, IPPVectors.printJobResponse, IPPVectors.printJobFailure,
    IPPVectors.printJobIgnored, IPPVectors.createJobRequest, IPPVectors.createJobWithCollection,
    IPPVectors.getJobsRequest, IPPVectors.getJobsResponse,
  ])
  func `the standard's examples are written as they were read`(bytes: [UInt8]) throws {
    let (message, start) = try IPPMessage.read(bytes)
    #expect(try message.bytes() == Array(bytes[..<start]))
  }

  @Test func `a collection within a collection is read`() throws {
    let job = try #require(read(IPPVectors.createJobWithCollection).group(.job))
    #expect(
      job["media-col"]?.values == [
        .collection([
          IPPAttribute(
            "media-size",
            .collection([
              IPPAttribute("x-dimension", .integer(21000)), IPPAttribute("y-dimension", .integer(29700)),
            ])), IPPAttribute("media-type", .keyword("stationery")),
        ])
      ])
  }

  @Test func `several jobs are several groups, and a withheld one is empty`() throws {
    let message = try read(IPPVectors.getJobsResponse)
    #expect(message.groups.map(\.tag) == [.operation, .job, .job, .job])
    #expect(message.groups[1]["job-name"]?.values == [.nameWithLanguage("fou", language: "fr-ca")])
    #expect(message.groups[2].attributes.isEmpty)
    #expect(message.groups[3]["job-name"]?.values == [.nameWithLanguage("isch guet", language: "de-CH")])
  }

  @Test func `every kind of value is written and read back`() throws {
    let time = IPPDateTime(
      year: 2026, month: 3, day: 2, hour: 10, minute: 15, second: 30, decisecond: 7, utcOffset: 480)
    let values: [IPPValue] = [
      .integer(.min), .boolean(false), .enumeration(.max), .octets([0, 255]), .dateTime(time),
      .resolution(x: 600, y: 300, perCentimetre: false), .resolution(x: 1, y: 2, perCentimetre: true),
      .range(lower: -1, upper: 5), .collection([]),
      .collection([
        IPPAttribute(
          "a", [.integer(1), .keyword("k"), .collection([IPPAttribute("b", .outOfBand(.noValue))])])
      ]),
      .textWithLanguage("评价", language: "zh-cn"), .nameWithLanguage("名", language: "zh-cn"), .text("t"),
      .name("n"), .keyword("k"), .uri("u:"), .uriScheme("ipp"), .charset("utf-8"),
      .naturalLanguage("zh-cn"), .mimeMediaType("image/jpeg"), .other(tag: 0x7F, [0, 0, 0, 1, 9]),
    ]
    let message = IPPMessage(
      code: 0, requestID: -1,
      groups: [
        IPPGroup(.operation, IPPOutOfBand.allCases.map { IPPAttribute("\($0)", .outOfBand($0)) }),
        IPPGroup(IPPGroupTag(rawValue: 0x0A), [IPPAttribute("all", values)]),
      ])
    #expect(try read(message.bytes()) == message)
  }

  @Test func `date and time have the octets of RFC 2579`() throws {
    let time = IPPDateTime(
      year: 1992, month: 5, day: 26, hour: 13, minute: 30, second: 15, utcOffset: -240)
    let message = IPPMessage(
      code: 0, requestID: 1, groups: [IPPGroup(.printer, [IPPAttribute("t", .dateTime(time))])])
    // The example of RFC 2579: 1992-5-26,13:30:15.0,-4:0.
    #expect(
      try message.bytes().suffix(12) == [0x07, 0xC8, 5, 26, 13, 30, 15, 0, 0x2D, 4, 0, 0x03])
  }

  @Test(arguments: [
    IPPVectors.printJobRequest.count - 8, IPPVectors.createJobWithCollection.count,
  ])
  func `a message cut off anywhere is incomplete`(length: Int) {
    let whole =
      length == IPPVectors.createJobWithCollection.count
      ? IPPVectors.createJobWithCollection : IPPVectors.printJobRequest
    for cut in 0..<length {
      #expect(throws: IPPError.incomplete) { try IPPMessage.read(Array(whole[..<cut])) }
    }
  }

  // The bytes begin at 135: 8 of the head, 126 of the operation's group, the tag of the job's.
  @Test(arguments: [
    ([0x00], IPPError.unexpectedTag(0x00, offset: 135)),
    (attribute(0x4A, "", [0x61]), .unexpectedTag(0x4A, offset: 135)),
    (attribute(0x37, "", []), .unexpectedTag(0x37, offset: 135)),
    (attribute(0x21, "", [0, 0, 0, 1]), .wrongName(offset: 135)),
    ([0x21, 0, 1, 0xFF, 0, 4, 0, 0, 0, 1], .wrongName(offset: 136)),
    (attribute(0x21, "n", [0, 0, 1]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x23, "n", []), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x22, "n", [2]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x22, "n", [0, 0]), .wrongValue(attribute: "n", offset: 139)),
    (
      attribute(0x31, "n", [7, 0xC8, 13, 26, 13, 30, 15, 0, 0x2D, 4, 0]),
      .wrongValue(attribute: "n", offset: 139)
    ),
    (attribute(0x32, "n", [0, 0, 0, 1, 0, 0, 0, 1, 5]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x33, "n", [0, 0, 0, 1]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x35, "n", [0, 9, 0x61]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x36, "n", [0, 0, 0, 0, 1]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x41, "n", [0xC4, 0xE3]), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x44, "n", Array(repeating: 0x61, count: 256)), .wrongValue(attribute: "n", offset: 139)),
    (attribute(0x48, "n", Array(repeating: 0x61, count: 64)), .wrongValue(attribute: "n", offset: 139)),
    (
      attribute(0x21, "n", [0, 0, 0, 1]) + attribute(0x21, "n", [0, 0, 0, 1]),
      .duplicateAttribute("n", offset: 145)
    ),
    // A value before any member, a member without value, the same member twice, a named member, a group inside.
    (attribute(0x34, "n", []) + attribute(0x21, "", [0, 0, 0, 1]), .unexpectedTag(0x21, offset: 141)),
    (
      attribute(0x34, "n", []) + attribute(0x4A, "", [0x61]) + attribute(0x37, "", []),
      .wrongValue(attribute: "a", offset: 147)
    ),
    (
      attribute(0x34, "n", []) + attribute(0x4A, "", [0x61]) + attribute(0x13, "", [])
        + attribute(0x4A, "", [0x61]), .duplicateAttribute("a", offset: 152)
    ),
    (attribute(0x34, "n", []) + attribute(0x4A, "x", [0x61]), .wrongName(offset: 141)),
    (attribute(0x34, "n", []) + attribute(0x4A, "", []), .wrongName(offset: 141)),
    (attribute(0x34, "n", []) + [0x02], .unexpectedTag(0x02, offset: 141)),
  ])
  func `a malformed message is refused with its place`(bytes: [UInt8], error: IPPError) {
    #expect(throws: error) { try IPPMessage.read(request(with: bytes)) }
  }

  @Test func `size, number and nesting are limited`() {
    let bytes = IPPVectors.createJobWithCollection
    #expect(throws: IPPError.tooLarge) { try IPPMessage.read(bytes, limits: IPPLimits(bytes: 100)) }
    #expect(throws: IPPError.tooLarge) {
      try IPPMessage.read(Array(bytes[..<100]), limits: IPPLimits(bytes: 100))
    }
    #expect(throws: IPPError.tooLarge) { try IPPMessage.read(bytes, limits: IPPLimits(values: 5)) }
    #expect(throws: IPPError.tooDeep) { try IPPMessage.read(bytes, limits: IPPLimits(depth: 1)) }
    #expect(throws: Never.self) { try IPPMessage.read(bytes, limits: IPPLimits(depth: 2)) }
  }

  @Test(arguments: [
    IPPAttribute("n", [IPPValue]()), IPPAttribute("", .integer(1)),
    IPPAttribute(String(repeating: "n", count: 256), .integer(1)),
    IPPAttribute("n", .keyword(String(repeating: "k", count: 256))),
    IPPAttribute("n", .nameWithLanguage(String(repeating: "k", count: 256), language: "en")),
    IPPAttribute("n", .other(tag: 0x02, [])), IPPAttribute("n", .other(tag: 0x34, [])),
    IPPAttribute("n", .collection([IPPAttribute("m", [IPPValue]())])),
  ])
  func `what cannot be written is refused`(attribute: IPPAttribute) {
    let message = IPPMessage(code: 0, requestID: 1, groups: [IPPGroup(.printer, [attribute])])
    #expect(throws: IPPError.self) { try message.bytes() }
  }

  @Test func `damaged messages end in a message that can be written again, or in an error`() throws {
    var random = SeededRandom(seed: 6)
    let vectors = [
      IPPVectors.printJobRequest, IPPVectors.createJobWithCollection, IPPVectors.getJobsResponse,
      IPPVectors.printJobIgnored,
    ]
    for round in 0..<8000 {
      var bytes = vectors[round % 4]
      for _ in 0..<Int.random(in: 1...4, using: &random) {
        let index = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[index] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.insert(UInt8.random(in: 0...255, using: &random), at: index)
        default: bytes.remove(at: index)
        }
      }
      _ = try? IPPRequest(reading: bytes)
      guard let message = try? read(bytes) else { continue }
      #expect(try read(message.bytes()) == message)
    }
    for _ in 0..<2000 {
      let count = Int.random(in: 0..<200, using: &random)
      let bytes = (0..<count).map { _ in UInt8.random(in: 0...80, using: &random) }
      _ = try? IPPRequest(reading: bytes)
    }
  }
}

@Suite struct IPPRequestTests {
  @Test func `a printer sees what the client wants`() throws {
    let print = try request(IPPVectors.printJobRequest)
    #expect(print.operation == .printJob)
    #expect(print.printerURI == pinetree)
    #expect(print.jobName == "foobar")
    #expect(print.wantsFidelity)
    #expect(print.documentFormat == "application/octet-stream")
    #expect(print.compression == "none")
    #expect(print.jobAttributes["copies"]?.values[0].number == 20)
    #expect(print.wants("printer-state"))
    let jobs = try request(IPPVectors.getJobsRequest)
    #expect(jobs.limit == 50)
    #expect(jobs.whichJobs == "not-completed")
    #expect(!jobs.wantsOwnJobsOnly)
    #expect(jobs.requestedAttributes == ["job-id", "job-name", "document-format"])
    #expect(jobs.wants("job-name"))
    #expect(!jobs.wants("job-state"))
    #expect(jobs.wants("x", in: ["job-template", "document-format"]))
  }

  @Test func `the responses of the standard are built`() throws {
    let print = try request(IPPVectors.printJobRequest)
    #expect(try print.response(.ok, groups: [job147]).bytes() == IPPVectors.printJobResponse)
    #expect(
      try print.response(.attributesNotSupported, unsupported: unsupported).bytes()
        == IPPVectors.printJobFailure)
    #expect(
      try print.response(.okIgnoredOrSubstituted, unsupported: unsupported, groups: [job147]).bytes()
        == IPPVectors.printJobIgnored)
    let jobs = try request(IPPVectors.getJobsRequest)
    let groups = [
      IPPGroup(
        .job,
        [
          IPPAttribute("job-id", .integer(147)),
          IPPAttribute("job-name", .nameWithLanguage("fou", language: "fr-ca")),
        ]), IPPGroup(.job),
      IPPGroup(
        .job,
        [
          IPPAttribute("job-id", .integer(149)),
          IPPAttribute("job-name", .nameWithLanguage("isch guet", language: "de-CH")),
        ]),
    ]
    #expect(try jobs.response(.ok, groups: groups).bytes() == IPPVectors.getJobsResponse)
  }

  private func refusal(_ bytes: [UInt8]) -> IPPMessage? {
    do throws(IPPRequestError) {
      _ = try IPPRequest(reading: bytes)
      return nil
    } catch {
      if case .refused(let response) = error { return response }
      return nil
    }
  }

  private func changed(_ index: Int, to byte: UInt8) -> [UInt8] {
    var bytes = IPPVectors.createJobRequest
    bytes[index] = byte
    return bytes
  }

  @Test func `a request against the rules gets an answer with its own number`() throws {
    let version = try #require(refusal(changed(0, to: 3)))
    #expect(version.code == IPPStatus.versionNotSupported.rawValue)
    #expect(version.version == IPPVersion(1, 1))
    #expect(version.requestID == 1)
    #expect(refusal(changed(7, to: 0))?.code == IPPStatus.badRequest.rawValue)
    // Another charset: utf-8 becomes utf-9; another first attribute.
    #expect(refusal(changed(35, to: 0x39))?.code == IPPStatus.charsetNotSupported.rawValue)
    #expect(refusal(changed(12, to: 0x62))?.code == IPPStatus.badRequest.rawValue)
    #expect(refusal(changed(8, to: 0x02))?.code == IPPStatus.badRequest.rawValue)
    let malformed = try #require(refusal(request(with: attribute(0x22, "n", [7]))))
    #expect(malformed.code == IPPStatus.badRequest.rawValue)
    #expect(malformed.group(.operation)?["status-message"]?.values[0].string?.contains("'n'") == true)
  }

  @Test func `an operation needs its target, except those about all printers`() throws {
    var message = try read(IPPVectors.createJobRequest)
    message.groups[0].attributes.removeLast()
    #expect(refusal(try message.bytes())?.code == IPPStatus.badRequest.rawValue)
    message.code = IPPOperation.cupsGetPrinters.rawValue
    #expect(try IPPRequest(reading: message.bytes()).operation == .cupsGetPrinters)
  }

  @Test func `a request whose end is not there yet asks for more`() {
    #expect(throws: IPPRequestError.incomplete) {
      try IPPRequest(reading: Array(IPPVectors.getJobsRequest.dropLast(3)))
    }
    #expect(throws: IPPRequestError.incomplete) { try IPPRequest(reading: []) }
  }

  @Test(
    arguments: [
      (IPPAttribute("job-id", .integer(7)), 7), (IPPAttribute("job-uri", .uri("ipp://h/ipp/print/12")), 12),
      (IPPAttribute("job-uri", .uri("ipp://h/ipp/print/")), nil),
      (IPPAttribute("job-uri", .uri("ipp://h/ipp/print/-3")), nil),
    ] as [(IPPAttribute, Int?)])
  func `a job is named by number or by address`(attribute: IPPAttribute, number: Int?) throws {
    var message = try read(IPPVectors.createJobRequest)
    message.groups[0].attributes.append(attribute)
    message.code = IPPOperation.cancelJob.rawValue
    #expect(try IPPRequest(reading: message.bytes()).jobID == number)
  }

  @Test func `a long explanation is cut to what a status message may hold`() throws {
    let response = try request(IPPVectors.createJobRequest)
      .response(.badRequest, detail: String(repeating: "评价", count: 100))
    let text = try #require(response.group(.operation)?["status-message"]?.values[0].string)
    #expect(text.utf8.count == 255)
    #expect(try read(response.bytes()) == response)
  }
}
