internal import Codecs
internal import Devices

extension ScannedPage {
  /// A page that came as the `number`th of a scan, from 1, checked to its last byte.
  ///
  /// Of both-sided scans the pages are taken to come front, back, front, back: the order that eSCL prescribes and SANE
  /// backends keep.
  static func checked(_ image: [UInt8], number: Int, duplex: Bool) throws(Fault) -> ScannedPage {
    let format: PageFormat
    do throws(ImageError) {
      format = try ImageInspector.inspect(image)
    } catch {
      throw Fault(.imageDamaged, "page \(number), \(image.count) bytes: \(error)")
    }
    return ScannedPage(
      image: Sensitive(image), format: format, sheet: duplex ? (number + 1) / 2 : number,
      side: duplex && number.isMultiple(of: 2) ? .back : .front)
  }
}
