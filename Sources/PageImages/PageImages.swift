import CPages

/// The sample pages that lie in a simulated scanner's feeder at first: A4 at 300 dpi (2480 by 3508), JPEG with JFIF
/// density. An application form, a declaration, a list of fees and a copy of a certificate, in this order; persons,
/// numbers and authorities on them are invented, and each says 样例 SAMPLE.
///
/// A scanner answers in the colour mode it was asked for, and clients such as sane-airscan break off at a page that comes
/// in another. So each page is there in both.
public enum PageImages {
  /// The pages in colour: three components.
  public static let all = pages(inGrey: false)

  /// The same pages in grey: one component.
  public static let grey = pages(inGrey: true)

  private static func pages(inGrey: Bool) -> [[UInt8]] {
    (0..<CPAGES_COUNT).map { number in
      let page = unsafe cpages_page(number, inGrey)
      return unsafe Array(UnsafeBufferPointer(start: page.bytes, count: page.length))
    }
  }
}
