extension USBDescriptors {
  /// Damages the descriptors in one to four of the ways in which real devices are wrong.
  mutating func damage(_ random: inout SeededGenerator) {
    for _ in 0..<Int.random(in: 1...4, using: &random) { damageOnce(&random) }
  }

  private mutating func damageOnce(_ random: inout SeededGenerator) {
    switch Int.random(in: 0..<14, using: &random) {
    case 0: Self.flip(&configuration, &random)
    case 1: Self.flip(&device, &random)
    // The total length: too short, too long, or anything.
    case 2: set(&configuration, 2, UInt8.random(in: 0...255, using: &random))
    case 3: set(&configuration, 3, UInt8.random(in: 0...8, using: &random))
    // The number of interfaces.
    case 4: set(&configuration, 4, [0, 2, 33, 200, 255].randomElement(using: &random) ?? 0)
    // A descriptor's own length.
    case 5:
      let starts = self.starts
      if let start = starts.randomElement(using: &random) {
        set(
          &configuration, start,
          [0, 1, 2, 255, UInt8.random(in: 3...20, using: &random)].randomElement(using: &random) ?? 0)
      }
    // An endpoint's address or attributes, packet size or interval.
    case 6:
      let endpoints = starts.filter { configuration.count > $0 + 6 && configuration[$0 + 1] == 5 }
      if let start = endpoints.randomElement(using: &random) {
        let place = start + Int.random(in: 2...6, using: &random)
        set(&configuration, place, UInt8.random(in: 0...255, using: &random))
      }
    case 7:
      configuration = Array(configuration.prefix(Int.random(in: 0...configuration.count, using: &random)))
    case 8:
      let garbage = (0..<Int.random(in: 1...64, using: &random)).map { _ in
        UInt8.random(in: 0...255, using: &random)
      }
      configuration.insert(
        contentsOf: garbage,
        at: Int.random(in: min(9, configuration.count)...configuration.count, using: &random))
      if Bool.random(using: &random) {
        set(&configuration, 2, UInt8(truncatingIfNeeded: configuration.count))
        set(&configuration, 3, UInt8(truncatingIfNeeded: configuration.count >> 8))
      }
    case 9: device = Array(device.prefix(Int.random(in: 0...17, using: &random)))
    // The control endpoint's packet size.
    case 10: set(&device, 7, [0, 7, 8, 9, 255].randomElement(using: &random) ?? 0)
    case 11:
      if let index = strings.indices.randomElement(using: &random) {
        if Bool.random(using: &random) {
          strings[index] = Array(strings[index].prefix(Int.random(in: 0...3, using: &random)))
        } else {
          Self.flip(&strings[index], &random)
        }
      }
    case 12:
      for interface in reports.keys.sorted() {
        guard var report = reports[interface] else { continue }
        for _ in 0..<Int.random(in: 1...8, using: &random) { Self.flip(&report, &random) }
        if Bool.random(using: &random) {
          report = Array(report.prefix(Int.random(in: 0...report.count, using: &random)))
        }
        reports[interface] = report
      }
    // Two interfaces of one number, or an interface twice.
    default:
      let interfaces = starts.filter { configuration.count > $0 + 8 && configuration[$0 + 1] == 4 }
      if let start = interfaces.randomElement(using: &random) {
        configuration += configuration[start...]
        set(&configuration, 2, UInt8(truncatingIfNeeded: configuration.count))
        set(&configuration, 3, UInt8(truncatingIfNeeded: configuration.count >> 8))
      }
    }
  }

  /// Where the descriptors of the configuration begin, as far as their lengths lead.
  private var starts: [Int] {
    var starts: [Int] = []
    var place = 0
    while place < configuration.count, configuration[place] > 0 {
      starts.append(place)
      place += Int(configuration[place])
    }
    return starts
  }

  private func set(_ bytes: inout [UInt8], _ index: Int, _ value: UInt8) {
    if bytes.indices.contains(index) { bytes[index] = value }
  }

  private static func flip(_ bytes: inout [UInt8], _ random: inout SeededGenerator) {
    guard let index = bytes.indices.randomElement(using: &random) else { return }
    bytes[index] ^= 1 << UInt8.random(in: 0..<8, using: &random)
  }
}
