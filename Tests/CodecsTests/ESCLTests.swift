import Codecs
import TestKit
import Testing

private let namespaces =
  "xmlns:scan=\"http://schemas.hp.com/imaging/escl/2011/05/03\" xmlns:pwg=\"http://www.pwg.org/schemas/2010/12/sm\""

private func hall() -> ESCLCapabilities {
  let profile = ESCLProfile(
    colorModes: [.rgb24, .grayscale8, .blackAndWhite1], documentFormats: ["image/jpeg", "application/pdf"],
    documentFormatsExt: ["image/jpeg", "application/pdf"],
    resolutions: [ESCLResolutions(discrete: [200, 300, 600].map { ESCLResolution($0) })])
  var capabilities = ESCLCapabilities(version: ESCLVersion(2, 63), makeAndModel: "Sample Hall Scanner")
  capabilities.manufacturer = "Sample"
  capabilities.serialNumber = "SIM-0001"
  capabilities.uuid = "00000000-0000-4000-8000-000000000001"
  capabilities.adminURI = "http://127.0.0.1/?a=1&b=2"
  capabilities.platen = ESCLSource(
    minWidth: 32, maxWidth: 2550, minHeight: 32, maxHeight: 3508, profiles: [profile],
    intents: [.document, .photo], maxOpticalResolution: ESCLResolution(600))
  capabilities.feederSimplex = ESCLSource(
    minWidth: 591, maxWidth: 2550, minHeight: 591, maxHeight: 4205, profiles: [profile])
  capabilities.feederDuplex = capabilities.feederSimplex
  capabilities.feederCapacity = 80
  capabilities.feederOptions = ["DetectPaperLoaded", "Duplex"]
  capabilities.compressionFactor = ESCLRange(min: 0, max: 100, normal: 25, step: 1)
  capabilities.brightness = ESCLRange(min: -5, max: 5, normal: 0)
  capabilities.removesBlankPages = false
  return capabilities
}

@Suite struct ESCLCapabilitiesTests {
  @Test func `what is built is read back the same`() throws {
    #expect(try ESCLCapabilities(parsing: hall().document) == hall())
  }

  @Test func `a source's input capabilities are its first child, as some readers need it`() throws {
    let root = try XMLReader.read(hall().document)
    #expect(root.name == XMLName("ScannerCapabilities", in: ESCL.scanNamespace))
    #expect(root.children.first?.name == XMLName("Version", in: ESCL.pwgNamespace))
    let platen = try #require(root.child(XMLName("Platen", in: ESCL.scanNamespace)))
    #expect(platen.children.map(\.name.local) == ["PlatenInputCaps"])
    #expect(
      platen.children[0].children.map(\.name.local) == [
        "MinWidth", "MaxWidth", "MinHeight", "MaxHeight", "MaxScanRegions", "SettingProfiles",
        "SupportedIntents", "MaxOpticalXResolution", "MaxOpticalYResolution",
      ])
  }

  @Test func `the document of a plain scanner is this`() {
    var capabilities = ESCLCapabilities(version: ESCLVersion(2, 0), makeAndModel: "A&B")
    capabilities.platen = ESCLSource(
      minWidth: 1, maxWidth: 2550, minHeight: 1, maxHeight: 3508, maxScanRegions: nil,
      profiles: [
        ESCLProfile(
          colorModes: [.grayscale8], documentFormats: ["image/jpeg"],
          resolutions: [ESCLResolutions(discrete: [ESCLResolution(300)])])
      ])
    #expect(
      String(decoding: capabilities.document, as: UTF8.self) == """
        <?xml version="1.0" encoding="UTF-8"?>
        <scan:ScannerCapabilities \(namespaces)>
          <pwg:Version>2.0</pwg:Version>
          <pwg:MakeAndModel>A&amp;B</pwg:MakeAndModel>
          <scan:Platen>
            <scan:PlatenInputCaps>
              <scan:MinWidth>1</scan:MinWidth>
              <scan:MaxWidth>2550</scan:MaxWidth>
              <scan:MinHeight>1</scan:MinHeight>
              <scan:MaxHeight>3508</scan:MaxHeight>
              <scan:SettingProfiles>
                <scan:SettingProfile>
                  <scan:ColorModes>
                    <scan:ColorMode>Grayscale8</scan:ColorMode>
                  </scan:ColorModes>
                  <scan:DocumentFormats>
                    <pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat>
                  </scan:DocumentFormats>
                  <scan:SupportedResolutions>
                    <scan:DiscreteResolutions>
                      <scan:DiscreteResolution>
                        <scan:XResolution>300</scan:XResolution>
                        <scan:YResolution>300</scan:YResolution>
                      </scan:DiscreteResolution>
                    </scan:DiscreteResolutions>
                  </scan:SupportedResolutions>
                </scan:SettingProfile>
              </scan:SettingProfiles>
            </scan:PlatenInputCaps>
          </scan:Platen>
        </scan:ScannerCapabilities>

        """)
  }

  @Test func `profiles by reference, resolutions by mode or range, both words for intents and unknown words`()
    throws
  {
    let text = """
      <s:ScannerCapabilities xmlns:s="\(ESCL.scanNamespace)" xmlns="\(ESCL.pwgNamespace)">
        <Version> 2.9 </Version><MakeAndModel>Office 评</MakeAndModel><s:Future><s:x/></s:Future>
        <s:SettingProfiles><s:SettingProfile name="p">
          <s:ColorModes><s:ColorMode>RGB24</s:ColorMode><s:ColorMode>Grayscale8</s:ColorMode>
            <s:ColorMode>Infrared8</s:ColorMode></s:ColorModes>
          <s:DocumentFormats><DocumentFormat>image/jpeg</DocumentFormat></s:DocumentFormats>
          <s:SupportedResolutions><s:ColorMode>RGB24</s:ColorMode><s:ResolutionRange>
            <s:XResolution><s:Min>75</s:Min><s:Max>600</s:Max><s:Normal>300</s:Normal><s:Step>25</s:Step></s:XResolution>
            <s:YResolution><s:Min>75</s:Min><s:Max>600</s:Max><s:Step>25</s:Step></s:YResolution>
          </s:ResolutionRange></s:SupportedResolutions>
          <s:SupportedResolutions><s:ColorMode>Grayscale8</s:ColorMode><s:DiscreteResolutions>
            <s:DiscreteResolution><s:XResolution>200</s:XResolution><s:YResolution>100</s:YResolution></s:DiscreteResolution>
            <s:DiscreteResolution><s:XResolution>200</s:XResolution></s:DiscreteResolution>
          </s:DiscreteResolutions></s:SupportedResolutions>
          <s:SupportedResolutions><s:ColorMode>Infrared8</s:ColorMode></s:SupportedResolutions>
        </s:SettingProfile></s:SettingProfiles>
        <s:Adf><s:AdfSimplexInputCaps><s:MaxWidth>2550</s:MaxWidth><s:MaxHeight>4205</s:MaxHeight>
          <s:SettingProfiles><s:SettingProfile ref="p"/></s:SettingProfiles>
          <s:SupportedIntents><s:SupportedIntent>Document</s:SupportedIntent><s:Intent>Photo</s:Intent>
            <s:Intent>Slide</s:Intent></s:SupportedIntents>
        </s:AdfSimplexInputCaps></s:Adf>
        <s:CompressionFactorSupport><Min xmlns="">5</Min><Max xmlns="">95</Max></s:CompressionFactorSupport>
        <s:BrightnessSupport><s:Min>9</s:Min><s:Max>1</s:Max></s:BrightnessSupport>
        <s:ContrastSupport/>
      </s:ScannerCapabilities>
      """
    let capabilities = try ESCLCapabilities(parsing: Array(text.utf8))
    #expect(capabilities.version == ESCLVersion(2, 9))
    #expect(capabilities.makeAndModel == "Office 评")
    #expect(capabilities.platen == nil)
    #expect(capabilities.compressionFactor == ESCLRange(min: 5, max: 95))
    #expect(capabilities.brightness == nil)
    #expect(capabilities.contrast == nil)
    let feeder = try #require(capabilities.source(.feeder, duplex: false))
    #expect(capabilities.source(.feeder, duplex: true) == nil)
    #expect(feeder.intents == [.document, .photo])
    #expect(feeder.profiles.map(\.colorModes) == [[.rgb24, .grayscale8]])
    #expect(feeder.supports(.rgb24, ESCLResolution(300), format: "image/jpeg"))
    #expect(!feeder.supports(.rgb24, ESCLResolution(310), format: "image/jpeg"))
    #expect(!feeder.supports(.rgb24, ESCLResolution(625), format: "image/jpeg"))
    #expect(feeder.supports(.grayscale8, ESCLResolution(x: 200, y: 100), format: "image/jpeg"))
    #expect(!feeder.supports(.grayscale8, ESCLResolution(300), format: "image/jpeg"))
    #expect(!feeder.supports(.rgb24, ESCLResolution(300), format: "image/png"))
  }

  @Test(arguments: [
    ("<scan:ScannerStatus \(namespaces)/>", ESCLError.wrongRoot("{\(ESCL.scanNamespace)}ScannerStatus")),
    ("<ScannerCapabilities/>", .wrongRoot("ScannerCapabilities")),
    ("<scan:ScannerCapabilities \(namespaces)/>", .noInputSource),
    (
      "<scan:ScannerCapabilities \(namespaces)><pwg:Version>two</pwg:Version></scan:ScannerCapabilities>",
      .wrongValue(element: "Version", value: "two")
    ),
    ("<scan:ScannerCapabilities", .xml(XMLError(problem: .unexpectedEnd, offset: 25))),
    (
      "<scan:ScannerCapabilities \(namespaces)><scan:Platen><scan:PlatenInputCaps/></scan:Platen></scan:ScannerCapabilities>",
      .missingElement("MaxWidth")
    ),
    (
      "<scan:ScannerCapabilities \(namespaces)><scan:Platen><scan:PlatenInputCaps><scan:MinWidth>9</scan:MinWidth><scan:MaxWidth>8</scan:MaxWidth><scan:MaxHeight>8</scan:MaxHeight></scan:PlatenInputCaps></scan:Platen></scan:ScannerCapabilities>",
      .wrongValue(element: "MaxWidth", value: "8")
    ),
    (
      "<scan:ScannerCapabilities \(namespaces)><scan:Platen><scan:PlatenInputCaps><scan:MaxWidth>-8</scan:MaxWidth></scan:PlatenInputCaps></scan:Platen></scan:ScannerCapabilities>",
      .wrongValue(element: "MaxWidth", value: "-8")
    ),
  ])
  func `capabilities that cannot be used are refused`(text: String, error: ESCLError) {
    #expect(throws: error) { try ESCLCapabilities(parsing: Array(text.utf8)) }
  }

  @Test func `versions are compared number by number`() {
    #expect(ESCLVersion(2, 63) > ESCLVersion(2, 9))
    #expect(ESCLVersion(2, 0) < ESCLVersion(2, 1))
    #expect(ESCLVersion(2, 63).description == "2.63")
  }
}

@Suite struct ESCLStatusTests {
  private let status = ESCLStatus(
    version: ESCLVersion(2, 63), state: .processing, feederState: .multipickDetected,
    jobs: [
      ESCLJob(
        uri: "/eSCL/ScanJobs/2", uuid: "urn:uuid:2", age: 1, imagesCompleted: 3, imagesToTransfer: 1,
        transferRetryCount: 0, state: .processing, reasons: ["JobScanningAndTransferring"]),
      ESCLJob(uri: "/eSCL/ScanJobs/1", state: .completed, reasons: ["JobCompletedSuccessfully"]),
    ])

  @Test func `what is built is read back the same`() throws {
    #expect(try ESCLStatus(parsing: status.document) == status)
    let plain = ESCLStatus(state: .idle)
    #expect(try ESCLStatus(parsing: plain.document) == plain)
  }

  @Test func `the document of an idle feeder is this`() {
    #expect(
      String(decoding: ESCLStatus(state: .idle, feederState: .loaded).document, as: UTF8.self) == """
        <?xml version="1.0" encoding="UTF-8"?>
        <scan:ScannerStatus \(namespaces)>
          <pwg:Version>2.0</pwg:Version>
          <pwg:State>Idle</pwg:State>
          <scan:AdfState>ScannerAdfLoaded</scan:AdfState>
        </scan:ScannerStatus>

        """)
  }

  @Test(arguments: [
    ("ScannerAdfProcessing", ESCLFeederState.processing), ("ScannerAdfEmpty", .empty),
    ("ScannerAdfLoaded", .loaded), ("ScannerAdfJam", .jam), ("ScannerAdfMispick", .mispick),
    ("ScannerAdfHatchOpen", .hatchOpen), ("ScannerAdfDoorOpen", .doorOpen),
    ("ScannerAdfDuplexPageTooShort", .duplexPageTooShort),
    ("ScannerAdfDuplexPageTooLong", .duplexPageTooLong),
    ("ScannerAdfMultipickDetected", .multipickDetected), ("ScannerAdfInputTrayFailed", .inputTrayFailed),
    ("ScannerAdfInputTrayOverloaded", .inputTrayOverloaded), ("ScannerAdfOnFire", .other("ScannerAdfOnFire")),
  ])
  func `every word for the feeder is understood and written`(word: String, state: ESCLFeederState) {
    #expect(ESCLFeederState(word: word) == state)
    #expect(state.word == word)
  }

  @Test(arguments: ["Idle", "Processing", "Testing", "Stopped", "Down", "Asleep"])
  func `every word for the scanner is understood and written`(word: String) {
    #expect(ESCLState(word: word).word == word)
    #expect((ESCLState(word: word) == .other(word)) == (word == "Asleep"))
  }

  @Test(arguments: ["Pending", "PendingHeld", "Processing", "Completed", "Canceled", "Aborted", "Lost"])
  func `every word for a job is understood and written`(word: String) {
    #expect(ESCLJobState(word: word).word == word)
    #expect((ESCLJobState(word: word) == .other(word)) == (word == "Lost"))
  }

  @Test func `a status without state, or a job without place, is refused`() {
    let head = "<scan:ScannerStatus \(namespaces)>"
    #expect(throws: ESCLError.missingElement("State")) {
      try ESCLStatus(parsing: Array((head + "</scan:ScannerStatus>").utf8))
    }
    let job = "<pwg:State>Idle</pwg:State><scan:Jobs><scan:JobInfo/></scan:Jobs></scan:ScannerStatus>"
    #expect(throws: ESCLError.missingElement("JobUri")) {
      try ESCLStatus(parsing: Array((head + job).utf8))
    }
  }
}

@Suite struct ESCLScanSettingsTests {
  @Test func `the request for the feeder's pages is this`() throws {
    var settings = ESCLScanSettings(version: ESCLVersion(2, 1))
    settings.intent = .document
    settings.regions = [.a4]
    settings.inputSource = .feeder
    settings.colorMode = .rgb24
    settings.documentFormat = "image/jpeg"
    settings.hasDocumentFormatExt = true
    settings.resolution = ESCLResolution(300)
    settings.duplex = true
    settings.compressionFactor = 25
    #expect(
      String(decoding: settings.document, as: UTF8.self) == """
        <?xml version="1.0" encoding="UTF-8"?>
        <scan:ScanSettings \(namespaces)>
          <pwg:Version>2.1</pwg:Version>
          <scan:Intent>Document</scan:Intent>
          <pwg:ScanRegions>
            <pwg:ScanRegion>
              <pwg:ContentRegionUnits>escl:ThreeHundredthsOfInches</pwg:ContentRegionUnits>
              <pwg:XOffset>0</pwg:XOffset>
              <pwg:YOffset>0</pwg:YOffset>
              <pwg:Width>2480</pwg:Width>
              <pwg:Height>3508</pwg:Height>
            </pwg:ScanRegion>
          </pwg:ScanRegions>
          <pwg:InputSource>Feeder</pwg:InputSource>
          <scan:ColorMode>RGB24</scan:ColorMode>
          <pwg:DocumentFormat>image/jpeg</pwg:DocumentFormat>
          <scan:DocumentFormatExt>image/jpeg</scan:DocumentFormatExt>
          <scan:XResolution>300</scan:XResolution>
          <scan:YResolution>300</scan:YResolution>
          <scan:Duplex>true</scan:Duplex>
          <scan:CompressionFactor>25</scan:CompressionFactor>
        </scan:ScanSettings>

        """)
    #expect(try ESCLScanSettings(parsing: settings.document) == settings)
  }

  @Test func `what is not said stays open`() throws {
    let text = "<scan:ScanSettings \(namespaces)><pwg:Version>2.0</pwg:Version></scan:ScanSettings>"
    #expect(try ESCLScanSettings(parsing: Array(text.utf8)) == ESCLScanSettings())
  }

  @Test func `another order, one line and another prefix mean the same`() throws {
    let text =
      "<?xml version=\"1.0\" encoding=\"UTF-8\"?><e:ScanSettings xmlns:e=\"\(ESCL.scanNamespace)\" xmlns:p=\"\(ESCL.pwgNamespace)\"><p:Version>2.0</p:Version><e:XResolution>200</e:XResolution><e:ColorMode>Grayscale8</e:ColorMode><e:InputSource>Platen</e:InputSource><p:ScanRegions p:MustHonor='true'><p:ScanRegion><p:Height>100</p:Height><p:Width>200</p:Width></p:ScanRegion></p:ScanRegions></e:ScanSettings>"
    let settings = try ESCLScanSettings(parsing: Array(text.utf8))
    #expect(settings.resolution == ESCLResolution(200))
    #expect(settings.colorMode == .grayscale8)
    #expect(settings.inputSource == .platen)
    #expect(settings.regions == [ESCLRegion(x: 0, y: 0, width: 200, height: 100)])
  }

  @Test(arguments: [
    ("", ESCLError.missingElement("Version")),
    ("<scan:ColorMode>CMYK32</scan:ColorMode>", .wrongValue(element: "ColorMode", value: "CMYK32")),
    ("<scan:XResolution>0</scan:XResolution>", .wrongValue(element: "XResolution", value: "0")),
    ("<scan:XResolution>３００</scan:XResolution>", .wrongValue(element: "XResolution", value: "３００")),
    ("<scan:Duplex>maybe</scan:Duplex>", .wrongValue(element: "Duplex", value: "maybe")),
    ("<pwg:ScanRegions><pwg:ScanRegion/></pwg:ScanRegions>", .missingElement("Width")),
    (
      "<pwg:ScanRegions><pwg:ScanRegion><pwg:ContentRegionUnits>escl:Pixels</pwg:ContentRegionUnits></pwg:ScanRegion></pwg:ScanRegions>",
      .wrongValue(element: "ContentRegionUnits", value: "escl:Pixels")
    ),
    (
      "<pwg:ScanRegions><pwg:ScanRegion><pwg:Width>99999999999999999999</pwg:Width></pwg:ScanRegion></pwg:ScanRegions>",
      .wrongValue(element: "Width", value: "99999999999999999999")
    ),
  ])
  func `settings that cannot be honoured are refused`(body: String, error: ESCLError) {
    let version = body.isEmpty ? "" : "<pwg:Version>2.0</pwg:Version>"
    let text = "<scan:ScanSettings \(namespaces)>\(version)\(body)</scan:ScanSettings>"
    #expect(throws: error) { try ESCLScanSettings(parsing: Array(text.utf8)) }
  }

  @Test func `the true size of a page is told and read`() throws {
    let info = ESCLImageInfo(
      jobURI: "/eSCL/ScanJobs/1", jobUUID: "1", width: 2480, height: 3508, bytesPerLine: 7440, isBlank: false)
    #expect(try ESCLImageInfo(parsing: info.document) == info)
  }

  @Test func `damaged documents end in a value or in an error`() {
    var random = SeededRandom(seed: 3)
    let documents = [
      hall().document, ESCLStatus(state: .idle, jobs: [ESCLJob(uri: "/1", state: .pending)]).document,
      ESCLScanSettings().document,
    ]
    for round in 0..<1500 {
      var bytes = documents[round % 3]
      for _ in 0..<Int.random(in: 1...3, using: &random) {
        let position = Int.random(in: bytes.indices, using: &random)
        switch Int.random(in: 0..<3, using: &random) {
        case 0: bytes[position] = UInt8.random(in: 0...255, using: &random)
        case 1: bytes.remove(at: position)
        default: bytes = Array(bytes[..<max(1, position)])
        }
      }
      _ = try? ESCLCapabilities(parsing: bytes)
      _ = try? ESCLStatus(parsing: bytes)
      _ = try? ESCLScanSettings(parsing: bytes)
    }
  }
}

@Suite struct ESCLLocationTests {
  @Test(arguments: [
    ("/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
    (
      "/eSCL/ScanJobs/urn:uuid:4509a320-00a0-008f-00b6-00559a327d32",
      "/eSCL/ScanJobs/urn:uuid:4509a320-00a0-008f-00b6-00559a327d32"
    ),
    ("http://192.168.1.7:8080/eSCL/ScanJobs/1/", "/eSCL/ScanJobs/1"),
    ("HTTPS://scanner.local/eSCL/ScanJobs/1?x=1#y", "/eSCL/ScanJobs/1"),
    ("http://CN26F178X605SZ.03f011b0.hpLedmUSB/eSCL/ScanJobs/1", "/eSCL/ScanJobs/1"),
    ("http://[fe80/eSCL/ScanJobs/4060", "/eSCL/ScanJobs/4060"),
    ("http://[fe80::1%25eth0]:80/eSCL/ScanJobs/2", "/eSCL/ScanJobs/2"),
    ("//host/eSCL/ScanJobs/3", "/eSCL/ScanJobs/3"), ("ScanJobs/4", "/eSCL/ScanJobs/4"),
    ("./ScanJobs/4", "/eSCL/ScanJobs/4"), ("../jobs/5", "/jobs/5"), ("/a/../b/./c", "/b/c"),
    ("/eSCL/ScanJobs/%E8%AF%84", "/eSCL/ScanJobs/%E8%AF%84"),
  ])
  func `only the path of a job's place counts`(location: String, path: String) throws {
    #expect(try ESCLLocation.path(location, request: "/eSCL/ScanJobs") == path)
  }

  @Test(arguments: [
    "", "/", "http://host", "http://host/", "//host", "/a b", "/a\r\nX: y", "/a\\b", "/../../etc", "/评",
    "file:/etc/passwd", "javascript:alert(1)", "mailto:a", "?x=1", "/..", String(repeating: "/a", count: 600),
  ])
  func `a place without a usable path is refused`(location: String) {
    #expect(throws: ESCLError.self) { try ESCLLocation.path(location, request: "/eSCL/ScanJobs") }
  }
}
