internal import Channels
internal import Codecs
internal import Posix

/// Where in a camera's buffer the picture is, as the camera has set it.
struct FrameLayout {
  /// Bytes without which a picture is not whole.
  let least: Int
  /// How many rows there are to be told apart, the bytes of each, and those from its start to that of the next.
  private let rows: (count: Int, length: Int, distance: Int)?

  /// Of a compressed picture, and of one in a form that nobody here reads, a buffer is taken as it is.
  /// - Throws: `.malformed` when the rows or all of them have no room in what the camera says of them.
  init(_ set: VideoCapture.Setting, isCompressed: Bool) throws(ChannelError) {
    guard V4L2Channel.name(of: set.code) == "YUYV" else {
      least = isCompressed ? 4 : max(set.imageSize, 1)
      rows = nil
      return
    }
    let length = YUYVPicture.rowLength(width: set.width)
    let distance = set.lineSize == 0 ? length : set.lineSize
    let (before, overflows) = distance.multipliedReportingOverflow(by: max(set.height, 1) - 1)
    guard distance >= length, !overflows, before <= set.imageSize - length else {
      throw .malformed(
        "the camera sets YUYV \(set.width)×\(set.height) in \(set.imageSize) bytes, a row in \(set.lineSize)")
    }
    // What fills up the last row may be missing.
    least = before + length
    rows = (max(set.height, 1), length, distance)
  }

  /// The picture alone, of the first bytes of a buffer, at least ``least`` of them.
  func picture(_ bytes: [UInt8]) -> [UInt8] {
    guard let rows, bytes.count >= least, bytes.count > rows.count * rows.length else { return bytes }
    guard rows.distance > rows.length else { return Array(bytes.prefix(least)) }
    var picture: [UInt8] = []
    picture.reserveCapacity(rows.count * rows.length)
    for start in stride(from: 0, to: rows.count * rows.distance, by: rows.distance) {
      picture += bytes[start..<start + rows.length]
    }
    return picture
  }
}
