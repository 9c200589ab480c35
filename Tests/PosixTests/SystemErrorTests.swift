import Posix
import Testing

struct SystemErrorTests {
  @Test func `an error says what was tried, why it failed, and the symbolic name`() {
    #expect(
      SystemError(call: "open /x", code: 2).description == "open /x: No such file or directory (ENOENT)")
  }
}
