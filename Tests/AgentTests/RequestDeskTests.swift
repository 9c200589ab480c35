import Devices
import LocalAPI
import Store
import Synchronization
import TestKit
import Testing
import WireJSON

@testable import Agent

@Suite(.timeLimit(.minutes(5))) struct RequestDeskTests {
  private func request(_ id: String = "r-1", _ members: [String: JSONValue] = [:]) -> CommandRequest {
    CommandRequest(.object(members.merging(["requestId": .string(id)]) { _, new in new }))
  }

  private func perform(
    _ desk: RequestDesk, _ request: CommandRequest? = nil, verb: Route = .issueTicket,
    role: String? = "dispenser",
    work: @escaping @Sendable (CommandContext) async throws(Problem) -> Completion = { _ in
      .done(["number": "A001"], status: 201)
    }
  ) async throws(Problem) -> CommandAnswer {
    let request = request ?? self.request()
    return try await desk.perform(verb, role: role, request: request, caller: clerk, work: work)
  }

  private func state(_ id: String, _ office: Office) async -> String? {
    let row = try? await office.facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT state FROM request WHERE id = ?", [.text(id)])
    }
    return row?["state"].text
  }

  // MARK: Once

  @Test func `the same request again gets the first answer and does nothing`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let count = Mutex(0)
    func once() async throws(Problem) -> CommandAnswer {
      try await perform(desk) { _ in
        let run = count.withLock {
          $0 += 1
          return $0
        }
        return .done(["run": .integer(Int64(run))], status: 201)
      }
    }
    let first = try await once()
    let second = try await once()
    #expect(first.status == 201 && second.status == 201)
    #expect(first.body == ["run": 1] && second.body == ["run": 1])
    // A restart forgets everything but the database.
    let again = RequestDesk(office.facilities)
    #expect(try await again.recover().isEmpty)
    #expect(try await perform(again).body == ["run": 1])
  }

  @Test func `a request that comes again while it runs waits for the same answer`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let (inside, gate) = (Gate(), Gate())
    let count = Mutex(0)
    let work: @Sendable (CommandContext) async throws(Problem) -> Completion = { _ in
      count.withLock { $0 += 1 }
      inside.open()
      await gate.wait()
      return .done(["number": "A007"])
    }
    let id = request()
    let first = Task {
      try await desk.perform(.issueTicket, role: "d", request: id, caller: clerk, work: work)
    }
    await inside.wait()
    let second = Task {
      try await desk.perform(.issueTicket, role: "d", request: id, caller: clerk, work: work)
    }
    #expect(try await desk.show("r-1", .english)["state"] == "running")
    gate.open()
    #expect(try await first.value.body == ["number": "A007"])
    #expect(try await second.value.body == ["number": "A007"])
    #expect(count.withLock { $0 } == 1)
  }

  @Test(arguments: ["body", "verb", "role"])
  func `an id that was used for something else is refused`(different: String) async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    _ = try await perform(desk, request("r-1", ["service": "A"]))
    let refused = await problem { () throws(Problem) in
      switch different {
      case "body": try await perform(desk, request("r-1", ["service": "B"]))
      case "verb": try await perform(desk, request("r-1", ["service": "A"]), verb: .showCall)
      default: try await perform(desk, request("r-1", ["service": "A"]), role: "dispenser-2")
      }
    }
    #expect(refused?.code == ProblemCode.mismatch.rawValue)
  }

  // MARK: Refusals

  @Test func `a refusal before any effect leaves nothing behind, and the same id may be sent again`()
    async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let refused = await problem { () throws(Problem) in
      try await perform(desk) { _ throws(Problem) in throw Problem(Fault(.paperOut)) }
    }
    #expect(refused?.code == FaultCode.paperOut.rawValue)
    #expect(await state("r-1", office) == nil)
    #expect(try await perform(desk).body == ["number": "A001"])
  }

  @Test func `an effect that was announced and did not happen may be tried again with the same id`()
    async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let refused = await problem { () throws(Problem) in
      try await perform(desk) { context throws(Problem) in
        #expect(await context.begin())
        throw Problem(Fault(.deviceGone))
      }
    }
    #expect(refused?.code == FaultCode.deviceGone.rawValue)
    #expect(try await perform(desk).body == ["number": "A001"])
  }

  @Test func `a command that could not be noted says that, has no effect and is not taken for cancelled`()
    async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let effects = Observed(0)
    func refusal(_ id: String, also: @escaping @Sendable (Database) throws(StoreError) -> Void) async
      -> Problem?
    {
      await problem { () throws(Problem) in
        try await perform(desk, request(id)) { context throws(Problem) in
          guard await context.begin(also: also) else { throw Problem(Fault(.commandCancelled)) }
          effects.update { $0 += 1 }
          return .done([:])
        }
      }
    }
    let full = await refusal("r-1") { _ throws(StoreError) in throw .full }
    #expect(full?.code == ProblemCode.notStored.rawValue)
    #expect(await state("r-1", office) == nil)
    // Not even that it was accepted.
    try await office.facilities.commit { database throws(StoreError) in
      try database.run(
        "CREATE TRIGGER refuse BEFORE INSERT ON request BEGIN SELECT RAISE(FAIL, 'no'); END")
    }
    let broken = await refusal("r-2") { _ in }
    #expect(broken != nil && broken?.code != FaultCode.commandCancelled.rawValue)
    #expect(effects.value == 0)
  }

  @Test
  func `an effect whose answer could not be stored is not repeated, its answer is stored when there is room`()
    async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let isFull = Observed(true)
    let effects = Observed(0)
    let acknowledged = Observed(0)
    func issue() async -> Problem? {
      await problem { () throws(Problem) in
        try await perform(desk) { context throws(Problem) in
          _ = await context.begin()
          effects.update { $0 += 1 }
          let completion = Completion.done(["number": "A001"]) { database throws(StoreError) in
            if isFull.value { throw .full }
            try database.run("INSERT INTO withdrawnPage (id, material) VALUES ('also', 'm')")
          }
          return completion.then { acknowledged.update { $0 += 1 } }
        }
      }
    }
    #expect(await issue()?.code == ProblemCode.notStored.rawValue)
    #expect(await issue()?.code == ProblemCode.notStored.rawValue)
    #expect(await state("r-1", office) == "begun")
    // Were it to crash now, the next start would settle it as unknown.
    #expect(try await RequestDesk(office.facilities).recover().map(\.id) == ["r-1"])
    let other = await problem { () throws(Problem) in
      try await perform(desk, request("r-1", ["service": "B"]))
    }
    #expect(other?.code == ProblemCode.mismatch.rawValue)
    isFull.update { $0 = false }
    let ends = await withTaskGroup(of: Problem?.self) { group in
      for _ in 1...4 { group.addTask { await issue() } }
      var ends: [Problem?] = []
      for await end in group { ends.append(end) }
      return ends
    }
    #expect(ends.allSatisfy { $0 == nil || $0?.code == ProblemCode.inProgress.rawValue })
    #expect(await issue() == nil)
    #expect(effects.value == 1 && acknowledged.value == 1)
    #expect(await state("r-1", office) == "done")
  }

  // MARK: Crashes

  @Test
  func `after a crash a command without effect is forgotten and one with a possible effect is handed over`()
    async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let (accepted, begun, never) = (Gate(), Gate(), Gate())
    let one = request("accepted")
    let two = request("begun")
    let tasks = [
      Task {
        _ = try? await desk.perform(.readCard, role: "idcard", request: one, caller: clerk) { _ in
          accepted.open()
          await never.wait()
          return .done([:])
        }
      },
      Task {
        _ = try? await desk.perform(.issueTicket, role: "dispenser", request: two, caller: clerk) { context in
          _ = await context.begin()
          begun.open()
          await never.wait()
          return .done([:])
        }
      },
    ]
    await accepted.wait()
    await begun.wait()
    let next = RequestDesk(office.facilities)
    let interrupted = try await next.recover()
    #expect(interrupted.map(\.id) == ["begun"])
    #expect(interrupted.first?.verb == .issueTicket && interrupted.first?.role == "dispenser")
    #expect(await state("accepted", office) == nil)
    await next.settleRecovered(
      "begun", Completion(state: .unknown, status: 201, body: ["printed": "unknown"]))
    let answer = try await perform(next, two)
    #expect(answer.status == 201 && answer.body == ["printed": "unknown"])
    never.open()
    for task in tasks { await task.value }
  }

  @Test func `answers are kept for a day`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    _ = try await perform(desk, request("old"))
    _ = try await perform(desk, request("new"))
    try await office.execute("UPDATE request SET startedSeconds = startedSeconds - 86402 WHERE id = 'old'")
    await Erasure(facilities: office.facilities).forgetOld()
    #expect(await state("old", office) == nil)
    #expect(await state("new", office) == "done")
  }

  // MARK: Privacy

  @Test func `a personal answer is given once and stored nowhere`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let secret = "张测试 11010519491231002X"
    let answer = try await perform(desk, verb: .readCard) { _ in
      Completion(state: .done, status: 200, body: ["name": .string(secret)], keepsBody: false)
    }
    #expect(answer.body == ["name": .string(secret)])
    let again = await problem { () throws(Problem) in try await perform(desk, verb: .readCard) }
    #expect(again?.code == ProblemCode.resultGone.rawValue)
    let row = try await office.facilities.database.read { database throws(StoreError) in
      try database.queryOne("SELECT * FROM request")
    }
    #expect(row?["document"] == .null)
    #expect(try await desk.show("r-1", .english)["result"] == nil)
  }

  /// A ticket that has begun to be printed, and is until the gate opens.
  private func begunTicket(_ desk: RequestDesk, until gate: Gate) async -> Task<CommandAnswer, any Error> {
    let inside = Gate()
    let id = request()
    let ticket = Task {
      try await desk.perform(.issueTicket, role: "dispenser", request: id, caller: clerk) { context in
        _ = await context.begin()
        inside.open()
        await gate.wait()
        return .done(["number": "A001"])
      }
    }
    await inside.wait()
    return ticket
  }

  // MARK: Cancelling

  /// A card read that waits for its card until it is cancelled.
  private func waitingRead(_ desk: RequestDesk, _ id: CommandRequest) async -> Task<Problem?, Never> {
    let inside = Gate()
    let read = Task {
      await problem { () throws(Problem) in
        try await desk.perform(.readCard, role: "idcard", request: id, caller: clerk) { _ throws(Problem) in
          inside.open()
          await Gate().wait()
          throw Problem(Fault(.commandCancelled))
        }
      }
    }
    await inside.wait()
    return read
  }

  @Test func `a waiting card read can be cancelled, and stays cancelled`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let id = request()
    let read = await waitingRead(desk, id)
    try await desk.cancel("r-1")
    #expect(await read.value?.code == FaultCode.commandCancelled.rawValue)
    #expect(try await desk.show("r-1", .english)["state"] == "cancelled")
    let again = await problem { () throws(Problem) in
      try await perform(desk, id, verb: .readCard, role: "idcard")
    }
    #expect(again?.code == FaultCode.commandCancelled.rawValue)
  }

  @Test func `what has had its effect, or has ended, or never was, cannot be cancelled`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let gate = Gate()
    let ticket = await begunTicket(desk, until: gate)
    #expect(
      await problem { () throws(Problem) in try await desk.cancel("r-1") }?.code == "request.notCancellable")
    gate.open()
    #expect(try await ticket.value.body == ["number": "A001"])
    #expect(
      await problem { () throws(Problem) in try await desk.cancel("r-1") }?.code == "request.notCancellable")
    #expect(await problem { () throws(Problem) in try await desk.cancel("r-2") }?.code == "resource.notFound")
  }

  @Test(arguments: [(Route.readCard, true), (.scan, false), (.issueTicket, false)])
  func `a caller that goes away cancels a card read and nothing else`(verb: Route, cancels: Bool) async throws
  {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let (inside, gate) = (Gate(), Gate())
    let ended = Observed<Bool?>(nil)
    let id = request()
    let caller = Task {
      _ = try? await desk.perform(verb, role: "d", request: id, caller: clerk) { context in
        inside.open()
        await gate.wait()
        let cancelled = Task.isCancelled
        ended.update { $0 = cancelled }
        return .done([:])
      }
    }
    await inside.wait()
    caller.cancel()
    // A card read is woken by its cancellation; the others go on until they are let.
    if !cancels { gate.open() }
    #expect(await ended.wait { $0 != nil } == cancels)
    await caller.value
  }

  @Test func `a command that was cancelled before its effect does not begin`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let inside = Gate()
    let began = Mutex<Bool?>(nil)
    let id = request()
    let ticket = Task {
      await problem { () throws(Problem) in
        try await desk.perform(.issueTicket, role: "dispenser", request: id, caller: clerk) {
          context throws(Problem) in
          inside.open()
          await Gate().wait()
          let may = await context.begin()
          began.withLock { $0 = may }
          throw Problem(Fault(.commandCancelled))
        }
      }
    }
    await inside.wait()
    try await desk.cancel("r-1")
    #expect(await ticket.value?.code == FaultCode.commandCancelled.rawValue)
    #expect(began.withLock { $0 } == false)
  }

  // MARK: Stopping

  @Test func `a stop refuses new commands and waits for the effect that has begun`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let gate = Gate()
    let ticket = await begunTicket(desk, until: gate)
    let stop = Task { await desk.stop() }
    let refused = try await Attempts.until("the desk is stopping") {
      await problem { () throws(Problem) in try await perform(desk, request("r-2")) }
    }
    #expect(refused.code == ProblemCode.stopping.rawValue)
    #expect(await desk.runningIDs == ["r-1"])
    gate.open()
    await stop.value
    #expect(try await ticket.value.body == ["number": "A001"])
  }

  @Test func `what a stop cuts short before its effect may be sent again to the next run`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let id = request()
    let waiting = await waitingRead(desk, id)
    await desk.stop()
    #expect(await waiting.value?.code == FaultCode.commandCancelled.rawValue)
    let next = RequestDesk(office.facilities)
    _ = try await next.recover()
    #expect(try await perform(next, id, verb: .readCard, role: "idcard").body == ["number": "A001"])
  }

  @Test func `a line that breaks off while a device is asked cancels nothing for good`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let refused = await problem { () throws(Problem) in
      try await perform(desk) { _ throws(Problem) in throw Problem(Fault(.commandCancelled, "DLE EOT 1")) }
    }
    #expect(refused?.code == FaultCode.commandCancelled.rawValue)
    #expect(try await perform(desk).body == ["number": "A001"])
  }

  @Test func `a stop that may not wait any longer returns`() async throws {
    let office = try await Office()
    let desk = RequestDesk(office.facilities)
    let (inside, never) = (Gate(), Gate())
    let id = request()
    let stuck = Task {
      _ = try? await desk.perform(.issueTicket, role: "dispenser", request: id, caller: clerk) { context in
        _ = await context.begin()
        inside.open()
        await never.wait()
        return .done([:])
      }
    }
    await inside.wait()
    let stop = Task { await desk.stop() }
    stop.cancel()
    await stop.value
    #expect(await desk.runningIDs == ["r-1"])
    never.open()
    await stuck.value
  }
}
