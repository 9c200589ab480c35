import HallKit
import Posix
import TestKit
import Testing
import WireJSON

/// `halld demo`: the main job from nothing.
@Suite(.timeLimit(.minutes(5))) struct DemoTests {
  private func demo(_ options: String...) async throws -> (Posix.ExitStatus, JSONValue, String) {
    let result = try await RunningProgram.run(Built.path("halld"), ["demo", "--once", "--json"] + options)
    #expect(!isCrashReport(result.errors))
    let report = try JSON.parse(Array(result.output.utf8))
    return (result.status, report, result.errors)
  }

  @Test func `everything that a visit produces is delivered and verified`() async throws {
    let (status, report, errors) = try await demo()
    #expect(status == .exited(0), "\(report) \(errors)")
    #expect(report["ok"] == true && report["problems"] == [])
    #expect(
      report["produced"] == report["delivered"] && report["delivered"] == report["verified"], "\(report)")
    let produced = report["produced"]
    #expect(produced?["ticket"] == 1 && produced?["rating"] == 1 && produced?["material.page"] == 4)
    #expect(produced?["material.page.withdrawn"] == 1 && produced?["material.completed"] == 1)
    #expect((produced?["image"]?.integer ?? 0) >= 3 && (produced?["visit"]?.integer ?? 0) >= 3)
    #expect(report["produced"]?.object?.keys.sorted() == report["verified"]?.object?.keys.sorted())
  }

  @Test func `an intake that stores a byte wrong is found out`() async throws {
    let (status, report, _) = try await demo("--fault", "store-one-byte-wrong")
    #expect(status == .exited(1))
    #expect(report["ok"] == false)
    #expect(report["produced"]?["image"] != report["verified"]?["image"])
    let problems = report["problems"]?.array?.compactMap(\.string) ?? []
    #expect(problems.contains { $0.contains("digest") }, "\(problems)")
  }

  @Test func `an intake that drops an event is found out`() async throws {
    let (status, report, _) = try await demo("--fault", "drop-one-event")
    #expect(status == .exited(1))
    #expect(report["ok"] == false)
    let types = report["produced"]?.object?.keys.filter {
      report["produced"]?[$0] != report["verified"]?[$0]
    }
    let type = try #require(types?.first)
    #expect(types?.count == 1)
    let problems = report["problems"]?.array?.compactMap(\.string) ?? []
    #expect(problems.contains { $0.contains(type) }, "\(problems)")
  }

  @Test func `for people it is told step by step, in their language`() async throws {
    let english = try await RunningProgram.run(Built.path("halld"), ["demo", "--once"])
    #expect(english.status == .exited(0), "\(english.errors)")
    #expect(english.output.contains("Everything was delivered and verified."))
    #expect(english.output.contains("A001"))
    let chinese = try await RunningProgram.run(
      Built.path("halld"), ["demo", "--once"], environment: ["LANG": "zh_CN.UTF-8"])
    #expect(chinese.status == .exited(0) && chinese.output.contains("全部送达并核对无误。"))
    // The card is a sample's, and shown as any card: masked.
    for text in [english.output, chinese.output] {
      #expect(!text.contains("11010519491231002X") && !text.contains("张测试"))
    }
  }

  @Test func `nothing is left behind`() async throws {
    let directory = try TemporaryDirectory()
    let result = try await RunningProgram.run(
      Built.path("halld"), ["demo", "--once", "--json"], environment: ["TMPDIR": directory.path])
    #expect(result.status == .exited(0), "\(result.errors)")
    #expect(try Files.list(directory.path) == [])
  }
}
