import Channels
import Testing

@Suite struct PipeLayoutTests {
  @Test(arguments: ["81/02", "8f/", "/01", "81+85/02+06:7", "82+81/01+02:255"])
  func `a layout is written as it is read`(text: String) throws {
    let layout = try #require(PipeLayout(text))
    #expect(layout.description == text)
  }

  @Test func `a split layout has its parts`() throws {
    let layout = try #require(PipeLayout("81+85/02+06:7"))
    #expect(layout == PipeLayout(heads: (0x81, 0x02), bodies: (0x85, 0x06), headLength: 7))
    #expect(layout.input == 0x81)
    #expect(layout.split?.output == 0x06)
    #expect(layout.split?.headLength == 7)
  }

  @Test(arguments: [
    "", "/", "81", "02/81", "81/82", "01/02", "80/00", "90/10", "81/02:7", "81+85/02+06", "81+85/02:7",
    "81+81/02+06:7", "81+85/02+06:0", "81+85/02+06:256", "81+85/02+06:7:7", "81+82+83/01+02:7", "0x81/02",
    "+/+:7",
    "081/02", "81/02/03", "81 /02", "８１/02",
  ])
  func `what is no layout is refused`(text: String) {
    #expect(PipeLayout(text) == nil)
  }

  @Test func `port status bits mean what the printer class says`() {
    let fine = PrinterPortStatus(rawValue: 0x18)
    #expect(fine.isTelling && fine.isSelected && !fine.hasError && !fine.isPaperEmpty)
    let empty = PrinterPortStatus(rawValue: 0x30)
    #expect(empty.isPaperEmpty && empty.hasError && empty.isSelected)
    #expect(!PrinterPortStatus(rawValue: 0).isTelling)
  }
}
