private import CQREncode

/// A QR Code symbol (ISO/IEC 18004), made by libqrencode.
public struct QRSymbol: Sendable, Equatable {
  /// How much of a symbol may be soiled or covered and still be read (ISO/IEC 18004, 7.5.1).
  public enum Correction: Sendable, CaseIterable {
    /// About 7 %.
    case low
    /// About 15 %.
    case medium
    /// About 25 %.
    case quartile
    /// About 30 %.
    case high
  }

  /// Modules on one side, without the quiet zone: 21, 25 … 177.
  public let side: Int

  /// One element a module, row by row from the top left; `true` is dark.
  private let modules: [Bool]

  /// Whether the module is dark; outside of the symbol, where the quiet zone is, none is.
  /// - Parameters:
  ///   - x: column, from 0 on the left.
  ///   - y: row, from 0 at the top.
  public subscript(x: Int, y: Int) -> Bool {
    guard (0..<side).contains(x), (0..<side).contains(y) else { return false }
    return modules[y * side + x]
  }

  /// The smallest symbol that holds the bytes, in 8-bit mode: readers take them for UTF-8 text.
  /// - Parameter bytes: 1 to 2953 with `low` correction, fewer with more of it.
  /// - Returns: `nil` when there are no bytes or too many for any symbol.
  public static func encode(_ bytes: [UInt8], correction: Correction) -> QRSymbol? {
    // More than the largest symbol holds (version 40, level L); the library's count is an int.
    guard !bytes.isEmpty, bytes.count <= 2953 else { return nil }
    let code = unsafe bytes.withUnsafeBufferPointer { buffer in
      unsafe QRcode_encodeData(Int32(buffer.count), buffer.baseAddress, 0, correction.level)
    }
    guard let code = unsafe code else { return nil }
    defer { unsafe QRcode_free(code) }
    let side = Int(unsafe code.pointee.width)
    guard side > 0, let data = unsafe code.pointee.data else { return nil }
    // Bit 0 of each byte is the colour; the others say what the module is for.
    let modules = unsafe UnsafeBufferPointer(start: data, count: side * side).map { $0 & 1 != 0 }
    return QRSymbol(side: side, modules: modules)
  }

  /// The symbol for a terminal, two rows of modules a line.
  ///
  /// Light modules are drawn and dark ones left blank, as `qrencode -t UTF8` does: on the usual dark terminal
  /// the symbol then has its right colours.
  /// - Parameter quietZone: light modules around the symbol; the standard asks for 4, phones read it with 2.
  /// - Returns: lines of equal length, made of `█`, `▀`, `▄` and spaces.
  public func halfBlocks(quietZone: Int) -> [String] {
    let margin = max(quietZone, 0)
    return stride(from: -margin, to: side + margin, by: 2).map { y in
      (-margin..<side + margin).map { x in
        // The lower half of the last line may lie below the quiet zone: it stays blank.
        switch (!self[x, y], !self[x, y + 1] && y + 1 < side + margin) {
        case (true, true): "█"
        case (true, false): "▀"
        case (false, true): "▄"
        case (false, false): " "
        }
      }.joined()
    }
  }
}

extension QRSymbol.Correction {
  fileprivate var level: QRecLevel {
    switch self {
    case .low: QR_ECLEVEL_L
    case .medium: QR_ECLEVEL_M
    case .quartile: QR_ECLEVEL_Q
    case .high: QR_ECLEVEL_H
    }
  }
}
