import Codecs
import Posix
import Simulation
import TestKit
import Testing

@testable import SimulationHost

/// CUPS' own client programs are the judges of the simulated print service.
@Suite(
  .timeLimit(.minutes(5)),
  .enabled(if: Programs.areExpected("lp", "lpstat", "cancel"), "cups-client is not installed"))
struct PrintProgramTests {
  private let hall: TestHall
  private let document: String

  init() async throws {
    hall = try await TestHall()
    document = hall.directory.path("slip.pdf")
    let pdf = PDFDocument(title: "slip", blocks: [])
    try Files.replaceDurable(document, bytes: pdf.bytes, mode: 0o644)
  }

  private func cups(_ program: String, _ arguments: [String]) async throws -> ProgramResult {
    // The C locale, so that what they say can be compared.
    try await run(
      program, ["-h", hall.path("cups.sock")] + arguments,
      environment: [
        "PATH": Environment["PATH"] ?? "/usr/bin:/bin", "LC_ALL": "C", "HOME": hall.directory.path,
        "CUPS_SERVER": hall.path("cups.sock"), "USER": "tester",
      ])
  }

  @Test func `lpstat sees the queue, its state and its faults`() async throws {
    let queue = try await cups("lpstat", ["-p", "Printer"])
    #expect(queue.text.contains("printer Printer is idle."), "\(queue.text) \(queue.errors)")
    let accepting = try await cups("lpstat", ["-a", "Printer"])
    #expect(accepting.text.contains("Printer accepting requests"), "\(accepting.text) \(accepting.errors)")
    try await hall.hall.apply("stop; accepting no", to: "printer")
    let stopped = try await cups("lpstat", ["-p", "Printer"])
    #expect(stopped.text.contains("printer Printer disabled"), "\(stopped.text)")
    let refusing = try await cups("lpstat", ["-a", "Printer"])
    #expect(refusing.text.contains("Printer not accepting requests"), "\(refusing.text)")
  }

  @Test func `lp prints a document, and its job is recorded`() async throws {
    let printed = try await cups("lp", ["-d", "Printer", "-t", "request-17", "-n", "3", document])
    #expect(printed.code == 0, "\(printed.errors)")
    #expect(printed.text.contains("request id is Printer-1"), "\(printed.text)")
    let job = await record("job", of: try hall.hall.device("printer"))
    #expect(job?["name"] == "request-17")
    #expect(job?["copies"] == "3")
    #expect(job?["bytes"] == String(try Files.size(document)))
    let ended = try await cups("lpstat", ["-W", "completed", "-o", "Printer"])
    #expect(ended.text.contains("Printer-1"), "\(ended.text) \(ended.errors)")
  }

  @Test func `a job waits for paper and can be cancelled`() async throws {
    try await hall.hall.apply("paper out", to: "printer")
    _ = try await cups("lp", ["-d", "Printer", document])
    let waiting = try await cups("lpstat", ["-o", "Printer"])
    #expect(waiting.text.contains("Printer-1"), "\(waiting.text) \(waiting.errors)")
    let cancelled = try await cups("cancel", ["Printer-1"])
    #expect(cancelled.code == 0, "\(cancelled.errors)")
    #expect(await record("job-cancelled", of: try hall.hall.device("printer"))?["job"] == "1")
    let empty = try await cups("lpstat", ["-o", "Printer"])
    #expect(empty.text == "", "\(empty.text)")
  }

  @Test func `lp is told that a queue takes no jobs`() async throws {
    try await hall.hall.apply("accepting no", to: "printer")
    let refused = try await cups("lp", ["-d", "Printer", document])
    #expect(refused.code != 0)
  }

  @Test(.enabled(if: Programs.areExpected("ipptool"), "cups-ipp-utils is not installed"))
  func `the service passes CUPS' own conformance test of IPP`() async throws {
    var options = SimulatedPrinter.Options()
    // Long enough for jobs to be seen before they are done.
    options.pageTime = .milliseconds(500)
    let printer = SimulatedDevice("slow", SimulatedPrinter(options), time: RealTime())
    // ipptool knows no Unix sockets.
    let file = hall.directory.path("slow.url")
    let attachment = ServerAttachment(printer, .loopback(file: file), directory: hall.directory.path)
    try await attachment.start()
    let url = String(decoding: try Files.read(file, limit: 1000).dropLast(), as: UTF8.self)
    let uri = "ipp" + url.dropFirst(4)
    for test in ["get-printer-attributes.test", "get-jobs.test", "create-job.test", "ipp-1.1.test"] {
      let result = try await run("ipptool", ["-t", "-f", document, uri, test])
      #expect(result.code == 0, "\(test): \(result.text) \(result.errors)")
      #expect(result.text.contains("[PASS]"), "\(test): \(result.text)")
    }
    #expect(await record("job", of: printer) != nil)
    await attachment.stop()
  }
}
