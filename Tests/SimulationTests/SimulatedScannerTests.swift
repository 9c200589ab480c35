import Channels
import Codecs
import Testing

@testable import Simulation

/// Requests and answers are written out as text: no codec of ours makes or reads them here.
@Suite struct SimulatedScannerTests {
  private var scanner = SimulatedScanner(SimulatedScanner.Options(pages: PageSamples.all))

  private static func settings(
    _ source: String = "Feeder", mode: String = "RGB24", dpi: Int = 200, duplex: Bool = false
  ) -> [UInt8] {
    Array(
      """
      <?xml version="1.0" encoding="UTF-8"?>
      <scan:ScanSettings xmlns:scan="http://schemas.hp.com/imaging/escl/2011/05/03" \
      xmlns:pwg="http://www.pwg.org/schemas/2010/12/sm">
      <pwg:Version>2.0</pwg:Version><pwg:InputSource>\(source)</pwg:InputSource>
      <scan:ColorMode>\(mode)</scan:ColorMode>
      <pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat>
      <scan:XResolution>\(dpi)</scan:XResolution><scan:YResolution>\(dpi)</scan:YResolution>
      <scan:Duplex>\(duplex)</scan:Duplex>
      </scan:ScanSettings>
      """.utf8)
  }

  private mutating func post(_ body: [UInt8]) -> HTTPResponse {
    scanner.respond(HTTPRequest("POST", "/eSCL/ScanJobs", contentType: "text/xml", body: body)).response
  }
  private mutating func get(_ path: String) -> HTTPResponse {
    scanner.respond(HTTPRequest("GET", path)).response
  }
  private mutating func status() -> String {
    String(decoding: get("/eSCL/ScannerStatus").body, as: UTF8.self)
  }
  private mutating func next(_ job: String = "/eSCL/ScanJobs/1") -> HTTPResponse {
    get(job + "/NextDocument")
  }

  @Test mutating func `capabilities name what the images are, and both sources`() {
    let response = get("/eSCL/ScannerCapabilities")
    #expect(response.status == 200)
    #expect(response.headers["content-type"] == "text/xml")
    let text = String(decoding: response.body, as: UTF8.self)
    for word in [
      "ScannerCapabilities", "SIMULATED eSCL Scanner", "PlatenInputCaps", "AdfSimplexInputCaps",
      "AdfDuplexInputCaps",
      "RGB24", "Grayscale8", "image/jpeg", ">200<", ">300<", ">24<", ">36<",
    ] {
      #expect(text.contains(word), "\(word)")
    }
    #expect(!text.contains("BlackAndWhite1"))
  }

  @Test mutating func `a job gives its pages byte for byte, then 404`() throws {
    try scanner.command("load 3 pages")
    #expect(status().contains("<scan:AdfState>ScannerAdfLoaded</scan:AdfState>"))
    let created = post(Self.settings())
    #expect(created.status == 201)
    #expect(created.headers["location"] == "/eSCL/ScanJobs/1")
    #expect(status().contains("<pwg:State>Processing</pwg:State>"))
    // Two colour images at 200 dpi, over and over.
    for page in [PageSamples.colour, PageSamples.otherColour, PageSamples.colour] {
      let response = next()
      #expect(response.status == 200)
      #expect(response.headers["content-type"] == "image/jpeg")
      #expect(response.body == page)
    }
    #expect(next().status == 404)
    #expect(next().status == 404)
    let text = status()
    #expect(text.contains("<pwg:JobState>Completed</pwg:JobState>"))
    #expect(text.contains("JobCompletedSuccessfully"))
    #expect(text.contains("ScannerAdfEmpty"))
    #expect(text.contains("<pwg:State>Idle</pwg:State>"))
  }

  @Test mutating func `colour mode and resolution choose among the images`() throws {
    try scanner.command("load 2 pages")
    _ = post(Self.settings(mode: "Grayscale8"))
    #expect(next().body == PageSamples.grey)
    _ = scanner.respond(HTTPRequest("DELETE", "/eSCL/ScanJobs/1"))
    _ = post(Self.settings(dpi: 300))
    #expect(next("/eSCL/ScanJobs/2").body == PageSamples.fineColour)
  }

  @Test(arguments: [("BlackAndWhite1", 200), ("RGB24", 100), ("Grayscale8", 300)])
  func `what no image has is refused with 409`(mode: String, dpi: Int) throws {
    var scanner = SimulatedScanner(SimulatedScanner.Options(pages: PageSamples.all))
    try scanner.command("load 1 pages")
    let request = HTTPRequest("POST", "/eSCL/ScanJobs", body: Self.settings(mode: mode, dpi: dpi))
    #expect(scanner.respond(request).response.status == 409)
  }

  @Test mutating func `an unreadable request is answered with 400`() {
    #expect(post(Array("<scan".utf8)).status == 400)
    #expect(post([]).status == 400)
  }

  @Test mutating func `an empty feeder refuses with 409 and says so`() {
    #expect(post(Self.settings()).status == 409)
    #expect(status().contains("ScannerAdfEmpty"))
  }

  @Test mutating func `the glass always has one page`() throws {
    try scanner.command("platen page 2")
    #expect(post(Self.settings("Platen")).status == 201)
    #expect(next().body == PageSamples.otherColour)
    #expect(next().status == 404)
  }

  @Test mutating func `duplex gives both sides of a sheet`() throws {
    try scanner.command("load 2 pages")
    _ = post(Self.settings(duplex: true))
    let bodies = (0..<4).map { _ in next().body }
    #expect(
      bodies == [PageSamples.colour, PageSamples.otherColour, PageSamples.colour, PageSamples.otherColour])
    #expect(next().status == 404)
  }

  @Test mutating func `a second job is refused with 503 while one runs`() throws {
    try scanner.command("load 2 pages")
    _ = post(Self.settings())
    let response = post(Self.settings())
    #expect(response.status == 503)
    #expect(response.headers["retry-after"] == "1")
  }

  @Test mutating func `busy and stall answer 503`() throws {
    try scanner.command("load 2 pages")
    try scanner.command("busy on")
    #expect(post(Self.settings()).status == 503)
    try scanner.command("busy off")
    #expect(post(Self.settings()).status == 201)
    try scanner.command("stall on")
    #expect(next().status == 503)
    try scanner.command("stall off")
    #expect(next().status == 200)
  }

  @Test mutating func `a jam ends the job in the middle, and is seen until it is cleared`() throws {
    try scanner.command("load 5 pages")
    try scanner.command("jam at page 3")
    _ = post(Self.settings())
    #expect(next().status == 200)
    #expect(next().status == 200)
    #expect(next().status == 409)
    #expect(status().contains("ScannerAdfJam"))
    #expect(status().contains("<pwg:JobState>Aborted</pwg:JobState>"))
    #expect(post(Self.settings()).status == 409)
    try scanner.command("jam cleared")
    #expect(post(Self.settings()).status == 201)
    #expect(next("/eSCL/ScanJobs/2").status == 200)
  }

  @Test mutating func `two sheets at once end the job and are lost`() throws {
    try scanner.command("load 3 pages")
    try scanner.command("multifeed")
    _ = post(Self.settings())
    #expect(next().status == 409)
    #expect(status().contains("ScannerAdfMultipickDetected"))
    #expect(scanner.state.contains(SimulationField("sheets", 1)))
    #expect(post(Self.settings()).status == 201)
  }

  @Test mutating func `an open cover refuses jobs and ends a running one`() throws {
    try scanner.command("load 3 pages")
    _ = post(Self.settings())
    _ = next()
    try scanner.command("cover open")
    #expect(next().status == 409)
    #expect(status().contains("ScannerAdfDoorOpen"))
    #expect(post(Self.settings()).status == 409)
    try scanner.command("cover closed")
    #expect(post(Self.settings()).status == 201)
  }

  @Test func `other makers' word for an open cover can be set`() throws {
    var options = SimulatedScanner.Options(pages: PageSamples.all)
    options.coverWord = .hatchOpen
    var scanner = SimulatedScanner(options)
    try scanner.command("cover open")
    let body = scanner.respond(HTTPRequest("GET", "/eSCL/ScannerStatus")).response.body
    #expect(String(decoding: body, as: UTF8.self).contains("ScannerAdfHatchOpen"))
  }

  @Test mutating func `a cancelled job keeps the sheets it has not fed`() throws {
    try scanner.command("load 3 pages")
    _ = post(Self.settings())
    _ = next()
    #expect(scanner.respond(HTTPRequest("DELETE", "/eSCL/ScanJobs/1")).response.status == 200)
    #expect(next().status == 404)
    #expect(scanner.state.contains(SimulationField("sheets", 2)))
    #expect(status().contains("JobCanceledByUser"))
  }

  @Test mutating func `the cancel key at the device ends the job`() throws {
    #expect(throws: SimulationError.self) { try scanner.command("panel cancel") }
    try scanner.command("load 3 pages")
    _ = post(Self.settings())
    try scanner.command("panel cancel")
    #expect(next().status == 404)
    #expect(status().contains("<pwg:JobState>Canceled</pwg:JobState>"))
  }

  @Test mutating func `a job whose client is silent is given up`() throws {
    try scanner.command("load 3 pages")
    let request = HTTPRequest("POST", "/eSCL/ScanJobs", body: Self.settings())
    let first = scanner.respond(request).actions.wakes[0]
    #expect(first.after == .seconds(60))
    let second = scanner.respond(HTTPRequest("GET", "/eSCL/ScanJobs/1/NextDocument")).actions.wakes[0]
    #expect(scanner.woke(first.token).isEmpty)
    #expect(scanner.woke(second.token).records.map(\.event) == ["scan-end"])
    #expect(post(Self.settings()).status == 201)
  }

  @Test mutating func `a wrong location has another host and the same path`() throws {
    try scanner.command("location wrong")
    #expect(post(Self.settings("Platen")).headers["location"] == "http://[fe80::1]:9095/eSCL/ScanJobs/1")
  }

  @Test mutating func `image information tells the true size of the last page`() throws {
    _ = post(Self.settings("Platen"))
    #expect(get("/eSCL/ScanJobs/1/ScanImageInfo").status == 404)
    _ = next()
    let text = String(decoding: get("/eSCL/ScanJobs/1/ScanImageInfo").body, as: UTF8.self)
    #expect(text.contains("<scan:ActualWidth>16</scan:ActualWidth>"))
    #expect(text.contains("<scan:ActualBytesPerLine>48</scan:ActualBytesPerLine>"))
  }

  @Test mutating func `records tell which image each page was`() throws {
    try scanner.command("load 1 pages")
    _ = post(Self.settings(mode: "Grayscale8"))
    let record = scanner.respond(HTTPRequest("GET", "/eSCL/ScanJobs/1/NextDocument")).actions.records[0]
    #expect(record.event == "page")
    #expect(record["image"] == "3")
    #expect(record["page-number"] == "1")
    #expect(record["bytes"] == String(PageSamples.grey.count))
  }

  @Test(arguments: [
    ("GET", "/", 404), ("GET", "/eSCL/Nothing", 404), ("GET", "/eSCL/ScanJobs/77/NextDocument", 404),
    ("GET", "/eSCL/ScanJobs/x", 404), ("POST", "/eSCL/ScannerStatus", 405), ("GET", "/eSCL/ScanJobs", 405),
    ("GET", "/eSCL", 404), ("GET", "", 404),
  ])
  func `other places are 404, other methods 405`(method: String, path: String, status: Int) {
    var scanner = SimulatedScanner(SimulatedScanner.Options(pages: PageSamples.all))
    #expect(scanner.respond(HTTPRequest(method, path)).response.status == status)
  }

  @Test func `a scanner without images takes no sheets and refuses jobs`() {
    var scanner = SimulatedScanner(SimulatedScanner.Options(pages: [[1, 2, 3]]))
    #expect(scanner.pageCount == 0)
    #expect(throws: SimulationError.self) { try scanner.command("load 1 pages") }
    let request = HTTPRequest("POST", "/eSCL/ScanJobs", body: Self.settings("Platen"))
    #expect(scanner.respond(request).response.status == 409)
  }
}
