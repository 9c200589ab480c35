import Crypto
import Posix
import WireJSON

/// What the intake has taken, on a thread of its own, as all of it waits for the disk.
actor IntakeStore {
  private nonisolated let worker = Worker(name: "intake-store")
  nonisolated var unownedExecutor: UnownedSerialExecutor { worker.executor }

  private let journal: IntakeJournal
  private var known: [String: JSONValue] = [:]
  private var blobs: Set<Digest> = []
  private var duplicates = 0
  private var complaints: [String] = []
  private var faults: [IntakeFault] = []
  private var listeners: [AsyncStream<IntakeNotice>.Continuation] = []

  /// What the client is told.
  enum Answer: Sendable, Equatable {
    case stored
    case rejected([Rejected])
    /// With an English sentence.
    case refused(status: Int, String)
    case scripted(status: Int, body: String, retryAfter: String?)

    struct Rejected: Codable, Sendable, Equatable {
      var id: String
      var reason: String
    }
  }

  init(directory: String) throws(SystemError) { journal = try IntakeJournal(directory: directory) }

  /// Takes up what an earlier run stored.
  func resume() throws(IntakeFailure) {
    for case .some(let entry) in try journal.entries() {
      if let digest = entry.blob.flatMap({ Digest(hex: $0.digest) }) { blobs.insert(digest) }
      for event in entry.events ?? [] {
        if let id = event["id"]?.string { known[id] = event }
      }
    }
  }

  func inject(_ fault: IntakeFault) { faults.append(fault) }

  func listen(_ continuation: AsyncStream<IntakeNotice>.Continuation) { listeners.append(continuation) }

  private func tell(_ notice: IntakeNotice) { for listener in listeners { listener.yield(notice) } }

  // MARK: Requests

  func put(_ digest: Digest, _ mediaType: String, _ bytes: [UInt8]) -> Answer {
    let answer = take(digest, mediaType, bytes)
    switch answer {
    case .refused(400..<500, _), .scripted(400..<500, _, _):
      // The events that name it are set aside with it.
      do throws(IntakeFailure) { try journal.storeRefused([digest.hex]) } catch {
        return .refused(status: 500, "The refusal could not be noted: \(error)")
      }
    default: break
    }
    return answer
  }

  private func take(_ digest: Digest, _ mediaType: String, _ bytes: [UInt8]) -> Answer {
    if let scripted = scriptedAnswer() { return scripted }
    guard SHA256.digest(of: bytes) == digest else {
      return .refused(status: 400, "The body does not have the digest in the path.")
    }
    do throws(IntakeFailure) {
      if blobs.contains(digest), journal.storedDigest(of: digest) == digest { return outcome(.stored) }
      try journal.store(wronged(bytes), digest: digest, mediaType: mediaType)
    } catch { return .refused(status: 500, "The page could not be stored: \(error)") }
    blobs.insert(digest)
    tell(.blob(digest: digest.hex, mediaType: mediaType, bytes: bytes.count))
    return outcome(.stored)
  }

  func post(_ body: [UInt8]) -> Answer {
    let answer = take(body)
    if let refused = refusedIDs(answer, body), !refused.isEmpty {
      do throws(IntakeFailure) { try journal.storeRefused(refused) } catch {
        return .refused(status: 500, "The refusal could not be noted: \(error)")
      }
    }
    return answer
  }

  /// The events that an answer refuses for themselves: a batch is split until they are alone.
  private func refusedIDs(_ answer: Answer, _ body: [UInt8]) -> [String]? {
    switch answer {
    case .rejected(let rejected): return rejected.map(\.id)
    case .refused(400..., _), .scripted(400..., _, _):
      guard let batch = try? JSON.parse(body).array, batch.count == 1 else { return nil }
      return batch.compactMap { $0["id"]?.string }
    default: return nil
    }
  }

  private func take(_ body: [UInt8]) -> Answer {
    if let scripted = scriptedAnswer() { return scripted }
    guard let batch = try? JSON.parse(body).array else {
      return .refused(status: 400, "The body is no JSON array.")
    }
    guard (1...500).contains(batch.count) else {
      return .refused(status: 413, "A batch has 1 to 500 events, not \(batch.count).")
    }
    var fresh: [(ReceivedEvent, JSONValue)] = []
    var rejected: [Answer.Rejected] = []
    var seen: Set<String> = []
    var repeated: [String] = []
    for value in batch {
      switch ReceivedEvent.read(value) {
      case .failure(let wrong):
        complaints.append(wrong.sentence)
        return .refused(status: 422, wrong.sentence)
      case .success(let event):
        if known[event.id] != nil || seen.contains(event.id) {
          if let first = known[event.id], first != value {
            complaints.append("Event \(event.id) came again with another content.")
          }
          repeated.append(event.id)
        } else if let reason = rejection(of: event) {
          rejected.append(.init(id: event.id, reason: reason))
        } else {
          seen.insert(event.id)
          fresh.append((event, value))
        }
      }
    }
    let kept = fresh.filter { !isDropped($0.0) }
    do throws(IntakeFailure) {
      if !kept.isEmpty { try journal.store(kept.map(\.1)) }
    } catch { return .refused(status: 500, "The events could not be stored: \(error)") }
    for (event, value) in kept {
      known[event.id] = value
      tell(.event(type: event.type, id: event.id, source: event.source))
    }
    duplicates += repeated.count
    for id in repeated { tell(.duplicate(id: id)) }
    return outcome(rejected.isEmpty ? .stored : .rejected(rejected))
  }

  // MARK: Verification

  func verify() -> IntakeVerification {
    var verification = IntakeVerification()
    verification.duplicates = duplicates
    verification.problems = complaints
    let entries: [JournalEntry?]
    do throws(IntakeFailure) { entries = try journal.entries() } catch {
      verification.problems.append("The journal cannot be read: \(error)")
      return verification
    }
    var stored: Set<Digest> = []
    var ids: Set<String> = []
    var sequences: [SourceEpoch: [Place]] = [:]
    var refused: Set<String> = []
    for (line, entry) in entries.enumerated() {
      guard let entry else {
        verification.problems.append("Line \(line + 1) of the journal cannot be read.")
        continue
      }
      if let blob = entry.blob, let digest = Digest(hex: blob.digest), stored.insert(digest).inserted {
        check(digest, bytes: blob.bytes, &verification)
      }
      refused.formUnion(entry.refused ?? [])
      for value in entry.events ?? [] {
        guard case .success(let event) = ReceivedEvent.read(value) else {
          verification.problems.append("Line \(line + 1) of the journal holds an event that is none.")
          continue
        }
        guard ids.insert(event.id).inserted else {
          verification.problems.append("Event \(event.id) is in the journal twice.")
          continue
        }
        verification.events[event.type, default: 0] += 1
        for digest in event.blobs where !stored.contains(digest) {
          verification.problems.append(
            "Event \(event.id) names page \(digest), which did not come before it.")
        }
        sequences[SourceEpoch(source: event.source, epoch: event.epoch), default: []].append(
          Place(
            number: event.sequence,
            isRetried: refused.contains(event.id) || event.blobs.contains { refused.contains($0.hex) }))
      }
    }
    for (key, numbers) in sequences.sorted(by: { $0.key < $1.key }) { check(numbers, of: key, &verification) }
    return verification
  }

  private func check(_ digest: Digest, bytes: Int, _ verification: inout IntakeVerification) {
    switch journal.storedDigest(of: digest) {
    case digest:
      verification.blobs += 1
      verification.blobBytes += bytes
    case nil: verification.problems.append("Page \(digest) cannot be read.")
    case .some(let other):
      verification.problems.append("Page \(digest) holds bytes with the digest \(other).")
    }
  }

  private struct SourceEpoch: Hashable, Comparable {
    var source: String
    var epoch: String
    static func < (a: SourceEpoch, b: SourceEpoch) -> Bool { (a.source, a.epoch) < (b.source, b.epoch) }
  }

  private struct Place {
    var number: Int64
    /// It was refused before: it may come late.
    var isRetried: Bool
  }

  private func check(_ places: [Place], of key: SourceEpoch, _ verification: inout IntakeVerification) {
    var highest: Int64 = 0
    for place in places {
      if place.number > highest {
        highest = place.number
      } else if place.isRetried {
        verification.late += 1
      } else {
        verification.problems.append(
          "\(key.source), epoch \(key.epoch): \(place.number) came after \(highest).")
      }
    }
    let numbers = places.map(\.number)
    var expected: Int64 = 1
    for number in Set(numbers).sorted() {
      if number > expected {
        let missing = number == expected + 1 ? "\(expected) is" : "\(expected) to \(number - 1) are"
        verification.problems.append("\(key.source), epoch \(key.epoch): \(missing) missing.")
      }
      expected = number + 1
    }
  }

  // MARK: Faults

  private func scriptedAnswer() -> Answer? {
    guard let index = faults.firstIndex(where: { if case .answer = $0 { true } else { false } }),
      case .answer(let status, let body, let retryAfter, let requests) = faults[index]
    else { return nil }
    if requests > 1 {
      faults[index] = .answer(status: status, body: body, retryAfter: retryAfter, requests: requests - 1)
    } else {
      faults.remove(at: index)
    }
    return .scripted(status: status, body: body, retryAfter: retryAfter)
  }

  private func outcome(_ answer: Answer) -> Answer {
    guard let index = faults.firstIndex(where: { if case .takeAndAnswer = $0 { true } else { false } }),
      case .takeAndAnswer(let status, let requests) = faults[index]
    else { return answer }
    if requests > 1 {
      faults[index] = .takeAndAnswer(status: status, requests: requests - 1)
    } else {
      faults.remove(at: index)
    }
    return .scripted(status: status, body: "", retryAfter: nil)
  }

  private func wronged(_ bytes: [UInt8]) -> [UInt8] {
    guard let index = faults.firstIndex(where: { if case .storeOneByteWrong = $0 { true } else { false } }),
      case .storeOneByteWrong(let nth) = faults[index]
    else { return bytes }
    guard nth <= 1 else {
      faults[index] = .storeOneByteWrong(nth: nth - 1)
      return bytes
    }
    faults.remove(at: index)
    var wrong = bytes
    if !wrong.isEmpty { wrong[wrong.count / 2] ^= 0x01 }
    return wrong
  }

  private func isDropped(_ event: ReceivedEvent) -> Bool {
    for (index, fault) in faults.enumerated() {
      guard case .dropEvent(let nth, let type) = fault, type == nil || type == event.type else { continue }
      guard nth <= 1 else {
        faults[index] = .dropEvent(nth: nth - 1, type: type)
        return false
      }
      faults.remove(at: index)
      return true
    }
    return false
  }

  private func rejection(of event: ReceivedEvent) -> String? {
    for (index, fault) in faults.enumerated() {
      guard case .reject(let nth, let type, let reason) = fault, type == nil || type == event.type else {
        continue
      }
      guard nth <= 1 else {
        faults[index] = .reject(nth: nth - 1, type: type, reason: reason)
        return nil
      }
      faults.remove(at: index)
      return reason
    }
    return nil
  }
}
