/// A value of SQLite's five kinds.
public enum SQLValue: Sendable, Hashable {
  /// NULL
  case null
  /// A 64-bit integer.
  case integer(Int64)
  /// A floating-point number.
  case real(Double)
  /// Text in UTF-8.
  case text(String)
  /// Bytes.
  case blob([UInt8])

  /// An integer.
  public init(_ value: Int) { self = .integer(Int64(value)) }
  /// 1 or 0.
  public init(_ value: Bool) { self = .integer(value ? 1 : 0) }
  /// Text, or NULL if there is none.
  public init(_ value: String?) { self = value.map(SQLValue.text) ?? .null }
  /// An integer, or NULL if there is none.
  public init(_ value: Int64?) { self = value.map(SQLValue.integer) ?? .null }
  /// Bytes, or NULL if there are none.
  public init(_ value: [UInt8]?) { self = value.map(SQLValue.blob) ?? .null }

  /// The integer; nil if this is anything else.
  public var integer: Int64? { if case .integer(let value) = self { value } else { nil } }
  /// The number, an integer included; nil if this is anything else.
  public var real: Double? {
    switch self {
    case .real(let value): value
    case .integer(let value): Double(value)
    default: nil
    }
  }
  /// The text; nil if this is anything else.
  public var text: String? { if case .text(let value) = self { value } else { nil } }
  /// The bytes; nil if this is anything else.
  public var blob: [UInt8]? { if case .blob(let value) = self { value } else { nil } }
}

extension SQLValue: ExpressibleByNilLiteral, ExpressibleByIntegerLiteral, ExpressibleByFloatLiteral,
  ExpressibleByStringLiteral, ExpressibleByBooleanLiteral
{
  /// NULL
  public init(nilLiteral: ()) { self = .null }
  /// An integer.
  public init(integerLiteral value: Int64) { self = .integer(value) }
  /// A floating-point number.
  public init(floatLiteral value: Double) { self = .real(value) }
  /// Text.
  public init(stringLiteral value: String) { self = .text(value) }
  /// 1 or 0.
  public init(booleanLiteral value: Bool) { self.init(value) }
}

/// One row of a query's result.
public struct SQLRow: Sendable {
  /// The values in the order of the columns.
  public let values: [SQLValue]
  private let columns: Columns

  /// The names of the columns, shared by all rows of a result.
  final class Columns: Sendable {
    let index: [String: Int]
    init(_ names: [String]) {
      index = Dictionary(zip(names, names.indices)) { first, _ in first }
    }
  }

  init(values: [SQLValue], columns: Columns) {
    self.values = values
    self.columns = columns
  }

  /// The value at that place, from 0; NULL if there is no such column.
  public subscript(index: Int) -> SQLValue { values.indices.contains(index) ? values[index] : .null }

  /// The value of the column of that name; NULL if there is no such column.
  public subscript(name: String) -> SQLValue { columns.index[name].map { values[$0] } ?? .null }

  /// The integer in that column.
  /// - Throws: ``StoreError/corrupt(_:)`` if anything else stands there.
  public func integer(_ name: String) throws(StoreError) -> Int64 {
    guard let value = self[name].integer else { throw .corrupt("no integer in column \(name)") }
    return value
  }

  /// The text in that column.
  /// - Throws: ``StoreError/corrupt(_:)`` if anything else stands there.
  public func text(_ name: String) throws(StoreError) -> String {
    guard let value = self[name].text else { throw .corrupt("no text in column \(name)") }
    return value
  }

  /// The bytes in that column.
  /// - Throws: ``StoreError/corrupt(_:)`` if anything else stands there.
  public func blob(_ name: String) throws(StoreError) -> [UInt8] {
    guard let value = self[name].blob else { throw .corrupt("no bytes in column \(name)") }
    return value
  }
}
