import Outbox
import Posix

extension Measurement {
  /// `press [COUNT]`
  static let press = Measurement(
    summary: "from a rating to its being durable; floor: one growing append of the same bytes, flushed"
  ) { options in
    let count = option(options, 0, 2000)
    let rig = try await OutboxRig.make()
    defer { rig.remove() }
    let log = try AppendLog(path: rig.directory + "/floor.log", mode: 0o600)
    // Statements are prepared, files and the log have their size.
    for number in 0..<500 { _ = try await rig.outbox.append([OutboxRig.rating(number)]) }
    let status = await rig.outbox.status()
    let line = String(repeating: "x", count: Int(status.pendingBytes) / max(1, status.pendingEvents) - 1)
    let clock = ContinuousClock()
    var presses: [Duration] = []
    var floor: [Duration] = []
    // In turns, as the disk's speed changes from moment to moment.
    for number in 0..<count {
      let draft = OutboxRig.rating(number)
      presses.append(try await clock.measure { _ = try await rig.outbox.append([draft]) })
      floor.append(try clock.measure { try log.append(line) })
    }
    let (press, plain) = (Durations(presses), Durations(floor))
    return [
      Figure(
        name: "press to durable, median", value: press.median, unit: "ms", floor: plain.median,
        bound: .ratioAtMost(1.3)),
      Figure(
        name: "press to durable, 99 %", value: press.quantile(0.99), unit: "ms", floor: plain.quantile(0.99),
        bound: .ratioAtMost(2)),
    ]
  }

  /// `page [COUNT]`
  static let page = Measurement(
    summary: "pages accepted; floor: file written, flushed, directory flushed"
  ) { options in
    let count = option(options, 0, 200)
    var figures: [Figure] = []
    for (words, bytes) in [("300 kB", 300_000), ("2 MB", 2_000_000)] {
      let rig = try await OutboxRig.make()
      defer { rig.remove() }
      try Files.makeDirectory(rig.directory + "/floor", mode: 0o700, parents: false)
      let clock = ContinuousClock()
      var pages: [Duration] = []
      var floor: [Duration] = []
      for number in 0..<count + 10 {
        let content = OutboxRig.page(bytes: bytes, number: number)
        let accepted = try await clock.measure {
          let stored = try await rig.outbox.storeBlob(
            BlobDraft(bytes: content, mediaType: "image/jpeg", visit: nil))
          _ = try await rig.outbox.append([OutboxRig.material(stored, number: number)])
        }
        let plain = try clock.measure {
          try Files.createDurable(
            directory: rig.directory + "/floor", name: "\(number)", parts: [content])
        }
        // The first ones find everything cold.
        if number >= 10 {
          pages.append(accepted)
          floor.append(plain)
        }
      }
      figures.append(
        Figure(
          name: "pages of \(words)", value: 1000 / Durations(pages).mean, unit: "pages/s",
          floor: 1000 / Durations(floor).mean, bound: .ratioAtLeast(0.7)))
      figures.append(
        Figure(
          name: "pages of \(words), 95 %", value: Durations(pages).quantile(0.95), unit: "ms",
          floor: Durations(floor).quantile(0.95)))
    }
    return figures
  }
}
