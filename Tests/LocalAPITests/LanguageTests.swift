import Devices
import LocalAPI
import Testing

@Suite struct LanguageTests {
  @Test(arguments: [
    ("zh-CN,zh;q=0.9,en;q=0.8", Language.chinese), ("en-US,en;q=0.5", .english),
    ("en;q=0.3, zh;q=0.7", .chinese),
    ("fr-FR, de", .english), ("*", .english), ("zh;q=0, en;q=0.1", .english), ("", .english),
    (";;;,,q=", .english),
  ])
  func `the best of the two languages is taken from Accept-Language`(header: String, expected: Language) {
    #expect(Language.negotiated(header, standard: .english) == expected)
  }

  @Test func `a caller that names no language gets the configured one`() {
    #expect(Language.negotiated(nil, standard: .chinese) == .chinese)
  }

  @Test func `every code has a sentence in both languages that ends like one`() {
    let all = FaultCode.allCases.map(\.advice) + ProblemCode.allCases.map(\.advice)
    for advice in all {
      #expect(advice.chinese.hasSuffix("。") && advice.english.hasSuffix("."))
      #expect(advice.chinese.unicodeScalars.contains { $0.value > 0x4E00 })
      #expect(!advice.english.unicodeScalars.contains { $0.value > 0x2FFF })
    }
    #expect(Set(FaultCode.allCases.map(\.rawValue)).count == FaultCode.allCases.count)
  }
}
