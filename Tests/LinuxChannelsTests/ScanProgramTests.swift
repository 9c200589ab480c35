import Channels
import Testing

@testable import LinuxChannels

@Suite struct ScanProgramTests {
  private func arguments(
    _ options: [(name: String, value: String)], format: String = "jpeg", pages: Int? = nil
  ) throws(ScanProgram.Refusal) -> [String] {
    try ScanProgram.arguments(
      device: "test:0", PageFeedRequest(options: options, format: format, maximumPages: pages),
      pattern: "/t/p%d"
    ).get()
  }

  @Test func `options become long arguments in their order`() throws {
    #expect(
      try arguments([
        (name: "source", value: "Automatic Document Feeder"), (name: "resolution", value: "300"),
        (name: "x", value: "210"), (name: "calibrate", value: ""),
      ]) == [
        "-d", "test:0", "--format=jpeg", "--batch=/t/p%d", "--batch-print", "--batch-prompt",
        "--source=Automatic Document Feeder", "--resolution=300", "-x210", "--calibrate",
      ])
    #expect(try arguments([], pages: 3).last == "--batch-count=3")
  }

  @Test(arguments: [
    "batch", "batch-count", "out", "output-file", "format", "d", "h", "", "-x", "a=b", "a b", "名",
    "device-name", "1x",
  ])
  func `a name that is the program's own or no option's is refused`(_ name: String) {
    #expect(throws: ScanProgram.Refusal.self) { try arguments([(name: name, value: "1")]) }
  }

  @Test(arguments: ["pdf", "", "JPEG", "jpeg --batch"])
  func `a format that is not one page a file is refused`(_ format: String) {
    #expect(throws: ScanProgram.Refusal.self) { try arguments([], format: format) }
  }

  @Test(arguments: [0, -1, 100_000, Int.max])
  func `a number of pages the program would take for none is refused`(_ pages: Int) {
    #expect(throws: ScanProgram.Refusal.self) { try arguments([], pages: pages) }
  }

  @Test(
    arguments: [
      (0, 10, PageFeedEnd.finished), (0, 0, .noDocuments), (7, 0, .noDocuments), (7, 4, .finished),
      (6, 2, .jammed),
      (8, 0, .coverOpen), (3, 0, .deviceBusy), (11, 0, .denied), (4, 0, .refused("")), (1, 0, .refused("")),
      (2, 1, .failed("cancelled at the device")), (9, 0, .failed("scanimage ended with code 9")),
    ] as [(Int32, Int, PageFeedEnd)])
  func `exit codes are SANE's states`(_ code: Int32, _ pages: Int, _ end: PageFeedEnd) {
    #expect(ScanProgram.end(code: code, pages: pages, diagnostics: "Scanning page 1\n") == end)
  }

  @Test(
    arguments: [
      (6, 0, PageFeedEnd.jammed), (6, 3, .jammed), (3, 0, .deviceBusy), (7, 0, .noDocuments),
      (7, 2, .finished), (5, 2, .finished),
    ] as [(Int32, Int, PageFeedEnd)])
  func `an exit code of 0 is held against what was said`(_ status: Int32, _ pages: Int, _ end: PageFeedEnd) {
    let said = """
      Scanned page 1. (scanner status = 5)
      Scanned page 2. (scanner status = \(status))
      scanimage: received signal 13
      scanimage: aborting

      """
    let found = ScanProgram.end(code: 0, pages: pages, diagnostics: said)
    #expect(found == end)
  }

  @Test(
    arguments: [
      (11, "cannot open /run/x/p1.part"), (11, "cannot rename /a to /b"),
      (1, "Output file write error --- out of disk space?"),
    ] as [(Int32, String)])
  func `a page that could not be stored is no refusal of the scanner's`(_ code: Int32, _ text: String) {
    #expect(ScanProgram.end(code: code, pages: 0, diagnostics: text) == .failed(text))
  }

  @Test(arguments: [
    ("Device busy", ScanProgram.OpenFailure.busy), ("Access to resource has been denied", .denied),
    ("Invalid argument", .absent("fujitsu:fi-7160:1")),
    (
      "Error during device I/O",
      .other("scanimage: open of device fujitsu:fi-7160:1 failed: Error during device I/O")
    ),
  ])
  func `why a device cannot be opened is in the text`(_ text: String, _ failure: ScanProgram.OpenFailure) {
    let said = "Output format is not set\nscanimage: open of device fujitsu:fi-7160:1 failed: \(text)\n"
    #expect(ScanProgram.openFailure(said) == failure)
    #expect(ScanProgram.openFailure("scanimage: sane_start: \(text)") == nil)
  }

  @Test func `the chatter of every run is left out`() {
    let said = """
      Scanning infinity pages, incrementing by 1, numbering from 1
      Place document no. 1 on the scanner.
      Press <RETURN> to continue.
      Press Ctrl + D to terminate.
      Scanning page 1
      scanimage: sane_start: Document feeder jammed
      Batch terminated, 0 pages scanned

      """
    #expect(ScanProgram.gist(said) == "scanimage: sane_start: Document feeder jammed")
  }
}
