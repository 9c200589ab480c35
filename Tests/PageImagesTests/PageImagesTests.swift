import Codecs
import PageImages
import Testing

@Suite struct PageImagesTests {
  @Test(arguments: [PageFormat.Colour.colour, .grey])
  func `every page is a whole A4 page at 300 dpi, in colour and in grey`(colour: PageFormat.Colour) throws {
    let pages = colour == .grey ? PageImages.grey : PageImages.all
    #expect(pages.count == 4)
    #expect(Set(pages).count == 4)
    for bytes in pages {
      #expect(
        try ImageInspector.inspect(bytes)
          == PageFormat(mediaType: "image/jpeg", width: 2480, height: 3508, dpi: 300, colour: colour))
      #expect(bytes.count <= 350_000)
    }
  }
}
