import LocalAPI
import Store
import Testing
import WireJSON

@testable import Agent
@testable import Outbox

/// What is wrong with the database is told in the reader's language, with what to do.
@Suite struct StoreSentenceTests {
  static let failures: [StoreError] = [
    .full, .busy, .corrupt("x"), .io(778), .constraint("x"), .misuse("x"),
    .cannotOpen(path: "/p", reason: "x"), .newer(component: "outbox", found: 9, known: 3),
  ]

  @Test(arguments: failures) func `the outbox's status tells a failure of the database`(failure: StoreError) {
    var status = OutboxStatus()
    status.failure = failure
    let english = status.json(.english)["trouble"]?.string ?? ""
    let chinese = status.json(.chinese)["trouble"]?.string ?? ""
    #expect(english.hasPrefix("\(failure)") && english.hasSuffix(failure.advice))
    #expect(chinese.unicodeScalars.contains { (0x4E00...0x9FFF).contains($0.value) })
    #expect(!chinese.contains(failure.advice) && chinese.hasSuffix("。"))
  }
}
