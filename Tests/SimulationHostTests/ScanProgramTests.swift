import Posix
import Simulation
import TestKit
import Testing

@testable import SimulationHost

private let isAirscanExpected =
  Environment["CI"] == "true"
  || Programs.areExpected("scanimage", "djpeg", "airscan-discover")

/// `scanimage` with sane-airscan is the judge of the simulated scanner: it knows nothing of this project.
@Suite(
  .timeLimit(.minutes(5)),
  .enabled(if: isAirscanExpected, "scanimage, sane-airscan or djpeg is not installed"))
struct ScanProgramTests {
  private let hall: TestHall
  private let environment: [String: String]

  init() async throws {
    hall = try await TestHall()
    let sane = hall.directory.path("sane")
    try Files.makeDirectory(sane, mode: 0o700, parents: true)
    let url = try Files.read(hall.path("scanner.url"), limit: 1000)
    let address = String(decoding: url.dropLast(), as: UTF8.self)
    try Files.replaceDurable(sane + "/dll.conf", bytes: Array("airscan\n".utf8), mode: 0o644)
    let airscan = "[devices]\n\"Sim\" = \(address), eSCL\n[options]\ndiscovery = disable\n"
    try Files.replaceDurable(sane + "/airscan.conf", bytes: Array(airscan.utf8), mode: 0o644)
    environment = ["SANE_CONFIG_DIR": sane, "PATH": Environment["PATH"] ?? "/usr/bin:/bin", "HOME": sane]
  }

  private func scan(_ arguments: [String]) async throws -> ProgramResult {
    try await run("scanimage", ["-d", "airscan:e0:Sim"] + arguments, environment: environment)
  }

  /// The pixels of an image as the JPEG library's own program has them.
  private func pixels(_ name: String) async throws -> [UInt8] {
    let result = try await run("djpeg", ["-pnm", Repository.root + "/Sources/CPages/Pages/" + name])
    #expect(result.code == 0, "\(result.errors)")
    return result.output
  }

  /// Width, height and samples of a binary PNM image.
  private func image(_ bytes: [UInt8]) -> (kind: String, width: Int, height: Int, samples: ArraySlice<UInt8>)?
  {
    var words: [String] = []
    var rest = bytes[...]
    while words.count < 4, let end = rest.firstIndex(where: { $0 == 0x0A || $0 == 0x20 }) {
      let word = String(decoding: rest[..<end], as: UTF8.self)
      if word.hasPrefix("#") {
        let line = rest.firstIndex(of: 0x0A) ?? end
        rest = rest[(line + 1)...]
        continue
      }
      words.append(word)
      rest = rest[(end + 1)...]
    }
    guard words.count == 4, let width = Int(words[1]), let height = Int(words[2]) else { return nil }
    return (words[0], width, height, rest)
  }

  @Test func `the scanner is listed with its sources`() async throws {
    let list = try await run("scanimage", ["-L"], environment: environment)
    #expect(list.text.contains("airscan:e0:Sim"))
    let help = try await scan(["-A"])
    let text = help.text
    #expect(text.contains("Flatbed") && text.contains("ADF"), "\(text) \(help.errors)")
  }

  @Test func `a page from the feeder has exactly the pixels of its image`() async throws {
    let result = try await scan(["--source", "ADF", "--mode", "Color", "--resolution", "300", "--format=pnm"])
    #expect(result.code == 0, "\(result.errors)")
    let scanned = try #require(image(result.output))
    let expected = try #require(image(try await pixels("page-1.jpg")))
    #expect(scanned.kind == "P6")
    #expect(scanned.width == expected.width)
    #expect(scanned.height == expected.height)
    // Compared outside of the macro, which would look for the differences of 26 million numbers.
    let isEqual = scanned.samples == expected.samples
    #expect(isEqual)
  }

  @Test func `a grey page has exactly the pixels of its image`() async throws {
    let result = try await scan([
      "--source", "Flatbed", "--mode", "Gray", "--resolution", "300", "--format=pnm",
    ])
    #expect(result.code == 0, "\(result.errors)")
    let scanned = try #require(image(result.output))
    let expected = try #require(image(try await pixels("page-1-grey.jpg")))
    #expect(scanned.kind == "P5")
    #expect(scanned.width == expected.width && scanned.height == expected.height)
    // Compared outside of the macro, which would look for the differences of 26 million numbers.
    let isEqual = scanned.samples == expected.samples
    #expect(isEqual)
  }

  @Test func `a batch takes every sheet and ends with the empty feeder`() async throws {
    let pattern = hall.directory.path("page-%d.pnm")
    let result = try await scan([
      "--source", "ADF", "--mode", "Color", "--resolution", "300", "--format=pnm", "--batch=" + pattern,
    ])
    #expect(result.code == 0, "\(result.errors)")
    let records = await hall.hall.devices[2].records.map(\.record)
    #expect(records.filter { $0.event == "page" }.count == 4)
    #expect(Files.exists(hall.directory.path("page-4.pnm")))
    #expect(!Files.exists(hall.directory.path("page-5.pnm")))
  }

  /// SANE status words as scanimage's exit codes (facts/devices.md D2).
  @Test(arguments: [("feeder empty", 7), ("jam at page 1", 6), ("cover open", 8)])
  func `faults of the feeder come through as SANE's own`(command: String, status: Int32) async throws {
    try await hall.hall.apply(command, to: "scanner")
    let result = try await scan(["--source", "ADF", "--mode", "Color", "--resolution", "300", "--format=pnm"])
    #expect(result.code == status, "\(result.errors)")
  }
}
