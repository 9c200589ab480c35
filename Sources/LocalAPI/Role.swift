/// What a caller may do. Each level may do what the ones before it may.
public enum Role: Int, Sendable, CaseIterable, Comparable {
  /// The counter or kiosk application: commands to devices, visits, materials.
  case counter = 1
  /// The technician: health checks that move paper, unlocking, the outbox, simulation, reload.
  case technician = 2
  /// The administrator: discarding and exporting what citizens gave.
  case administrator = 3

  /// The word in messages and in the OpenAPI document.
  public var name: String {
    switch self {
    case .counter: "counter"
    case .technician: "technician"
    case .administrator: "administrator"
    }
  }
  /// By rising rights.
  public static func < (one: Role, other: Role) -> Bool { one.rawValue < other.rawValue }
}
