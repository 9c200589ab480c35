import Codecs
import Testing

@Suite struct NearestWordTests {
  @Test(arguments: [
    ("windw", "window"), ("Window", "window"), ("widnow", "window"), ("tiemout", "timeout"),
    ("baudrat", "baud-rate"), ("stauts", "status"), ("retires", "retries"),
  ])
  func `a slip of the hand finds the word that was meant`(typed: String, meant: String) {
    let known = ["window", "timeout", "baud-rate", "status", "retries"]
    #expect(NearestWord.find(typed, in: known) == meant)
  }

  @Test(arguments: ["colour", "", "w", "xxxxxx", String(repeating: "window", count: 50)])
  func `a word unlike any known one finds nothing`(typed: String) {
    #expect(NearestWord.find(typed, in: ["window", "timeout", "on"]) == nil)
  }

  @Test func `of equally near words the one with the same first character wins, then the earlier`() {
    #expect(NearestWord.find("cat", in: ["bat", "cut", "car"]) == "cut")
    #expect(NearestWord.find("cat", in: ["hat", "bat"]) == "hat")
  }

  @Test func `swapped neighbours count as one slip`() {
    #expect(NearestWord.distance("ab", "ba") == 1)
    #expect(NearestWord.distance("abcd", "") == 4)
    #expect(NearestWord.distance("kitten", "sitting") == 3)
    #expect(NearestWord.distance("评价器", "评阶器") == 1)
  }
}
