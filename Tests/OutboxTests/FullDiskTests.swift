import Posix
import Store
import TestKit
import Testing

@testable import Outbox

/// The outbox on a disk that is full to the last byte.
@Suite(.timeLimit(.minutes(5))) struct FullDiskTests {
  private func open(_ disk: SimulatedDisk, reserve: Int) async throws -> (StateDatabase, Outbox) {
    let database = try await StateDatabase.open(
      path: "/state/hall.db", components: [Outbox.schema], reserveBytes: reserve, files: disk)
    let (outbox, _) = try await Outbox.open(
      database: database, directory: "/state/pages", key: nil,
      identity: OutboxIdentity(hall: "h", position: "p", machine: "m"),
      limits: OutboxLimits(keptFreeBytes: 65_536), files: disk)
    return (database, outbox)
  }

  /// Takes every byte that is left.
  private func fill(_ disk: SimulatedDisk) throws {
    let file = try disk.open("/filler", .creating(mode: 0o600))
    let free = Int(try disk.freeSpace("/").bytes)
    try file.write([UInt8](repeating: 1, count: free), at: file.size())
    #expect(try disk.freeSpace("/").bytes == 0)
  }

  /// Whatever waits is accepted, in batches.
  private func deliver(_ outbox: Outbox) async throws -> Int {
    var count = 0
    while true {
      let numbers = try await outbox.pending(after: [:]).flatMap(\.events).prefix(200).map(\.number)
      if numbers.isEmpty { return count }
      let events = try await outbox.outgoing(numbers).events
      try await outbox.delivered(numbers, types: ["gov.hall.rating.v1": events.count])
      count += events.count
    }
  }

  @Test func `ratings go on until the reserve is used up, and what is accepted is erased all the same`()
    async throws
  {
    let disk = SimulatedDisk(capacity: 40 << 20)
    try disk.makeDirectory("/state", mode: 0o700, parents: true)
    let (database, outbox) = try await open(disk, reserve: 12 << 20)
    var taken = 0
    for number in 0..<20 {
      let stored = try await outbox.storeBlob(page(number))
      taken += try await outbox.append([pageEvent([stored.digest])]).count
    }
    try fill(disk)
    #expect(await outbox.status().fill == .full)
    await #expect(throws: OutboxError.self) { _ = try await outbox.storeBlob(page(99)) }

    // The worst case: ratings come until none is taken any more, and the disk is filled by others besides.
    var refused: OutboxError?
    while refused == nil {
      do throws(OutboxError) {
        taken += try await outbox.append((1...50).map { rating($0) }).count
      } catch { refused = error }
    }
    #expect(refused == .store(.full))
    #expect(taken > 1000)
    try fill(disk)
    #expect(try await deliver(outbox) == taken)
    #expect(await outbox.status().pendingEvents == 0)
    // Those that were made in advance have nothing in them.
    #expect(try disk.paths.allSatisfy { try !$0.hasPrefix("/state/pages/") || disk.size($0) == 0 })
    // There is room for ratings again, in the database itself.
    #expect(try await outbox.append([rating()]).count == 1)

    // And so it goes on, through many cycles of the log, without a byte and without a reserve.
    try fill(disk)
    #expect(!database.hasReserve)
    for _ in 0..<600 {
      #expect(try await outbox.append([rating()]).count == 1)
      #expect(try await deliver(outbox) >= 1)
    }
    #expect(try await outbox.append([rating()]).count == 1)
    await database.close()

    // The start on the full disk, and the way back to normal once it is not.
    let (_, again) = try await open(disk, reserve: 12 << 20)
    #expect(try await deliver(again) == 1)
    #expect(await again.status().fill == .full)
    try disk.unlink("/filler")
    #expect(await again.status().fill == .normal)
    _ = try await again.storeBlob(page(99))
  }

  @Test func `without a reserve the same disk stops the erasing`() async throws {
    let disk = SimulatedDisk(capacity: 40 << 20)
    try disk.makeDirectory("/state", mode: 0o700, parents: true)
    let (_, outbox) = try await open(disk, reserve: 0)
    _ = try await outbox.append((1...50).map { rating($0) })
    try fill(disk)
    await #expect(throws: StoreError.full) { _ = try await deliver(outbox) }
  }
}
